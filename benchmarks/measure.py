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

__all__ = ["Figures", "Load", "call", "run"]

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


def run(contender: Contender, load: Load) -> tuple[Figures, str]:
    """Measure a server under a load; return the figures, and the last line of its log."""
    machine.raise_limit(load.streams + SPARE_FILES)
    with serving(contender, load) as server:
        time.sleep(0.3)  # until what a server does after it has started is done
        empty, before = machine.memory(server.pid), machine.cpu(server.pid)
        longest = load.seconds + (load.grace if load.rate else 0)
        options = {
            "jobs": load.jobs,
            "churn": load.churn,
            "slow": load.slow,
            "window": load.window,
        }
        with Client(server.port, contender.path, load.streams, longest, **options) as client:
            opened = client.opened()
            if opened["opened"] < load.streams:
                few = f"{opened['opened']:,} of {load.streams:,} streams"
                raise Cannot(f"only {few} were open after a minute")
            opening = machine.cpu(server.pid) - before
            full = machine.memory(server.pid)
            time.sleep(0.3)
            before = machine.cpu(server.pid)
            client.count()
            with publishing(contender, load, server.port):
                seen = client.seen()
            used = machine.cpu(server.pid) - before
            after = machine.memory(server.pid)
        log = server.log.read_text(errors="replace").strip().splitlines()
    events, seconds = seen["events"], seen["seconds"]
    return {
        "delivered": (events - seen["duplicates"]) / load.deliveries if load.rate else 1.0,
        "rate": events / seconds,
        "cpu_us": 1e6 * used / events if events else 0.0,
        "core": used / seconds,
        **{name: seen[name] for name in ("p50", "p99", "max")},
        **{name: seen[name] for name in ("gaps", "duplicates", "cut", "refused", "resumed")},
        "stream_kib": (full - empty) / load.streams / 1024,
        "slow_kib": (after - full) / load.slow / 1024 if load.slow else 0.0,
        "open_ms": 1e3 * opening / load.streams,
        "open_seconds": opened["seconds"],
        "client": seen["cpu"] / seconds,
    }, log[-1] if log else ""


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
