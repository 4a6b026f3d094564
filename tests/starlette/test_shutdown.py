"""uvicorn, as people start it, told to stop while a hundred streams are open."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sseprog.testing._client import Stream

STREAMS = 100
PATIENCE = 5.0
"""Seconds until a server counts as hung: one that ends at all does within 0.3."""

APPS = {
    "mounted": """
from starlette.applications import Starlette
from starlette.routing import Mount
from sseprog_starlette import ProgressApp
app = Starlette(routes=[Mount("/jobs", ProgressApp(hub))])
""",
    "routes": """
from starlette.applications import Starlette
from starlette.routing import Mount
from sseprog_starlette import progress_routes
app = Starlette(routes=[Mount("/jobs", routes=progress_routes(hub))])
""",
    "fastapi": """
from fastapi import FastAPI
from sseprog_starlette import ProgressApp
app = FastAPI()
app.mount("/jobs", ProgressApp(hub))
""",
    "behind BaseHTTPMiddleware": """
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount
from sseprog_starlette import ProgressApp
async def pass_on(request, call_next):
    return await call_next(request)
app = Starlette(
    routes=[Mount("/jobs", ProgressApp(hub))],
    middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)],
)
""",
    "alone": """
from sseprog_starlette import ProgressApp
app = ProgressApp(hub)
""",
}
HUB = 'from sseprog import Hub\nhub = Hub()\nhub.create("job-1")\n'

Start = Callable[..., tuple["subprocess.Popen[bytes]", list[Stream]]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []
    clients: list[Stream] = []

    def begin(app: str, *options: str) -> tuple["subprocess.Popen[bytes]", list[Stream]]:
        """Start uvicorn in ``tmp_path``, and open the streams."""
        (tmp_path / "served.py").write_text(HUB + APPS[app])
        # In a file: a module of its own is what uvicorn reloads, and its workers import.
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
            fd = listening.fileno()
            command = [sys.executable, "-m", "uvicorn", "served:app", "--fd", str(fd), *options]
            process = subprocess.Popen(command, cwd=tmp_path, pass_fds=[fd])
            processes.append(process)
            path = "/job-1/stream" if app == "alone" else "/jobs/job-1/stream"
            port = listening.getsockname()[1]
            for _ in range(STREAMS):
                client = Stream(port, path)
                clients.append(client)
                assert next(client).name == "status"
        return process, clients

    yield begin
    for client in clients:
        client.close()
    for process in processes:
        process.kill()
        process.wait()


def read_to_the_end(clients: list[Stream]) -> None:
    """Each has a last retry: and a clean end; one that is cut raises IncompleteRead."""
    for client in clients:
        assert list(client) == []
        assert len(client.retries) == 2
    last = [client.retries[1] for client in clients]
    assert min(last) >= 1000
    assert max(last) <= 5000
    assert len(set(last)) > len(last) / 2, "nobody comes back together"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
@pytest.mark.parametrize("app", APPS)
def test_a_signal_ends_a_hundred_streams_and_the_server(
    start: Start, app: str, number: signal.Signals
) -> None:
    process, clients = start(app)
    process.send_signal(number)
    read_to_the_end(clients)
    process.wait(PATIENCE)


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_each_loop_and_parser_of_uvicorn_ends(start: Start, loop: str, http: str) -> None:
    process, clients = start("mounted", "--loop", loop, "--http", http)
    process.terminate()
    read_to_the_end(clients)
    process.wait(PATIENCE)


def test_the_workers_of_a_supervisor_end(start: Start) -> None:
    process, clients = start("mounted", "--workers", "2")
    process.terminate()
    read_to_the_end(clients)
    process.wait(PATIENCE)


def test_a_server_reloads_with_open_streams(start: Start, tmp_path: Path) -> None:
    process, clients = start("mounted", "--reload")
    seen = threading.Event()

    def change() -> None:
        """Change the file until it is noticed: uvicorn looks away for its first half second."""
        while not seen.wait(0.2):
            with (tmp_path / "served.py").open("a") as file:
                file.write("# changed\n")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        assert list(clients[0]) == []
    finally:
        seen.set()
        changing.join()
    read_to_the_end(clients)
    process.terminate()
    process.wait(PATIENCE)
