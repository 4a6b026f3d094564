"""A real Redis, a store that processes share, and workers that run until their test is over."""

import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from sseprog import Hub, JobNotFound, Progress
from sseprog.testing._server import free_port

HERE = Path(__file__).parent
REDIS = "/usr/bin/redis-server"

LEASE = 1.0  # seconds: a job whose process was killed is lost after two


def wait_until(condition: Callable[[], object], seconds: float = 20, *, what: str = "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what or "it never came true"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a Redis of our own."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*map(str, command)], stdout=log)
    try:
        wait_until(lambda: _answers(port), what=(folder / "log").read_text())
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


class Workers:
    """Start workers, each with what they share in its environment; end them with the test."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(
        self, *command: str | Path, ready: str = "", environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Run ``python ...``; return once it has written ``ready``."""
        path = self.folder / f"worker-{len(self._processes)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *map(str, command)],
                stdout=log,
                stderr=log,
                cwd=HERE,
                env={**os.environ, **self.environment, **(environment or {})},
                start_new_session=True,
            )
        process.log_path = path  # type: ignore[attr-defined]
        self._processes.append(process)

        def is_ready() -> bool:
            assert process.poll() is None, path.read_text()
            return ready in path.read_text()

        wait_until(is_ready, 30, what=f"not ready: {path}")
        return process

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask a worker to finish what it does, and wait for that."""
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        self._processes.remove(process)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a worker and its child processes, which have a session of their own."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill(process)


def status(hub: Hub, job_id: str) -> str:
    try:
        return hub.snapshot(job_id).status
    except JobNotFound:
        return "unknown"


def reach(hub: Hub, job_id: str, *statuses: str, seconds: float = 20) -> Progress:
    """Wait until a job has one of these statuses; return its state then."""

    def reached() -> bool:
        return status(hub, job_id) in statuses

    wait_until(reached, seconds, what=f"{job_id} is not {statuses}, but {status(hub, job_id)}")
    return hub.snapshot(job_id)


@pytest.fixture(scope="session")
def hub_url(redis_url: str) -> str:
    """Where jobs are kept: the same Redis as the queues', in another of its databases."""
    return f"{redis_url}/1"


@pytest.fixture(scope="module")
def workers(
    redis_url: str, hub_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("workers")
    made = Workers(folder, {"QUEUE_URL": f"{redis_url}/0", "HUB_URL": hub_url, "LEASE": str(LEASE)})
    yield made
    made.close()


Import = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def import_tasks(workers: Workers) -> Iterator[Import]:
    """Import a file of tasks, as who sends them has it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in workers.environment.items():
            patch.setenv(name, value)
        yield lambda name: importlib.import_module(f".{name}", __package__)


@pytest.fixture
def watching(hub_url: str) -> Iterator[Hub]:
    """The hub of a process that shows jobs, as a web server is one."""
    hub = Hub(hub_url, lease=LEASE)
    yield hub
    hub.close()
