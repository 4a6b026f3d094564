"""Wake the streams of an event loop: one callback per turn, and one timer, for all of them.

Publishing costs the loop one callback per turn, whatever the number of events, jobs and streams.
(A writer task and a queue per stream cost 1.4 to 1.7 times the CPU of bare sends; this way costs
1.07 times: measured on prototypes, 1,000 streams at 20 events a second.)
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Final, Protocol

from ._log import JobLog
from ._step import Left, Send, step_each
from ._subscription import Subscription

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Pump", "Stream", "Watch"]

INLINE: Final = 3
"""Streams up to which a publish in the loop's own thread writes at once: waiting for the loop's
next turn costs 0.1 ms, and saves something only where many streams share a turn."""


LONGEST_REST: Final = 0.025
"""Seconds; what nobody sees of a progress bar."""


class Stream(Protocol):
    """What a pump moves: it writes to some, and wakes whoever reads the others."""

    subscription: Subscription
    watch: "Watch"
    closed: bool
    tick: int

    @property
    def send(self) -> Send | None:
        """What to write with, if that is the pump's to do."""

    def take(self, now: float) -> bytes:
        """Return what the pump is to write now. The broker's lock is held."""

    def write(self, chunk: bytes) -> None:
        """Write what was taken. Called in the loop; must not wait, must not raise."""

    def finish(self, left: Left | BaseException) -> None:
        """See to a ``send`` that is not through, or has raised."""


class Watch:
    """One job as the streams of one event loop watch it.

    Streams whose last write is through, and which have all that there was, are *in step*: they
    share one position, and an event costs each its ``send`` and nothing else. The others,
    ``apart``, have one of their own.
    """

    __slots__ = ("_in_step", "_pump", "apart", "job_id", "log", "scheduled", "users")

    def __init__(self, pump: "Pump", job_id: str) -> None:
        self._pump = pump
        self.job_id = job_id
        self.apart: dict[Stream, None] = {}
        self._in_step: dict[Stream, Send] = {}
        self.users = 0
        self.scheduled = False
        self.log: JobLog = pump.hub.broker.watch(job_id, self.wake)

    def __len__(self) -> int:
        return len(self.apart) + len(self._in_step)

    def wake(self) -> None:
        """Note that the log has grown. Any thread."""
        if self._in_step or self.apart or self._pump.forgotten:
            self._pump.schedule(self)

    def flush(self) -> int:
        """Bring every stream up to date; return how many events those in step had to be told."""
        # Cleared before the logs are read: whoever appends after that schedules again.
        self.scheduled = False
        over = self.log.ended or self.log.cut  # which each stream tells in its own words
        if over:
            self.part()
        news, lag = b"", 0
        with self._pump.hub.broker.lock:
            now = time.monotonic()
            streams = list(self.apart)
            chunks = [stream.take(now) for stream in streams]
            if self._in_step:
                first = next(iter(self._in_step)).subscription
                lag = self.log.newest.seq - first.at.seq
                news = first.news(now)
        if news:
            unfinished = step_each(list(self._in_step.values()), news, more=True)
            if unfinished:
                in_step = list(self._in_step)
                for place, left in unfinished:
                    in_step[place].finish(left)
        write_each(streams, chunks)
        if self.apart and not over:
            self._fall_in()
        return lag

    def remove(self, stream: Stream) -> None:
        """Forget ``stream``, which keeps its position for itself."""
        if self._in_step.pop(stream, None) is None:
            self.apart.pop(stream, None)
        else:
            stream.subscription.at = copy(stream.subscription.at)

    def part(self, streams: Iterable[Stream] | None = None) -> None:
        """Give each a position of its own."""
        for stream in list(self._in_step if streams is None else streams):
            if stream in self._in_step:
                self.remove(stream)
                self.apart[stream] = None

    def _fall_in(self) -> None:
        """Let those that are apart share the position of the others, where it is the same."""
        for stream in list(self.apart):
            if stream.send is None:
                continue
            first = next(iter(self._in_step), stream).subscription
            if stream.subscription.is_level_with(first):
                stream.subscription.at = first.at
                self._in_step[stream] = stream.send
                del self.apart[stream]


def write_each(streams: Sequence[Stream], chunks: Sequence[bytes]) -> None:
    """Write to each what was taken for it.

    Not as pairs, of which ten thousand would have the garbage collector go through everything.
    """
    for stream, chunk in zip(streams, chunks, strict=True):
        if chunk:
            stream.write(chunk)


