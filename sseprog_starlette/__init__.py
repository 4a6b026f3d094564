"""Mount the progress of jobs in a Starlette or FastAPI application.

    app.mount("/jobs", ProgressApp(hub))

or, to have the routes' names for ``url_for("jobs:stream", job_id=...)``,

    Mount("/jobs", routes=progress_routes(hub), name="jobs")

or, where who may watch is for a route's own dependencies to say,

    @app.get("/imports/{job_id}/stream")
    async def stream(job_id: str, user: Annotated[User, Depends(current_user)]) -> Response:
        return ProgressResponse(hub, job_id)
"""

from collections.abc import Awaitable, Callable

from sseprog import Hub
from sseprog.errors import MissingExtra

try:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute, Route
    from starlette.types import Message, Receive, Scope, Send
except ImportError as error:
    raise MissingExtra(
        'sseprog_starlette needs Starlette: pip install "sseprog[starlette]"'
    ) from error

from sseprog.adapters import Adapter, ASGIApp

__all__ = ["Authorize", "ProgressApp", "ProgressResponse", "progress_routes"]

Authorize = Callable[[Request, str, str | None], bool | Awaitable[bool]]
"""``(request, job_id, owner) -> bool``, sync or async: may this request see this job?"""


class ProgressApp(ASGIApp):
    """The routes of the protocol as an ASGI application, to mount.

    ``authorize`` decides who may watch; by default a job with an owner is for that user, by
    Starlette's ``request.user``, and one without for whoever knows its id. What ``authorize``
    raises of Starlette's `HTTPException` (FastAPI's is one) is the answer; anything else it
    raises is a refusal, a 404, and logged.
    """

    def __init__(self, hub: Hub, *, authorize: Authorize | None = None) -> None:
        if not isinstance(hub, Hub):
            raise TypeError(f"ProgressApp takes a Hub, not {type(hub).__name__}")
        adapter = Adapter(hub, authorize, user_of=_user_of, passing=(HTTPException,))
        super().__init__(adapter, Request)


def progress_routes(hub: Hub, *, authorize: Authorize | None = None) -> list[BaseRoute]:
    """Return the routes of `ProgressApp` by their names: stream, streams, snapshot, cancel, static.

    ``streams`` is that of many jobs, ``?job=a&job=b``.
    """
    app = ProgressApp(hub, authorize=authorize)
    return [
        Route("/static/{name}", app, name="static"),
        Route("/stream", app, name="streams"),
        Route("/{job_id}/stream", app, name="stream"),
        Route("/{job_id}/cancel", app, name="cancel"),
        Route("/{job_id}", app, name="snapshot"),
    ]


class ProgressResponse(Response):
    """Answer a request with a job's stream, whoever it is from: the route decides who may watch.

    The answer is that of the protocol, 204, 400 or 404 where that is due. Headers and cookies
    that the route sets go out with it. It needs no ``Depends`` to stay open: give one that
    ``yield``s, such as a database session, FastAPI's ``scope="function"``, or every viewer holds
    one for as long as the stream lasts.
    """

    def __init__(self, hub: Hub, job_id: str) -> None:
        super().__init__()
        self.raw_headers = []  # drops those of an empty body
        self._app = ASGIApp(Adapter(hub, _anyone, user_of=_user_of), Request)
        self._path = f"/{job_id}/stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.raw_headers]
            await send(message)

        asked = {**scope, "path": self._path, "root_path": ""}
        await self._app(asked, receive, send_with_headers if self.raw_headers else send)
        if self.background is not None:
            await self.background()


async def _anyone(request: Request, job_id: str, owner: str | None) -> bool:
    return True


def _user_of(request: Request) -> str | None:
    """Return the id of the user that AuthenticationMiddleware found.

    ``identity`` is Starlette's word for it; user classes of applications tend to have ``id``.
    The plain ``SimpleUser`` has neither, and is known by its name.
    """
    user = request.scope.get("user")
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    for name in ("identity", "id", "pk", "username"):
        try:
            value = getattr(user, name, None)
        except NotImplementedError:  # BaseUser.identity
            continue
        if value is not None and value != "":
            return str(value)
    return None
