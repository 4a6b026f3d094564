"""What streams are sent from, under WSGI and ASGI. Neither holds a database connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, Self

from asgiref.sync import sync_to_async
from django.db import connections

from sseprog.adapters import AsyncStream, Reply, SyncStream

__all__ = ["HANDOVER", "AsyncBody", "Handover", "SyncBody", "close_connections", "late"]

HANDOVER: Final = "sseprog.handover"
"""Where the scope of a request has the `Handover` of `with_streams`."""


def close_connections() -> None:
    """Close the connections of this thread to databases, but those within a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:  # as a TestCase's is
            connection.close()


class SyncBody(Iterator[bytes]):
    """A stream in its thread. When it is first read from, all middleware has run."""

    def __init__(self, stream: SyncStream) -> None:
        self._stream = stream
        self._begun = False

    def __next__(self) -> bytes:
        if not self._begun:
            self._begun = True
            close_connections()
        return next(self._stream)

    def close(self) -> None:
        """End the stream."""
        self._stream.close()


class AsyncBody(AsyncIterator[bytes]):
    """The same in an event loop, where the stream is opened when it is first read from.

    No sooner, since Django drops a response, unclosed, whose client leaves while it is made.
    ``open_stream`` is `sseprog.adapters.Adapter.open_async` of what was asked.
    """

    def __init__(self, open_stream: Callable[[], Reply | AsyncStream]) -> None:
        self._open: Callable[[], Reply | AsyncStream] | None = open_stream
        self._stream: AsyncStream | None = None

    async def __anext__(self) -> bytes:
        if self._open is not None:
            await sync_to_async(close_connections)()  # those of its request's thread
            opened = self._open()
            self._open = None
            if isinstance(opened, Reply):
                return late(opened)
            self._stream = opened
        if self._stream is None:
            raise StopAsyncIteration
        try:
            return await anext(self._stream)
        except asyncio.CancelledError:  # by a server that doesn't wait for the response's close()
            self._stream.close()
            raise

    def close(self) -> None:
        """End the stream. Django calls this in the request's thread."""
        if self._stream is not None:
            self._stream.pump.loop.call_soon_threadsafe(self._stream.close)


class Handover(AsyncIterator[bytes]):
    """The body of a response that `with_streams` sends a stream in place of.

    It is asked for its first chunk when the response is sent, if no middleware has put another in
    its place.
    """

    def __init__(self) -> None:
        self.open: Callable[[], Reply | AsyncStream] | None = None
        self.taken = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self.taken = True
        raise StopAsyncIteration


def late(reply: Reply) -> bytes:
    """Return what can still be said where a stream's head has been sent: *come back later*."""
    return reply.body if reply.status == 200 else b""
