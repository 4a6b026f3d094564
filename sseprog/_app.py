"""The ASGI application that Starlette, FastAPI and any other ASGI framework mount."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._adapter import Adapter
from ._asgi import Receive, Scope, Send, body_message, serve_stream, start_message
from ._http import Incoming, Reply
from ._signals import drain_on_signals

if TYPE_CHECKING:
    from ._streams import AsyncStream

__all__ = ["ASGIApp", "incoming_of_scope", "send_reply"]


class ASGIApp:
    """Answer the routes of protocol.md, section 1, relative to the scope's ``root_path``.

    ``request_of(scope, receive)`` makes what ``authorize`` and ``user_of`` are given.
    """

    def __init__(self, adapter: Adapter, request_of: Callable[[Scope, Receive], Any]) -> None:
        self._adapter = adapter
        self._request_of = request_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            reply = await self._answer(scope, receive)
            if isinstance(reply, Reply):
                await send_reply(reply, send)
            else:
                await serve_stream(reply, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> "Reply | AsyncStream":
        """On its own, lest a stream keep what it was asked for by."""
        request = self._request_of(scope, receive)
        incoming = incoming_of_scope(scope, _path_below_mount(scope))
        return await self._adapter.answer_async(request, incoming)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        drain_on_signals(self._adapter.hub)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


def incoming_of_scope(scope: Scope, path: str) -> Incoming:
    """Read a request out of its ASGI scope; ``path`` is what follows the mount."""
    query = scope["query_string"].decode("latin-1")
    peer = scope["client"][0] if scope.get("client") else ""
    return Incoming(scope["method"], path, query, _header_of(scope), peer or "")


async def send_reply(reply: Reply, send: Send) -> None:
    """Send a whole response."""
    await send(start_message(reply.status, reply.headers))
    await send(body_message(reply.body, more=False))


def _path_below_mount(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    # The second where a proxy has taken its prefix off the path, and the application was told of
    # it, as by FastAPI(root_path=...). Starlette keeps that outermost part of root_path apart.
    for prefix in (root, root.removeprefix(scope.get("app_root_path", ""))):
        if path == prefix or path.startswith(f"{prefix}/"):
            return path.removeprefix(prefix)
    return path


def _header_of(scope: Scope) -> Callable[[str], str | None]:
    """Look headers up by their lower-case names, as ASGI has them."""

    def header(name: str) -> str | None:
        # All lines of that name, as one (RFC 9110, section 5.2): a proxy may add a second one.
        wanted = name.encode()
        found = [value.decode("latin-1") for key, value in scope["headers"] if key == wanted]
        return ", ".join(found) if found else None

    return header
