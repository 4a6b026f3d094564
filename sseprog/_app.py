"""The ASGI application that Starlette, FastAPI and Django under ASGI mount."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from . import _http
from ._asgi import Receive, Scope, Send, body_message, serve_stream, start_message
from ._signals import drain_on_signals
from ._streams import AsyncStream
from .errors import JobNotFound

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["ASGIApp"]

Allows = Callable[[Scope, Receive, str], Awaitable[bool]]
"""``(scope, receive, job_id) -> bool``: may this request see this job?"""


class ASGIApp:
    """Answer the routes of protocol.md, section 1, relative to the scope's ``root_path``.

    ``user_of`` gives the id of the user that a request is from, if there is one.
    """

    def __init__(self, hub: "Hub", allows: Allows, user_of: Callable[[Scope], str | None]) -> None:
        self._hub = hub
        self._allows = allows
        self._user_of = user_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._request(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        drain_on_signals(self._hub)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        ask = _http.parse(
            scope["method"],
            _path_below_mount(scope),
            scope["query_string"].decode("latin-1"),
            _header_of(scope),
        )
        reply: _http.Reply | None
        if isinstance(ask, _http.Reply):
            reply = ask
        else:
            reply = _http.NOT_FOUND
            if await self._allows(scope, receive, ask.job_id):
                try:
                    if ask.what == "stream":
                        reply = await self._stream(ask, scope, receive, send)
                    else:
                        reply = _http.answer(self._hub, ask)
                except JobNotFound:  # its time to live ended just now
                    reply = _http.NOT_FOUND
        if reply is not None:
            await _send_reply(reply, send, head=scope["method"] == "HEAD")

    async def _stream(
        self, ask: _http.Ask, scope: Scope, receive: Receive, send: Send
    ) -> _http.Reply | None:
        """Serve a stream, or return the reply that stands for it."""
        drain_on_signals(self._hub)
        ask.options["client"] = self._client_of(scope)
        stream = self._hub.astream(ask.job_id, **ask.options)
        if not isinstance(stream, AsyncStream):
            return _http.busy_reply(ask)
        if stream.subscription.ended:
            stream.close()
            return _http.NOTHING_LEFT
        if ask.head:
            stream.close()
            return _http.Reply(200, _http.STREAM_HEADERS)
        await serve_stream(stream, receive, send)
        return None

    def _client_of(self, scope: Scope) -> str:
        """Name who is asking: the user, else the address, which a server may take from a proxy."""
        if self._hub.settings.max_streams_per_client is None:
            return ""
        user = self._user_of(scope)
        if user is not None:
            return f"user {user}"
        return f"address {scope['client'][0]}" if scope.get("client") else ""


def _path_below_mount(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    # The second where a proxy has taken its prefix off the path, and the application was told of
    # it, as by FastAPI(root_path=...). Starlette keeps that outermost part of root_path apart.
    for prefix in (root, root.removeprefix(scope.get("app_root_path", ""))):
        if path == prefix or path.startswith(f"{prefix}/"):
            return path.removeprefix(prefix)
    return path


async def _send_reply(reply: _http.Reply, send: Send, *, head: bool) -> None:
    headers = reply.headers
    if reply.body:
        headers = (*headers, ("Content-Length", str(len(reply.body))))
    await send(start_message(reply.status, headers))
    await send(body_message(b"" if head else reply.body, more=False))


def _header_of(scope: Scope) -> Callable[[str], str | None]:
    """Look headers up by their lower-case names, as ASGI has them."""

    def header(name: str) -> str | None:
        wanted = name.encode()
        for key, value in scope["headers"]:
            if key == wanted:
                text: str = value.decode("latin-1")
                return text
        return None

    return header
