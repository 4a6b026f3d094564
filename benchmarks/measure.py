"""One run: a server and the load client, each on its core, and what came of it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from . import machine
from .client import Client
from .contenders import Contender
from .machine import Cannot

__all__ = ["Figures", "Load", "Run", "call", "running"]

ROOT = Path(__file__).resolve().parents[1]
SPARE_FILES = 100
"""Those of a process besides its streams."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Load:
    """What a server is put under. ``rate`` is in events a second and job; 0 publishes nothing."""

    streams: int = 1000
    rate: float = 20.0
    seconds: float = 4.0
    jobs: int = 1
    churn: float = 0.0
    """Streams that are cut and resumed, a second."""
    slow: int = 0
    """Streams, of all, that read 1 KB a second; only the others are judged."""
    window: int = 64
    """Connections that are being opened at a time."""
    heartbeat: float = 15.0
    grace: float = 3.0
    """Seconds for what has not been delivered when the last event was due."""

    @property
    def deliveries(self) -> int:
        """Events that the judged streams are to get, all together."""
        return (self.streams - self.slow) * round(self.rate * self.seconds)


class Server(NamedTuple):
    """A server that answers."""

    pid: int
    port: int
    log: Path


@contextlib.contextmanager
def serving(contender: Contender, load: Load) -> Iterator[Server]:
    """Start a server on a free port, wait until it answers, and end it and all its processes."""
    port = machine.free_port()
    with tempfile.TemporaryDirectory(prefix="sseprog-benchmark-") as scratch:
        log = Path(scratch, "log")
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JOBS": str(load.jobs),
            "HEARTBEAT": f"{load.heartbeat:g}",
            "FILES": str(load.streams + SPARE_FILES),
            "SCRATCH": scratch,
        }
        command = [*machine.pinned(1), *contender.command(port)]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=out, stderr=out, start_new_session=True
            )
        server = Server(process.pid, port, log)
        try:
            _wait_for(process, server)
            yield server
        finally:
            _end(process)


def _wait_for(process: subprocess.Popen[bytes], server: Server) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = server.log.read_text(errors="replace").strip().splitlines() or ["nothing"]
                raise Cannot(f"its server does not start; it says: {said[-1]}") from None
            time.sleep(0.05)
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group: asked first, and killed after 3 seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)


class Run:
    """A server with all its streams open, to be measured as often as one likes."""

    def __init__(
        self, contender: Contender, load: Load, server: Server, client: Client, opening: Figures
    ) -> None:
        self._contender = contender
        self._load = load
        self._server = server
        self._client = client
        self._opening = opening
        self._full = machine.memory(server.pid)

    def measure(self) -> tuple[Figures, str]:
        """Publish once; return what came of it, and the last line of the server's log."""
        load, pid = self._load, self._server.pid
        before = machine.cpu(pid)
        self._client.count()
        with publishing(self._contender, load, self._server.port):
            seen = self._client.seen()
        used = machine.cpu(pid) - before
        events, seconds = seen["events"], seen["seconds"]
        slow = (machine.memory(pid) - self._full) / load.slow / 1024 if load.slow else 0.0
        log = self._server.log.read_text(errors="replace").strip().splitlines()
        return {
            "delivered": (events - seen["duplicates"]) / load.deliveries if load.rate else 1.0,
            "rate": events / seconds,
            "cpu_us": 1e6 * used / events if events else 0.0,
            "core": used / seconds,
            **{name: seen[name] for name in ("p50", "p99", "max")},
            **{name: seen[name] for name in ("gaps", "duplicates", "cut", "refused", "resumed")},
            "slow_kib": slow,
            "client": seen["cpu"] / seconds,
            **self._opening,
        }, log[-1] if log else ""


@contextlib.contextmanager
def running(contender: Contender, load: Load) -> Iterator[Run]:
    """Start a server, and open its streams."""
    machine.raise_limit(load.streams + SPARE_FILES)
    longest = load.seconds + (load.grace if load.rate else 0)
    options = {"jobs": load.jobs, "churn": load.churn, "slow": load.slow, "window": load.window}
    with serving(contender, load) as server:
        time.sleep(0.3)  # until what a server does after it has started is done
        empty, before = machine.memory(server.pid), machine.cpu(server.pid)
        with Client(server.port, contender.path, load.streams, longest, **options) as client:
            opened = client.opened()
            if opened["opened"] < load.streams:
                few = f"{opened['opened']:,} of {load.streams:,} streams"
                raise Cannot(f"only {few} were open after a minute")
            opening = {
                "open_ms": 1e3 * (machine.cpu(server.pid) - before) / load.streams,
                "open_seconds": opened["seconds"],
                "stream_kib": (machine.memory(server.pid) - empty) / load.streams / 1024,
            }
            time.sleep(0.3)
            yield Run(contender, load, server, client, opening)


def call(what: str, load: Load) -> Figures:
    """Measure what a report costs its caller, with no server and no client; see `calls`."""
    command = [sys.executable, "-m", "benchmarks.calls", what, str(load.jobs)]
    out = subprocess.run([*machine.pinned(1), *command], cwd=ROOT, check=True, capture_output=True)
    return dict(json.loads(out.stdout))


@contextlib.contextmanager
def publishing(contender: Contender, load: Load, port: int) -> Iterator[None]:
    """Have the server publish, or a process on the client's core post to it."""
    if not load.rate:
        yield
    elif contender.publisher is None:
        query = f"rate={load.rate:g}&seconds={load.seconds:g}&jobs={load.jobs}"
        urllib.request.urlopen(f"http://127.0.0.1:{port}/start?{query}", timeout=30).close()
        yield
    else:
        words = [f"{value:g}" for value in (load.rate, load.seconds, load.jobs)]
        publisher = subprocess.Popen(
            [*machine.pinned(0), *contender.publisher(port), *words], cwd=ROOT
        )
        try:
            yield
        finally:
            publisher.kill()
            publisher.wait()
