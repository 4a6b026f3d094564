"""Wake the streams of threads: those of a job all at once, and one look after all clients.

Threads, or greenlets, that watch the same job share an event, so that news costs one ``set()``
whatever their number; and they wait without a timeout, which under gevent would be a timer to
start and to stop for each stream and event.
"""

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from ._connection import gone

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Watch", "Watches"]

_LOOK_EVERY: Final = 0.5  # seconds; a look costs one system call, and two for each that has left


class Watch:
    """One job as the threads of this process watch it.

    Those that wait are told apart by the second of their deadline, so that some can be woken for
    a heartbeat without the others. While a job reports, they all share one event or two.
    """

    __slots__ = ("_events", "_watches", "job_id", "log", "users")

    def __init__(self, watches: "Watches", job_id: str) -> None:
        self._watches = watches
        self._events: dict[float, threading.Event] = {}
        self.job_id = job_id
        self.users = 0
        self.log = watches.hub.broker.watch(job_id, self.wake)

    def event(self, second: float) -> threading.Event:
        """Return what is set when there is news, and for all of ``second``. The lock is held."""
        event = self._events.get(second)
        if event is None:
            event = self._events[second] = threading.Event()
        return event

    def wake(self) -> None:
        """Wake all: the log has grown. Any thread."""
        with self._watches.hub.broker.lock:
            self._watches.tidy()
            events, self._events = self._events, {}
        for event in events.values():
            event.set()

    def wake_second(self, second: float) -> None:
        """Wake those of one second. Any thread."""
        with self._watches.hub.broker.lock:
            event = self._events.pop(second, None)
        if event is not None:
            event.set()

    def wake_until(self, until: float) -> None:
        """Wake those whose deadline is near. Any thread."""
        for second in list(self._events):
            if second <= until:
                self.wake_second(second)


class Watches:
    """The jobs that threads of this process watch, and the look after their clients."""

    def __init__(self, hub: "Hub") -> None:
        self.hub = hub
        self._by_job: dict[str, Watch] = {}
        self._used: set[Watch] = set()  # also those of jobs that have ended, and begun anew since
        self._forgotten: deque[Watch] = deque()
        self._looking = False

    def watch(self, job_id: str) -> Watch:
        """Share one watch of a job. The lock is held. Raises `JobNotFound`."""
        self.tidy()
        watch = self._by_job.get(job_id)
        if watch is None or watch.log.ended or watch.log.cut:
            watch = self._by_job[job_id] = Watch(self, job_id)
            self._used.add(watch)
        watch.users += 1
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Give back what `watch` gave. The lock is held."""
        watch.users -= 1
        if watch.users == 0:
            self._used.discard(watch)
            self.hub.broker.unwatch(watch.job_id, watch.wake)
            if self._by_job.get(watch.job_id) is watch:
                del self._by_job[watch.job_id]

    def forget(self, watch: Watch) -> None:
        """Give back what `watch` gave, later. For finalisers: any thread, amid any statement."""
        self._forgotten.append(watch)

    def tidy(self) -> None:
        """Give back what was forgotten. The lock is held."""
        while self._forgotten:
            self.unwatch(self._forgotten.popleft())

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
            watches = list(self._used)
        if streams:
            self.hub.timer.at(now + _LOOK_EVERY, self._look)
        if any(connection.stopping() for _, connection in streams):
            self.hub.drain()
        for stream in gone(streams):
            stream.close()
        for watch in watches:
            watch.wake_until(now + 1.0)
