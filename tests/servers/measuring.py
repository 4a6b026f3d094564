"""How a server treats streams: timed from outside, in classes that don't change from day to day."""

import http.client
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from sseprog.testing._client import Stream
from sseprog.testing._server import Server

HERE = Path(__file__).parent
MANY = 20


class Ending(NamedTuple):
    """What SIGTERM came to, with streams open; ``seconds`` is None where it came to nothing."""

    seconds: float | None
    clean: bool


def serving(
    command: Sequence[str], *, cwd: Path = HERE, environment: Mapping[str, str] | None = None
) -> Server:
    """Start a server and wait until it answers."""
    paths = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    server = Server(
        command,
        cwd=cwd,
        environment={"SSEPROG_THROTTLE": "0", "PYTHONPATH": paths, **(environment or {})},
        prefix="/jobs",
        patience=10,
    )
    try:
        server.wait()
    except AssertionError:
        server.kill()
        server.close()
        raise
    return server


def first_event_in(server: Server, path: str) -> float:
    """Return the seconds from connecting to the first event: the best of five."""
    times: list[float] = []
    for _ in range(5):
        begun = time.monotonic()
        stream = server.stream(path)
        next(stream)
        times.append(time.monotonic() - begun)
        stream.close()
    return min(times)


def event_in(server: Server, job_id: str) -> float:
    """Return the seconds from reporting to the event's arrival: the best of five."""
    stream = server.stream(f"/{job_id}/stream")
    next(stream)
    times: list[float] = []
    for percent in range(1, 6):
        begun = time.monotonic()
        server.update(job_id, percent)
        next(stream)
        times.append(time.monotonic() - begun)
    stream.close()
    return min(times)


def leaving_is_noticed_in(server: Server, path: str) -> float:
    """Return the seconds from a client's FIN to its stream's end, with nothing published."""
    server.wait_for_streams(0)
    stream = server.stream(path)
    next(stream)
    stream.close()
    begun = time.monotonic()
    server.wait_for_streams(0)
    return time.monotonic() - begun


def ending_of(server: Server, streams: Sequence[Stream], limit: float) -> Ending:
    """Tell a server with open streams, which are read, to stop; and watch."""
    with ThreadPoolExecutor(len(streams)) as readers:
        ends = [readers.submit(_ended_cleanly, stream) for stream in streams]
        begun = time.monotonic()
        server.stop()
        try:
            server.process.wait(limit)
        except subprocess.TimeoutExpired:
            seconds = None
        else:
            seconds = time.monotonic() - begun
        server.kill()
        return Ending(seconds, all(end.result() for end in ends))


def told(seconds: float | None) -> str:
    """Name the class of a time. The limits lie where no server is."""
    if seconds is None:
        return "never"
    return "under 2 s" if seconds < 1.8 else "2 to 4 s"


def _ended_cleanly(stream: Stream) -> bool:
    """Read what is there; tell whether it ends with a last retry and a right end."""
    try:
        for _ in stream:
            pass
    except (OSError, http.client.HTTPException, AssertionError):
        return False
    return len(stream.retries) == 2
