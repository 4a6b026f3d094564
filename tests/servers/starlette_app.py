"""The application under test: Starlette."""

from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    SimpleUser,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from sseprog import Hub
from sseprog.testing import authorize_under_test, remote_control
from sseprog_starlette import ProgressApp


class HeaderBackend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        user = conn.headers.get("x-user")
        return (AuthCredentials(["authenticated"]), SimpleUser(user)) if user else None


async def ping(request: Request) -> PlainTextResponse:
    return PlainTextResponse("pong")


hub = Hub()
remote_control(hub)
app = Starlette(
    routes=[
        Route("/ping", ping),
        Mount("/jobs", ProgressApp(hub, authorize=authorize_under_test())),
    ],
    middleware=[Middleware(AuthenticationMiddleware, backend=HeaderBackend())],
)
