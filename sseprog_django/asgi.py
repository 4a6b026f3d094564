"""Streams without a thread: under ASGI, Django keeps one for every request that is open."""

import asyncio
from collections.abc import Awaitable, Callable

from asgiref.sync import ThreadSensitiveContext, sync_to_async

from sseprog._asgi import Message, Receive, Scope, Send, body_message, serve_stream
from sseprog.adapters import AsyncStream, Reply

from ._body import HANDOVER, Handover, close_connections, late

__all__ = ["with_streams"]

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def with_streams(application: Application) -> Application:
    """Serve streams beside Django: ``application = with_streams(get_asgi_application())``.

    A request for a stream goes through Django as ever, with its middleware, its sessions and
    ``AUTHORIZE``. Where it ends in a stream, Django is done with it before the stream begins, so
    that neither a thread nor a database connection is held. All other answers are Django's.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/stream"):
            await application(scope, receive, send)
            return
        opened, start = await _asked(application, scope, receive, send)
        if isinstance(opened, AsyncStream):
            await serve_stream(opened, receive, send, start=start)
        elif opened is not None and start is not None:
            await send(start)
            await send(body_message(late(opened), more=False))

    return serve


async def _asked(
    application: Application, scope: Scope, receive: Receive, send: Send
) -> tuple[Reply | AsyncStream | None, Message | None]:
    """Let Django answer; return what is to be sent in place of its body, and how it begins.

    On its own, so that the request and all that Django made of it are let go of before the stream.
    """
    handover = Handover()
    link = _Link(handover, receive, send)
    async with ThreadSensitiveContext():  # which outlives Django's own
        await application({**scope, HANDOVER: handover}, link.receive, link.send)
        if handover.taken:
            await sync_to_async(close_connections)()
    if not handover.taken or handover.open is None:
        return None, None
    return handover.open(), link.held


class _Link:
    """Between Django and the server: lets all through but the response that is handed over."""

    def __init__(self, handover: Handover, receive: Receive, send: Send) -> None:
        self.held: Message | None = None
        self._handover = handover
        self._receive = receive
        self._send = send
        self._asked = False
        self._answered = asyncio.Event()

    async def receive(self) -> Message:
        """Receive the request; and the disconnect, unless it is for the stream to receive."""
        if self._asked:
            await self._answered.wait()
        message = await self._receive()
        self._asked = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Hold the start of a response back while it may be that of a stream."""
        if message["type"] == "http.response.start" and self._handover.open is not None:
            self.held = message
        elif not self._handover.taken:
            self._answered.set()
            if self.held is not None:
                held, self.held = self.held, None
                await self._send(held)
            await self._send(message)
