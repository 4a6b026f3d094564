"""Behind the middleware that applications have: events at once, departures noticed, clean ends."""

import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount

from sseprog import Hub
from sseprog_starlette import ProgressApp

from .conftest import Connect, Eventually, Serve


class PlainMiddleware:
    """Wraps both channels, as tracing does."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def traced_receive() -> Any:
            return await receive()

        async def traced_send(message: Any) -> None:
            await send(message)

        await self.app(scope, traced_receive, traced_send)


class HeaderMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["X-Seen"] = "yes"
        return response


class BodyReadingMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Any, call_next: Any) -> Any:
        await request.body()
        return await call_next(request)


class Everybody(AuthenticationBackend):
    async def authenticate(self, conn: Any) -> tuple[AuthCredentials, SimpleUser]:
        conn.session["seen"] = True
        return AuthCredentials(["authenticated"]), SimpleUser("ada")


HEADER = Middleware(HeaderMiddleware)
GZIP = Middleware(GZipMiddleware, minimum_size=1)
PLAIN = Middleware(PlainMiddleware)

STACKS: dict[str, list[Middleware]] = {
    "none": [],
    "plain": [PLAIN],
    "base": [HEADER],
    "base, three layers": [HEADER, HEADER, HEADER],
    "base that reads the body": [Middleware(BodyReadingMiddleware)],
    "gzip": [GZIP],
    "base in gzip": [GZIP, HEADER],
    "gzip in base": [HEADER, GZIP],
    "plain in base in plain": [PLAIN, HEADER, PLAIN],
    "cors": [Middleware(CORSMiddleware, allow_origins=["https://example.org"])],
    "session and authentication": [
        Middleware(SessionMiddleware, secret_key=secrets.token_hex()),
        Middleware(AuthenticationMiddleware, backend=Everybody()),
    ],
}


@pytest.fixture(params=STACKS.values(), ids=STACKS)
def behind(request: pytest.FixtureRequest) -> Callable[[Hub], Starlette]:
    def make(hub: Hub) -> Starlette:
        mount = Mount("/jobs", ProgressApp(hub))
        return Starlette(routes=[mount], middleware=request.param)

    return make


BROWSER = {"Accept-Encoding": "gzip, deflate, br", "Origin": "https://example.org"}
PATH = "/jobs/job-1/stream"


def test_events_come_one_by_one_to_the_end(
    behind: Callable[[Hub], Starlette], hub: Hub, serve: Serve, connect: Connect
) -> None:
    server = serve(behind(hub))
    with hub.job("job-1") as job:
        stream = connect(server.port, PATH, headers=BROWSER)
        assert next(stream).name == "status"
        assert stream.response.headers["content-encoding"] is None
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        for number in range(1, 6):
            job.update(number)
            assert next(stream).data["progress"] == number
    assert [event.name for event in stream] == ["complete"]


def test_a_departure_is_noticed_without_a_write(
    behind: Callable[[Hub], Starlette],
    hub: Hub,
    serve: Serve,
    connect: Connect,
    eventually: Eventually,
) -> None:
    server = serve(behind(hub))
    with hub.job("job-1") as job:
        leaving, staying = (connect(server.port, PATH, headers=BROWSER) for _ in range(2))
        for stream in (leaving, staying):
            next(stream)
        leaving.close()
        eventually(lambda: hub.streams == 1)
        job.update(50)
        assert next(staying).data["progress"] == 50


def test_draining_ends_streams_cleanly(
    behind: Callable[[Hub], Starlette],
    hub: Hub,
    serve: Serve,
    connect: Connect,
    eventually: Eventually,
) -> None:
    server = serve(behind(hub))
    hub.create("job-1")
    streams = [connect(server.port, PATH, headers=BROWSER) for _ in range(5)]
    for stream in streams:
        next(stream)
    hub.drain()
    for stream in streams:
        assert list(stream) == []  # and no IncompleteRead
        assert len(stream.retries) == 2
        assert 1000 <= stream.retries[-1] <= 5000
    eventually(lambda: hub.streams == 0)


def test_a_stuck_client_is_given_up(
    behind: Callable[[Hub], Starlette], serve: Serve, connect: Connect, eventually: Eventually
) -> None:
    hub = Hub(throttle=0, send_timeout=0.2)
    server = serve(behind(hub), send_buffer=4096)
    with hub.job("job-1") as job:
        stuck = connect(server.port, PATH, headers=BROWSER, receive_buffer=4096)
        next(stuck)

        def is_given_up() -> bool:
            job.update(message=str(time.monotonic()), details={"filler": "x" * 15_000})
            return hub.streams == 0

        eventually(is_given_up)
    hub.close()
