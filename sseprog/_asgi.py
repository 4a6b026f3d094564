"""The push driver: streams over bare ASGI, written by the publisher's wake-up, not by tasks.

The request's own task parks in ``receive()`` and so sees the disconnect. A publish schedules one
flush per turn of the loop, and the flush *steps* each stream's ``send()`` by hand: on a server
whose buffer has room it is over in one step. A stream that would block is marked busy and
finished by a task, which then catches up from the log. No send is ever awaited after another.
"""

import asyncio
import logging
import time
import types
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import TYPE_CHECKING, Any

from ._http import STREAM_HEADERS, Headers

if TYPE_CHECKING:
    from ._streams import AsyncStream

__all__ = ["Message", "Receive", "Scope", "Send", "body_message", "serve_stream", "start_message"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

logger = logging.getLogger("sseprog")


async def serve_stream(
    stream: "AsyncStream", receive: Receive, send: Send, *, start: Message | None = None
) -> None:
    """Serve ``stream`` until it ends or the client leaves, and close it.

    ``start`` is the message to begin with, where a framework has made one, with more headers.
    """
    start = start or start_message(200, STREAM_HEADERS)
    try:
        async with asyncio.timeout(stream.hub.settings.send_timeout):
            steps = await _send_and_tell(send, start)
            first = await anext(stream)
            more = not stream.subscription.ended
            steps = await _send_and_tell(send, body_message(first, more=more)) and steps
        if not more:
            return
        if steps:
            await PushStream(stream, send).run(receive)
        else:
            await _run_in_tasks(stream, receive, send)
    except (TimeoutError, OSError):  # OSError is ASGI's word for a client that has left
        logger.info("a stream was ended: its client can't be written to")
    finally:
        stream.close()


class PushStream:
    """A stream whose ``send`` is stepped by whoever publishes."""

    __slots__ = ("_busy", "_parked", "_send", "_stream", "closed", "subscription", "tick")

    def __init__(self, stream: "AsyncStream", send: Send) -> None:
        self._stream = stream
        self._send = send
        self._parked: asyncio.Task[Any] | None = None
        self._busy: asyncio.Task[None] | None = None
        self.subscription = stream.subscription
        self.closed = False
        self.tick = 0

    async def run(self, receive: Receive) -> None:
        """Park until the client leaves or the stream has ended."""
        stream = self._stream
        stream.pump.add(stream.watch, self)
        try:
            self.advance()  # what was published while the first frame left
            while not self.closed:
                self._parked = asyncio.current_task()
                message = await receive()
                if message["type"] == "http.disconnect":
                    break
        except asyncio.CancelledError:
            # Ours, from _end(), unless the server cancelled the request as well.
            if not self.closed or self._parked is None or self._parked.uncancel():
                raise
        finally:
            self.closed = True
            self._parked = None
            stream.pump.remove(stream.watch, self)
            if self._busy is not None:
                self._busy.cancel()

    def advance(self) -> None:
        """Write what is due, if the last write is through."""
        if self._busy is not None or self.closed:
            return
        chunk = self._take()
        if not chunk:
            return
        try:
            # __await__, since an ASGI server's awaitable need not be a coroutine.
            steps = self._send(body_message(chunk, more=not self.subscription.ended)).__await__()
            waiting = next(steps)
        except StopIteration:
            if self.subscription.ended:
                self._end()
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error)
        else:
            self._busy = asyncio.create_task(self._catch_up(steps, waiting))

    async def _catch_up(self, steps: Generator[Any, None, Any], waiting: object) -> None:
        """Finish a write that had to wait, then write what has come since."""
        limit = self._stream.hub.settings.send_timeout
        try:
            async with asyncio.timeout(limit):
                await _rest(steps, waiting)
            while not self.subscription.ended and (chunk := self._take()):
                async with asyncio.timeout(limit):
                    await self._send(body_message(chunk, more=not self.subscription.ended))
        except Exception as error:
            self._fail(error)
        else:
            self._busy = None
            if self.subscription.ended:
                self._end()

    def _take(self) -> bytes:
        with self._stream.hub.broker.lock:
            return self.subscription.take(time.monotonic())

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
            if self._parked is not None:
                self._parked.cancel()


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
            async with asyncio.timeout(stream.hub.settings.send_timeout):
                await send(body_message(chunk, more=not stream.subscription.ended))
    finally:
        listening.cancel()


async def _send_and_tell(send: Send, message: Message) -> bool:
    """Send, and tell whether it was over in one step, in the server's own hands."""
    steps = send(message).__await__()
    try:
        waiting = next(steps)
    except StopIteration:
        return True
    await _rest(steps, waiting)
    return False


@types.coroutine
def _rest(steps: Generator[Any, None, Any], waiting: object) -> Generator[object, Any, None]:
    """Await what is left of an awaitable that was stepped once and gave ``waiting``."""
    while True:
        try:
            yield waiting
        except BaseException as error:
            if not hasattr(steps, "throw"):  # an iterator that is no generator: PEP 380
                raise
            try:
                waiting = steps.throw(error)
            except StopIteration:
                return
        else:
            yield from steps
            return


def start_message(status: int, headers: Headers) -> Message:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": raw}


def body_message(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
