"""Mount the progress of jobs in a Starlette or FastAPI application.

    app.mount("/jobs", ProgressApp(hub))

or, to have the routes' names for ``url_for("jobs:stream", job_id=...)``,

    Mount("/jobs", routes=progress_routes(hub), name="jobs")
"""

from collections.abc import Awaitable, Callable

from sseprog import Hub
from sseprog.errors import MissingExtra

try:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.routing import BaseRoute, Route
    from starlette.types import Receive, Scope, Send
except ImportError as error:
    raise MissingExtra(
        'sseprog_starlette needs Starlette: pip install "sseprog[starlette]"'
    ) from error

from sseprog._access import Access
from sseprog._app import ASGIApp

__all__ = ["Authorize", "ProgressApp", "progress_routes"]

Authorize = Callable[[Request, str, str | None], bool | Awaitable[bool]]
"""``(request, job_id, owner) -> bool``, sync or async: may this request see this job?"""


class ProgressApp:
    """The routes of the protocol as an ASGI application, to mount.

    ``authorize`` decides who may watch; by default a job with an owner is for that user, by
    Starlette's ``request.user``, and one without for whoever knows its id. What ``authorize``
    raises of Starlette's `HTTPException` (FastAPI's is one) is the answer; anything else it
    raises is a refusal, a 404, and logged.
    """

    def __init__(self, hub: Hub, *, authorize: Authorize | None = None) -> None:
        if not isinstance(hub, Hub):
            raise TypeError(f"ProgressApp takes a Hub, not {type(hub).__name__}")
        access = Access(hub, authorize, user_of=_user_of, passing=(HTTPException,))

        async def allows(scope: Scope, receive: Receive, job_id: str) -> bool:
            return await access.allows(Request(scope, receive), job_id)

        self._app = ASGIApp(hub, allows)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def progress_routes(hub: Hub, *, authorize: Authorize | None = None) -> list[BaseRoute]:
    """Return the routes of `ProgressApp` by their names: stream, snapshot, cancel, static."""
    app = ProgressApp(hub, authorize=authorize)
    return [
        Route("/static/{name}", app, name="static"),
        Route("/{job_id}/stream", app, name="stream"),
        Route("/{job_id}/cancel", app, name="cancel"),
        Route("/{job_id}", app, name="snapshot"),
    ]


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
        if isinstance(value, (str, int)) and value != "":
            return str(value)
    return None
