"""A server process with the application under test: started, driven from outside, and ended."""

# ruff: noqa: S101 - what it asserts is a test's

import http.client
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ._client import Answer, Stream, fetch
from ._control import CONTROL

__all__ = ["Remote", "RemoteError", "Server", "free_port", "wait_until"]

_COMPLAINTS: Final = re.compile(
    r"Traceback|Exception ignored|never retrieved|was destroyed but|never awaited|ResourceWarning"
)


def wait_until(holds: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for what nobody announces."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


class RemoteError(Exception):
    """What was asked of the hub under test raised; ``kind`` is the exception's name."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Remote:
    """The hub under test: ``remote("create", job_id="j")`` is `Desk.create` over there."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rw", encoding="utf-8", newline="\n")
        self.pid = int(self._lines.readline())

    def __call__(self, name: str, **arguments: Any) -> Any:
        self._lines.write(json.dumps([name, arguments]) + "\n")
        self._lines.flush()
        line = self._lines.readline()
        if not line:
            raise ConnectionError("the process under test has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RemoteError(answer["error"], answer["text"])
        return answer["result"]

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):  # what was not flushed has nobody to read it
            self._lines.close()
        self._connection.close()


class Server:
    """One process, from its start, which is not waited for, to its end.

    ``{port}`` in ``command`` becomes the port. ``tolerated`` are patterns of what the server
    itself complains about in its log.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str | os.PathLike[str],
        environment: Mapping[str, str],
        prefix: str,
        patience: float,
        tolerated: Sequence[str] = (),
    ) -> None:
        self.prefix = prefix
        self.patience = patience
        self.port = free_port()
        self.spent = False
        self._tolerated = re.compile("|".join(tolerated) or r"(?!)")
        self._streams: list[Stream] = []
        self._remote: Remote | None = None
        self._log_read = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        paths = [str(Path(cwd).resolve()), os.environ.get("PYTHONPATH", "")]
        self.command = [part.replace("{port}", str(self.port)) for part in command]
        self.process = subprocess.Popen(
            self.command,
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "PYTHONUNBUFFERED": "1",
                "PYTHONWARNINGS": "default::ResourceWarning",
                CONTROL: str(self._listening.getsockname()[1]),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its workers can be ended with it
        )

    # Asking it

    def wait(self) -> None:
        """Wait until it answers."""
        try:
            wait_until(self._answers, 3 * self.patience, "the server answers GET /ping with pong")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask for a path below the mount."""
        target = f"{self.prefix}{path}"
        return fetch(self.port, method, target, headers, timeout=self.patience)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """``GET`` a path below the mount."""
        return self.request("GET", path, headers)

    def ping(self) -> Answer:
        """``GET /ping``."""
        return fetch(self.port, "GET", "/ping", timeout=self.patience)

    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> Stream:
        """Open a stream: ``stream("/job-1/stream")``. It is closed after the test."""
        target = f"{self.prefix}{path}"
        stream = Stream(self.port, target, headers, timeout=self.patience)
        self._streams.append(stream)
        return stream

    def fill(self, path: str, most: int) -> list[Stream]:
        """Open streams until ``most`` are open, or there is no room for one more."""
        streams: list[Stream] = []
        while len(streams) < most:
            stream = self.stream(path)
            if next(stream, None) is None:
                assert stream.comments == ["busy"]
                break
            streams.append(stream)
        return streams

    # Driving its hub

    @property
    def remote(self) -> Remote:
        """The hub of the process that was the last to start: a worker, or its own."""
        while self._remote is None or _is_readable(self._listening):
            self._listening.settimeout(self.patience)
            newest = Remote(self._listening.accept()[0])
            if self._remote is not None:
                self._remote.close()
            self._remote = newest
        return self._remote

    def job(self, job_id: str, owner: str | None = None, *, begin: bool = True) -> str:
        """Make a job, and begin it; return the id."""
        self.remote("create", job_id=job_id, owner=owner)
        if begin:
            self.remote("begin", job_id=job_id)
        return job_id

    def update(self, job_id: str, progress: float, **state: Any) -> None:
        """Report."""
        self.remote("update", job_id=job_id, progress=progress, **state)

    def wait_for_streams(self, count: int, seconds: float | None = None) -> None:
        """Wait until so many streams are open."""
        seconds = self.patience if seconds is None else seconds
        wait_until(lambda: self.remote("streams") == count, seconds, f"{count} streams are open")

    def clean_up(self) -> None:
        """End what a test has left open."""
        self._leave()
        if not self.spent:
            self.remote("end_all")
            if self.remote("streams"):
                self.remote("counts")  # which collects what nobody can close any more
            self.wait_for_streams(0)

    # Its log

    @property
    def log(self) -> str:
        """All that it has written."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def unread_log(self) -> str:
        """Return what it has written since the last call."""
        log = self.log
        unread = log[self._log_read :]
        self._log_read = len(log)
        return unread

    def complaints(self, log: str) -> list[str]:
        """Return the lines of a log that are of a mistake."""
        kept = self._tolerated.sub("", log)
        return [line for line in kept.splitlines() if _COMPLAINTS.search(line)]

    # Its end

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to stop; nothing is asked of it from now on."""
        self.spent = True
        if self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it, and the processes that it has started, if there are any left."""
        self.spent = True
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Let go of what it held here. It has ended."""
        self._leave()
        if self._remote is not None:
            self._remote.close()
        self._listening.close()
        self._log.close()

    def _leave(self) -> None:
        while self._streams:
            self._streams.pop().close()

    def _answers(self) -> bool:
        code = self.process.poll()
        assert code is None, f"the server ended with {code} instead of answering"
        try:
            return self.ping().body == b"pong" and self.remote is not None
        except (OSError, http.client.HTTPException):  # it isn't there yet
            return False


def free_port(*further: int) -> int:
    """Find a port that is free, and below those that the system gives to clients meanwhile.

    So are those that lie ``further`` above it, by 10,000 at most.
    """
    while True:
        port = random.randrange(12_000, 22_000)  # noqa: S311
        with suppress(OSError):
            for each in (0, *further):
                with socket.socket() as trying:
                    trying.bind(("127.0.0.1", port + each))
            return port


def _is_readable(listening: socket.socket) -> bool:
    return bool(select.select([listening], [], [], 0)[0])
