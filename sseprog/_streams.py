"""Streams as iterators of bytes: the driver for coroutines, and the one for threads.

Both are a cursor and nothing else while nobody waits at them, so one that is forgotten half-way
costs nothing but its place among ``max_streams``, which it gives back when it is collected. The
hub makes them, under the broker's lock: nothing falls between the log and the cursor into it.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final, Self

from ._event import Cursor, busy

if TYPE_CHECKING:
    from ._places import Places
    from ._pump import Pump
    from .hub import Hub, StreamOptions

__all__ = ["AsyncStream", "BusyStream", "SyncStream"]

_SLICE: Final = 0.5  # seconds; a look costs one system call


class AsyncStream(AsyncIterator[bytes]):
    """The driver for coroutines. `aclose` ends it, also while another task waits in it."""

    __slots__ = ("__weakref__", "_waiter", "client", "closed", "hub", "places", "pump",
                 "subscription", "tick", "watch")  # fmt: skip

    def __init__(self, hub: "Hub", job_id: str, pump: "Pump", options: "StreamOptions") -> None:
        self.closed = True  # for __del__, should the next lines raise
        self.tick = 0
        self.hub = hub
        self.pump = pump
        self.client = options.get("client", "")
        self.places: Places
        self._waiter: asyncio.Future[None] | None = None
        cursor = Cursor.parse(options.get("last_event_id", ""))
        self.watch = self.pump.watch(job_id)
        self.subscription = hub.subscribe(self, self.watch.log, cursor, options)
        self.closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self.closed:
            with self.hub.broker.lock:
                chunk = self.subscription.take(time.monotonic())
            if chunk:
                return chunk
            if self.subscription.ended:
                break
            self._waiter = self.pump.loop.create_future()
            self.pump.add(self.watch, self)
            try:
                # What was published since `take` found nobody to wake.
                if not self.subscription.behind:
                    await self._waiter
            finally:
                self._waiter = None
                self.pump.remove(self.watch, self)
        self.close()
        raise StopAsyncIteration

    def advance(self) -> None:
        """Let `__anext__` look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """End the stream; `__anext__` stops. Calling it again does nothing."""
        if not self.closed:
            self.closed = True
            self.pump.unwatch(self.watch)
            self.hub.unsubscribe(self)
            self.advance()

    async def aclose(self) -> None:
        """End the stream, as an async generator's ``aclose`` does."""
        self.close()

    def __del__(self) -> None:
        # Amid any statement of any thread: nobody waits, and the pump is not to be touched.
        if not self.closed:
            self.closed = True
            self.pump.forget(self.watch)
            self.hub.unsubscribe(self)


class SyncStream(Iterator[bytes]):
    """The driver for threads. `close` ends it, also while another thread waits in it."""

    __slots__ = ("__weakref__", "_connection", "_grown", "_hub", "_job_id", "client", "closed",
                 "places", "subscription")  # fmt: skip

    def __init__(self, hub: "Hub", job_id: str, options: "StreamOptions") -> None:
        self.closed = True  # for __del__, should the next lines raise
        self._hub = hub
        self._job_id = job_id
        self.client = options.get("client", "")
        self.places: Places
        self._connection = options.get("connection")
        self._grown = threading.Event()
        cursor = Cursor.parse(options.get("last_event_id", ""))
        log = hub.broker.watch(job_id, self._grown.set)
        self.subscription = hub.subscribe(self, log, cursor, options)
        self.closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        while not self.closed:
            self._grown.clear()  # before the look, so that nothing after it goes unseen
            with self._hub.broker.lock:
                now = time.monotonic()
                chunk = self.subscription.take(now)
            if chunk:
                return chunk
            if self.subscription.ended:
                if self._connection is not None and self._hub.draining:
                    self._connection.hang_up()
                break
            self._wait(self.subscription.deadline - now)
        self.close()
        raise StopIteration

    def _wait(self, seconds: float) -> None:
        """Wait until the log has grown; in slices, to see whether either end has given up."""
        connection = self._connection
        if connection is None:
            self._grown.wait(min(seconds, threading.TIMEOUT_MAX))
            return
        grown = self._grown.wait(min(seconds, _SLICE))
        if connection.stopping():
            self._hub.drain()
        elif not grown and connection.gone():
            self.close()

    def advance(self) -> None:
        """Let `__next__` look again. Any thread."""
        self._grown.set()

    def close(self) -> None:
        """End the stream; `__next__` stops. Calling it again does nothing."""
        if not self.closed:
            self._give_back()
            self.advance()

    def _give_back(self) -> None:
        self.closed = True
        self._hub.broker.unwatch(self._job_id, self._grown.set)
        self._hub.unsubscribe(self)

    def __del__(self) -> None:
        if not self.closed:
            self._give_back()  # and wake nobody: the event may be in the middle of a set()


class BusyStream(AsyncIterator[bytes], Iterator[bytes]):
    """What a stream is while there is no room for it: *come back later*, and the end."""

    def __init__(self) -> None:
        self._chunks = iter([busy()])

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    async def aclose(self) -> None:
        """Do nothing: there is nothing to give back."""
