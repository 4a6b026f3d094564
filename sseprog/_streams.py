"""Streams as iterators of bytes: the driver for coroutines, and the one for threads.

Both are a cursor and nothing else while nobody waits at them, so one that is forgotten half-way
costs nothing but its place among ``max_streams``, which it gives back when it is collected. The
hub makes them, under the broker's lock: nothing falls between the log and the cursor into it.
"""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final, Self

from ._event import Cursor, busy

if TYPE_CHECKING:
    from ._places import Places
    from ._pump import Pump
    from ._step import Left
    from .hub import Hub, StreamOptions

__all__ = ["AsyncStream", "BusyStream", "SyncStream"]

_NEAR: Final = 2.0
"""Seconds; what is nearer is waited for with a timeout, which is exact, but costs more."""


class AsyncStream(AsyncIterator[bytes]):
    """The driver for coroutines. `aclose` ends it, also while another task waits in it."""

    __slots__ = ("__weakref__", "_waiter", "client", "closed", "hub", "places", "pump",
                 "send", "subscription", "tick", "watch")  # fmt: skip

    def __init__(
        self, hub: "Hub", jobs: "str | tuple[str, ...]", pump: "Pump", options: "StreamOptions"
    ) -> None:
        self.closed = True  # for __del__, should the next lines raise
        self.tick = 0
        self.send = None
        self.hub = hub
        self.pump = pump
        self.client = options.get("client", "")
        self.places: Places
        self._waiter: asyncio.Future[None] | None = None
        cursor = Cursor.parse(options.get("last_event_id", ""))
        self.watch = self.pump.watches.watch(jobs)
        self.subscription = hub.subscribe(self, jobs, self.watch.logs, cursor, options)
        self.closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self.closed:
            now = time.monotonic()
            if self.hub.draining:
                self.subscription.drain(now)
            with self.hub.broker.lock:
                chunk = self.subscription.take(now)
            if chunk:
                return chunk
            if self.subscription.ended:
                break
            self._waiter = self.pump.loop.create_future()
            self.pump.add(self)
            try:
                # What was published since `take` found nobody to wake.
                if not self.subscription.behind:
                    await self._waiter
            finally:
                self._waiter = None
                self.pump.remove(self)
        self.close()
        raise StopAsyncIteration

    def wake(self) -> None:
        """Let `__anext__` look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def take(self, now: float) -> bytes:
        """Wake whoever reads, who takes then: what a cancelled read had taken would be lost."""
        self.wake()
        return b""

    def write(self, chunk: bytes) -> None:
        """Do nothing: the pump writes what it takes, and gets nothing here."""

    def finish(self, left: "Left | BaseException") -> None:
        """Do nothing, as there is no ``send``."""

    def close(self) -> None:
        """End the stream; `__anext__` stops. Calling it again does nothing."""
        if not self.closed:
            self.closed = True
            self.pump.watches.unwatch(self.watch)
            self.hub.unsubscribe(self)
            self.wake()

    async def aclose(self) -> None:
        """End the stream, as an async generator's ``aclose`` does."""
        self.close()

    def __del__(self) -> None:
        # Amid any statement of any thread: nobody waits, and the pump is not to be touched.
        if not self.closed:
            self.closed = True
            self.pump.watches.forget(self.watch)
            self.hub.unsubscribe(self)


class SyncStream(Iterator[bytes]):
    """The driver for threads. `close` ends it, also while another thread waits in it."""

    __slots__ = ("__weakref__", "_grown", "_hub", "_second", "_threads", "_watch", "client",
                 "closed", "connection", "places", "subscription")  # fmt: skip

    def __init__(self, hub: "Hub", jobs: "str | tuple[str, ...]", options: "StreamOptions") -> None:
        self.closed = True  # for __del__, should the next lines raise
        self._hub = hub
        self._grown: threading.Event | None = None
        self._second = math.inf
        self.client = options.get("client", "")
        self.places: Places
        self.connection = options.get("connection")
        cursor = Cursor.parse(options.get("last_event_id", ""))
        self._threads = hub.threads  # of this process, and not of one that is forked from it
        self._watch = self._threads.watches.watch(jobs)
        self.subscription = hub.subscribe(self, jobs, self._watch.logs, cursor, options)
        self.closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        subscription = self.subscription
        if self._grown is None and self.connection is not None:
            self._threads.look_after_clients()
        while not self.closed:
            if subscription.ended:
                if self.connection is not None and self._hub.draining:
                    self.connection.hang_up()
                break
            if self._grown is not None:
                self._grown.wait(self._timeout())
            with self._hub.broker.lock:
                now = time.monotonic()
                chunk = subscription.take(now)
                # What is set by all that comes after this look, also while the chunk is written.
                self._second = self._second_of(subscription.deadline, now)
                self._grown = self._watch.event(self._second)
            if chunk:
                return chunk
        self.close()
        raise StopIteration

    def _second_of(self, deadline: float, now: float) -> float:
        """Return when the look after clients shall wake this stream; infinity for not at all."""
        if self.connection is None or deadline < now + _NEAR or self._hub.draining:
            return math.inf
        return round(deadline, 0)

    def _timeout(self) -> float | None:
        """Return how long to wait, which is for ever where the look after clients wakes it."""
        if self._second != math.inf:
            return None
        return min(max(0.0, self.subscription.deadline - time.monotonic()), threading.TIMEOUT_MAX)

    def advance(self) -> None:
        """Let `__next__` look again. Any thread."""
        self._watch.wake_second(self._second)

    def close(self) -> None:
        """End the stream; `__next__` stops. Calling it again does nothing."""
        with self._hub.broker.lock:
            if self.closed:
                return
            self.closed = True
            self._threads.watches.unwatch(self._watch)
            self._hub.unsubscribe(self)
        self.advance()

    def __del__(self) -> None:
        # Amid any statement of any thread: nobody waits, and the watches are not to be touched.
        if not self.closed:
            self.closed = True
            self._threads.watches.forget(self._watch)
            self._hub.unsubscribe(self)


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
