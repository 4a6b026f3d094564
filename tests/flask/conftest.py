"""Applications on werkzeug's server, in threads of the test's own process."""

import os
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
from flask import Flask
from werkzeug.serving import BaseWSGIServer, make_server

Serve = Callable[[Flask], int]
Connect = Callable[..., HTTPConnection]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SSEPROG_"):
            monkeypatch.delenv(name)


@pytest.fixture
def app() -> Flask:
    return Flask("app_under_test")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve an application; return its port."""
    servers: list[tuple[BaseWSGIServer, threading.Thread]] = []

    def start(app: Flask) -> int:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        servers.append((server, thread))
        return server.server_port

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture
def connect(serve: Serve) -> Iterator[Connect]:
    """Send a request: ``connect(port, path, headers={...})``; closed before the server is."""
    connections: list[HTTPConnection] = []

    def send(
        port: int, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> HTTPConnection:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connections.append(connection)
        connection.request(method, path, headers=headers or {})
        return connection

    yield send
    for connection in connections:
        connection.close()
