"""Wake the streams of threads: those of a job all at once, and one look after all clients.

Threads, or greenlets, that watch the same job share an event, so that news costs one ``set()``
whatever their number; and they wait without a timeout, which under gevent would be a timer to
start and to stop for each stream and event.
"""

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from ._connection import gone
from ._watches import BaseWatch, Watches

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Threads", "Watch"]

_LOOK_EVERY: Final = 0.5  # seconds; a look costs one system call, and two for each that has left


class Watch(BaseWatch):
    """One job, or several, as the threads of this process watch them.

    Those that wait are told apart by the second of their deadline, so that some can be woken for
    a heartbeat without the others. While a job reports, they all share one event or two.
    """

    __slots__ = ("_events", "_threads")

    def __init__(self, threads: "Threads", job_ids: tuple[str, ...]) -> None:
        self._threads = threads
        self._events: dict[float, threading.Event] = {}
        super().__init__(threads.hub, job_ids)

    def event(self, second: float) -> threading.Event:
        """Return what is set when there is news, and for all of ``second``. The lock is held."""
        event = self._events.get(second)
        if event is None:
            event = self._events[second] = threading.Event()
        return event

    def wake(self) -> None:
        """Wake all: the log has grown. Any thread."""
        with self._threads.hub.broker.lock:
            self._threads.watches.tidy()
            events, self._events = self._events, {}
        for event in events.values():
            event.set()

    def wake_second(self, second: float) -> None:
        """Wake those of one second. Any thread."""
        with self._threads.hub.broker.lock:
            event = self._events.pop(second, None)
        if event is not None:
            event.set()

    def wake_until(self, until: float) -> None:
        """Wake those whose deadline is near. Any thread."""
        for second in list(self._events):
            if second <= until:
                self.wake_second(second)


class Threads:
    """The jobs that threads of this process watch, and the look after their clients."""

    def __init__(self, hub: "Hub") -> None:
        self.hub = hub
        self.watches = Watches(partial(Watch, self))  # the broker's lock is held around calls
        self._looking = False

    def look_after_clients(self) -> None:
        """Look from now on, while there are streams that have one. Any thread."""
        if not self._looking:
            with self.hub.broker.lock:
                begin, self._looking = not self._looking, True
            if begin:
                self.hub.timer.at(time.monotonic() + _LOOK_EVERY, self._look)

    def _look(self) -> None:
        """End the streams whose client has left, and all when the worker is to stop."""
        now = time.monotonic()
        with self.hub.broker.lock:
            streams = [
                (stream, stream.connection)
                for stream in list(self.hub.iterators)
                if stream.connection is not None
            ]
            self._looking = bool(streams)
            watches = list(self.watches.used)
        if streams:
            self.hub.timer.at(now + _LOOK_EVERY, self._look)
        if any(connection.stopping() for _, connection in streams):
            self.hub.drain()
        for stream in gone(streams):
            stream.close()
        for watch in watches:
            watch.wake_until(now + 1.0)