class Pump:
    """Move the streams of one event loop."""

    def __init__(self, hub: "Hub", loop: asyncio.AbstractEventLoop) -> None:
        self.hub = hub
        self.loop = loop
        self._watches: dict[str, Watch] = {}
        self._grown: deque[Watch] = deque()
        self.forgotten: deque[Watch] = deque()
        self._scheduled = False
        self._flushing = False
        self._rest_until = 0.0
        # Streams by the tick of their deadline: one timer for all heartbeats and ends.
        self._resolution = min(0.1, max(0.005, (hub.settings.heartbeat or 16.0) / 16))
        self._due: dict[int, set[Stream]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tick = 0

    def watch(self, job_id: str) -> Watch:
        """Share one watch of a job between its streams. Raises `JobNotFound`."""
        self._tidy()
        watch = self._watches.get(job_id)
        if watch is None or watch.log.ended or watch.log.cut:
            watch = self._watches[job_id] = Watch(self, job_id)
        watch.users += 1
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Give back what `watch` gave."""
        watch.users -= 1
        if watch.users == 0:
            self.hub.broker.unwatch(watch.job_id, watch.wake)
            if self._watches.get(watch.job_id) is watch:
                del self._watches[watch.job_id]

    def forget(self, watch: Watch) -> None:
        """Give back what `watch` gave, later. For finalisers: any thread, amid any statement."""
        self.forgotten.append(watch)

    def _tidy(self) -> None:
        while self.forgotten:
            self.unwatch(self.forgotten.popleft())

    def add(self, stream: Stream) -> None:
        """Advance ``stream`` from now on: what came before this call is its own to take."""
        if self.hub.draining:  # as those are told that are here
            stream.subscription.drain(time.monotonic())
        stream.watch.apart[stream] = None
        self._plan(stream)

    def remove(self, stream: Stream) -> None:
        """Leave ``stream`` alone from now on."""
        stream.watch.remove(stream)
        self._due.get(stream.tick, _NONE).discard(stream)

    def advance(self, streams: Sequence[Stream]) -> None:
        """Write what is due to streams that are apart."""
        with self.hub.broker.lock:
            now = time.monotonic()
            chunks = [stream.take(now) for stream in streams]
        self._flushing = True
        try:
            write_each(streams, chunks)
        finally:
            self._flushing = False

    def schedule(self, watch: Watch) -> None:
        """Flush ``watch`` in the loop's next turn. Any thread; crosses over once per burst."""
        here = asyncio._get_running_loop() is self.loop
        # Not amid a flush, whose sends may publish: the second event would overtake the first.
        if here and len(watch) <= INLINE and not self._flushing:
            self._flush_one(watch)
            return
        if watch.scheduled:
            return
        watch.scheduled = True
        self._grown.append(watch)
        if not self._scheduled:
            self._scheduled = True
            self._call(self._flush, here)

    def drain(self) -> None:
        """Plan the ends of all streams. Any thread."""
        self._call(self._drain, here=False)

    def _call(self, callback: Callable[[], None], here: bool) -> None:
        if here:
            self.loop.call_soon(callback)
            return
        try:
            self.loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed, and its streams with it
            self._grown.clear()

    def _flush(self) -> None:
        start = time.monotonic()
        if start < self._rest_until:
            self.loop.call_later(self._rest_until - start, self._flush)
            return
        self._scheduled = False
        self._tidy()
        lag = 0
        while self._grown:
            lag = max(lag, self._flush_one(self._grown.popleft()))
        if lag > 1:
            self.loop.call_soon(self._rest, start, lag)  # when what was sent is written

    def _flush_one(self, watch: Watch) -> int:
        self._flushing = True
        try:
            return watch.flush()
        finally:
            self._flushing = False

    def _rest(self, start: float, lag: int) -> None:
        """Leave the loop alone for a while, if events come faster than they can be written.

        What comes meanwhile shares the next write, and a write costs more than ten events in it:
        one process delivers 1,000 events a second to 1,000 streams with half a core, not a whole.
        """
        now = time.monotonic()
        self._rest_until = now + min(LONGEST_REST, (now - start) * min(1.0, (lag - 1) / 4))

    def _drain(self) -> None:
        now = time.monotonic()
        for watch in list(self._watches.values()):
            watch.part()
            for stream in watch.apart:
                stream.subscription.drain(now)
                self._due.get(stream.tick, _NONE).discard(stream)
                self._plan(stream)
            self.advance(list(watch.apart))

    def _plan(self, stream: Stream, after: int = 0) -> None:
        """Look at ``stream`` at its deadline, but later than at the tick ``after``."""
        deadline = stream.subscription.deadline
        if deadline == math.inf:
            return
        stream.tick = tick = max(math.ceil(deadline / self._resolution), after + 1)
        self._due.setdefault(tick, set()).add(stream)
        if self._timer is None or tick < self._timer_tick:
            self._set_timer(tick)

    def _set_timer(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_tick = tick
        delay = tick * self._resolution - time.monotonic()
        self._timer = self.loop.call_later(max(0.0, delay), self._on_time)

    def _on_time(self) -> None:
        """Serve the streams whose time has come; those that had data meanwhile just move on."""
        self._timer = None
        now = time.monotonic()
        passed = math.floor(now / self._resolution)
        for tick in [tick for tick in self._due if tick <= passed]:
            streams = self._due.pop(tick)
            due = [stream for stream in streams if stream.subscription.deadline <= now]
            for stream in due:
                stream.watch.part([stream])
            self.advance(due)
            for stream in streams:
                if not stream.closed:
                    self._plan(stream, after=passed)
        if self._due:  # also where _plan() has set it: others may be due before those
            self._set_timer(min(self._due))


_NONE: set[Stream] = set()
