"""The push driver: streams over bare ASGI, written by the publisher's wake-up, not by tasks.

The request's own task parks in ``receive()`` and so sees the disconnect. A publish schedules one
flush per turn of the loop, which *steps* each stream's ``send()`` by hand: on a server whose
buffer has room it is over in one step. A stream that would block is left to a task, which then
catches up from the log. No send is ever awaited after another.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from ._http import STREAM_HEADERS, Headers
from ._step import Left, Message, Send, await_left, step, step_each

if TYPE_CHECKING:
    from ._streams import AsyncStream

__all__ = ["Message", "Receive", "Scope", "Send", "body_message", "serve_stream", "start_message"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

logger = logging.getLogger("sseprog")


async def serve_stream(
    stream: "AsyncStream", receive: Receive, send: Send, *, start: Message | None = None
) -> None:
    """Serve ``stream`` until it ends or the client leaves, and close it.

    ``start`` is the message to begin with, where a framework has made one, with more headers.
    """
    pushed = None
    try:
        steps = await _begin(stream, send, start)
        if stream.subscription.ended:
            return
        if not steps:
            await _run_in_tasks(stream, receive, send)
            return
        # Here, not in a coroutine of its own: ten thousand of them are 2 MB.
        pushed = PushStream(stream, send)
        pushed.join()
        pushed.request = asyncio.current_task()
        while not pushed.closed and (await receive())["type"] != "http.disconnect":
            pass
    except asyncio.CancelledError:
        # Ours, since the stream is over, unless the server cancelled the request as well.
        if pushed is None or not pushed.ended_its_request():
            raise
    except (TimeoutError, OSError):  # OSError is ASGI's word for a client that has left
        logger.info("a stream was ended: its client can't be written to")
    finally:
        if pushed is not None:
            pushed.leave()
        stream.close()


async def _begin(stream: "AsyncStream", send: Send, start: Message | None) -> bool:
    """Send the head and what is due, and tell whether each send was over in one step.

    On its own, since what it needs for that would else be kept as long as the stream.
    """
    steps = await _send(stream, send, start or start_message(200, STREAM_HEADERS))
    first = await anext(stream)
    body = body_message(first, more=not stream.subscription.ended)
    return await _send(stream, send, body) and steps


async def _send(stream: "AsyncStream", send: Send, message: Message) -> bool:
    """Send within ``send_timeout``, and tell whether it was over in one step."""
    left = step(send, message)
    if left is not None:
        async with asyncio.timeout(stream.hub.settings.send_timeout):
            await await_left(left)
    return left is None


class PushStream:
    """A stream whose ``send`` is stepped by whoever publishes.

    While a write has to wait it is not the pump's, but a task's.
    """

    __slots__ = ("_busy", "_stream", "closed", "request", "send", "subscription", "tick", "watch")

    def __init__(self, stream: "AsyncStream", send: Send) -> None:
        self._stream = stream
        self.request: asyncio.Task[Any] | None = None  # while it waits for the client to leave
        self._busy: asyncio.Task[None] | None = None
        self.send = send
        self.subscription = stream.subscription
        self.watch = stream.watch
        self.closed = False
        self.tick = 0

    def join(self) -> None:
        """Be woken from now on, and write what was published before."""
        self._stream.pump.join(self)

    def leave(self) -> None:
        """Be woken and written to no more."""
        self.closed = True
        self.request = None
        self._stream.pump.remove(self)
        if self._busy is not None:
            self._busy.cancel()

    def take(self, now: float) -> bytes:
        """Return what is due."""
        return self.subscription.take(now)

    def write(self, chunk: bytes) -> None:
        """Write what was taken."""
        more = not self.subscription.ended
        for _, left in step_each([self.send], chunk, more=more):
            self.finish(left)
            return
        if not more:
            self._end()

    def finish(self, left: Left | BaseException) -> None:
        """Leave to a task what is left of a write, and be out of the pump's way until then."""
        if isinstance(left, BaseException):
            self._fail(left)
        else:
            self._stream.pump.remove(self)
            self._busy = asyncio.create_task(self._await(left))

    async def _await(self, left: Left) -> None:
        try:
            async with asyncio.timeout(self._stream.hub.settings.send_timeout):
                await await_left(left)
        except (Exception, asyncio.CancelledError) as error:
            if self.closed:
                raise
            self._fail(error)
            return
        self._busy = None
        if self.subscription.ended:
            self._end()
        elif not self.closed:
            self.join()

    def _fail(self, error: BaseException) -> None:
        """Give up a client that can't be written to."""
        if isinstance(error, TimeoutError):
            logger.info("a stream was ended: its client read nothing within send_timeout")
        elif not isinstance(error, OSError):  # OSError is ASGI's word for a client that has left
            logger.warning("a stream was ended: its server's send() failed", exc_info=error)
        self._busy = None
        self._end()

    def _end(self) -> None:
        """Let the request's task return. It waits in receive(), which need not come back."""
        if not self.closed:
            self.closed = True
            self._stream.pump.remove(self)
            if self.request is not None:
                self.request.cancel()

    def ended_its_request(self) -> bool:
        """Tell whether the request was cancelled by `_end`, and by nobody else."""
        return self.closed and self.request is not None and not self.request.uncancel()


async def _run_in_tasks(stream: "AsyncStream", receive: Receive, send: Send) -> None:
    """Serve a stream whose ``send`` hands over to another task, as some middleware's does.

    Such a ``send`` may belong to the request's task (a cancel scope, a context variable), so it
    is awaited there, and a second task listens for the disconnect.
    """

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        stream.close()

    listening = asyncio.create_task(listen())
    try:
        async for chunk in stream:
            await _send(stream, send, body_message(chunk, more=not stream.subscription.ended))
    finally:
        listening.cancel()


def start_message(status: int, headers: Headers) -> Message:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": raw}


def body_message(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
