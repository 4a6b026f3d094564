"""Real uvicorn servers on free loopback ports, and clients that are closed at the end."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sseprog import Hub
from sseprog.testing._client import Stream

from .uvicorn_thread import UvicornThread

Serve = Callable[..., UvicornThread]
Connect = Callable[..., Stream]
Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub that publishes each report at once."""
    made = Hub(throttle=0)
    yield made
    made.close()


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """A client for whole answers; one for all tests, since making it reads all of certifi."""
    with httpx.Client(timeout=10) as client:
        yield client


@pytest.fixture(scope="session")
def stopping_servers() -> Iterator[list[UvicornThread]]:
    """Servers that were told to stop; waiting for each in turn would take most of the time."""
    servers: list[UvicornThread] = []
    yield servers
    for server in servers:
        server.join()


@pytest.fixture
def serve(stopping_servers: list[UvicornThread]) -> Iterator[Serve]:
    """Serve an ASGI application: ``serve(app, loop="asyncio", http="h11", root_path="/api")``."""
    servers: list[UvicornThread] = []

    def start(app: Any, **options: Any) -> UvicornThread:
        server = UvicornThread(app, **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()
    stopping_servers.extend(servers)


@pytest.fixture
def connect(serve: Serve) -> Iterator[Connect]:
    """Open a stream: ``connect(server.port, path)``. Closed before the server is stopped."""
    clients: list[Stream] = []

    def open_stream(port: int, path: str, **options: Any) -> Stream:
        client = Stream(port, path, **options)
        clients.append(client)
        return client

    yield open_stream
    for client in clients:
        client.close()
