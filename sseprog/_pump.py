"""Wake the streams of an event loop: one callback per turn, and one timer, for all of them.

Publishing costs the loop one callback per turn, whatever the number of events, jobs and streams.
(A writer task and a queue per stream cost 1.4 to 1.7 times the CPU of bare sends; this way costs
1.07 times: measured on prototypes, 1,000 streams at 20 events a second.)
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from ._group import Group, Stream, write_each
from ._watches import BaseWatch, Watches

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Pump", "Watch"]

INLINE: Final = 3
"""Streams up to which a publish in the loop's own thread writes at once: waiting for the loop's
next turn costs 0.1 ms, and saves something only where many streams share a turn."""

LONGEST_REST: Final = 0.025
"""Seconds; what nobody sees of a progress bar."""


class Watch(BaseWatch):
    """One job as the streams of one event loop watch it: in step, or ``apart``.

    Or several jobs, whose streams are all apart.
    """

    __slots__ = ("_groups", "_grown", "_pump", "apart", "scheduled")

    def __init__(self, pump: "Pump", job_ids: tuple[str, ...]) -> None:
        self._pump = pump
        self.apart: dict[Stream, None] = {}
        self._groups: dict[tuple[bytes, float], Group] = {}
        self.scheduled = False
        self._grown = 0
        super().__init__(pump.hub, job_ids)

    def wake(self) -> None:
        """Note that a log has grown. Any thread."""
        self._grown += 1  # which two threads may make one: it is for the pace alone
        if self._groups or self.apart or self._pump.watches.forgotten:
            self._pump.schedule(self)

    def flush(self) -> int:
        """Bring every stream up to date; return how many events there were since the last time."""
        # Cleared before the logs are read: whoever appends after that schedules again.
        self.scheduled = False
        events, self._grown = self._grown, 0
        with self._pump.hub.broker.lock:
            if over := self.over:  # which each stream tells in its own words
                self.part()
            now = time.monotonic()
            news = {group: group.first.news(now) for group in self._groups.values()}
            apart = {stream: stream.take(now) for stream in self.apart}
        for group, chunk in news.items():
            if chunk:
                group.write(chunk)
        if apart:
            write_each(apart)
            if not over:
                for stream in apart:
                    if self.fall_in(stream):
                        self._pump.plan_anew(stream)
        return events

    def fall_in(self, stream: Stream) -> bool:
        """Put ``stream`` in step with the others, if it is; tell whether it is now."""
        send, kind = stream.send, stream.subscription.kind
        if send is None or stream not in self.apart or not stream.subscription.through:
            return False
        group = self._groups.get(kind)
        if group is None:
            group = self._groups[kind] = Group()
            group.admit(stream, send)
            self._pump.plan(group)
        elif not group.admit(stream, send):
            return False
        del self.apart[stream]
        return True

    def remove(self, stream: Stream) -> None:
        """Forget ``stream``, if it is here."""
        if not self._fall_out(stream):
            self.apart.pop(stream, None)

    def part(self, streams: Iterable[Stream] | None = None) -> None:
        """Give each, or all, of those that are in step a position of its own."""
        if streams is None:
            streams = [stream for group in self._groups.values() for stream in group]
        for stream in streams:
            if self._fall_out(stream):
                self.apart[stream] = None

    def _fall_out(self, stream: Stream) -> bool:
        kind = stream.subscription.kind
        group = self._groups.get(kind)
        if group is None or not group.dismiss(stream):
            return False
        if not group:
            del self._groups[kind]
            self._pump.unplan(group)
        return True


class Pump:
    """Move the streams of one event loop."""

    def __init__(self, hub: "Hub", loop: asyncio.AbstractEventLoop) -> None:
        self.hub = hub
        self.loop = loop
        self.watches = Watches(partial(Watch, self))
        self._grown: deque[Watch] = deque()
        self._scheduled = False
        self._flushing = False
        self._rest_until = 0.0
        # Streams by the tick of their deadline: one timer for all heartbeats and ends.
        self._resolution = min(0.1, max(0.005, (hub.settings.heartbeat or 16.0) / 16))
        self._due: dict[int, set[Stream | Group]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tick = 0

    def add(self, stream: Stream) -> None:
        """Advance ``stream`` from now on: what came before this call is its own to take."""
        self._enter(stream)
        self.plan(stream)

    def join(self, stream: Stream) -> None:
        """Advance ``stream`` from now on, and now."""
        self._enter(stream)
        self._advance([stream])

    def _enter(self, stream: Stream) -> None:
        if self.hub.draining:  # as those are told that are here
            stream.subscription.drain(time.monotonic())
        stream.watch.apart[stream] = None

    def remove(self, stream: Stream) -> None:
        """Leave ``stream`` alone from now on."""
        stream.watch.remove(stream)
        self.unplan(stream)

    def _advance(self, streams: Iterable[Stream], after: int = 0) -> None:
        """Write what is due to streams that are apart and not planned; plan them."""
        with self.hub.broker.lock:
            now = time.monotonic()
            chunks = {stream: stream.take(now) for stream in streams}
        self._flushing = True
        try:
            write_each(chunks)
        finally:
            self._flushing = False
        for stream in chunks:
            if stream in stream.watch.apart:
                stream.watch.fall_in(stream)
                self.plan(stream, after)

    def schedule(self, watch: Watch) -> None:
        """Flush ``watch`` in the loop's next turn. Any thread; crosses over once per burst."""
        here = asyncio._get_running_loop() is self.loop
        # Not amid a flush, whose sends may publish: the second event would overtake the first.
        if here and watch.users <= INLINE and not self._flushing:
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
            # uvloop takes less than a millisecond for none, and would turn until then.
            self.loop.call_later(max(0.001, self._rest_until - start), self._flush)
            return
        self._scheduled = False
        self.watches.tidy()
        events = 0
        for _ in range(len(self._grown)):  # what grows meanwhile has its own turn
            events = max(events, self._flush_one(self._grown.popleft()))
        if events > 1:
            self.loop.call_soon(self._pace, start, events)  # when what was sent is written

    def _flush_one(self, watch: Watch) -> int:
        self._flushing = True
        try:
            return watch.flush()
        finally:
            self._flushing = False

    def _pace(self, start: float, events: int) -> None:
        """Leave the loop alone for a while, if events come faster than they can be written.

        What comes meanwhile shares the next write, and a write costs more than ten events in it:
        one process delivers 1,000 events a second to 1,000 streams with half a core, not a whole.
        """
        now = time.monotonic()
        self._rest_until = now + min(LONGEST_REST, (now - start) * min(1.0, (events - 1) / 4))

    def _drain(self) -> None:
        now = time.monotonic()
        for watch in list(self.watches.used):
            watch.part()
            streams = list(watch.apart)
            for stream in streams:
                stream.subscription.drain(now)
                self.unplan(stream)
            self._advance(streams)

    def unplan(self, item: Stream | Group) -> None:
        """Don't look at ``item`` any more."""
        self._due.get(item.tick, _NONE).discard(item)

    def plan_anew(self, stream: Stream) -> None:
        """Look at ``stream`` at its deadline, which is another now."""
        self.unplan(stream)
        self.plan(stream)

    def plan(self, item: Stream | Group, after: int = 0) -> None:
        """Look at ``item`` at its deadline, but later than at the tick ``after``."""
        deadline = item.first.beat_at if isinstance(item, Group) else item.subscription.deadline
        if deadline == math.inf:
            return
        item.tick = tick = max(math.ceil(deadline / self._resolution), after + 1)
        self._due.setdefault(tick, set()).add(item)
        if self._timer is None or tick < self._timer_tick:
            self._set_timer(tick)

    def _set_timer(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_tick = tick
        delay = tick * self._resolution - time.monotonic()
        self._timer = self.loop.call_later(max(0.0, delay), self._on_time)

    def _on_time(self) -> None:
        """Serve those whose time has come; those that had data meanwhile just move on."""
        self._timer = None
        now = time.monotonic()
        passed = math.floor(now / self._resolution)
        for tick in [tick for tick in self._due if tick <= passed]:
            due = []
            for item in self._due.pop(tick):
                if isinstance(item, Group):
                    self._beat(item, now)
                    if item:
                        self.plan(item, passed)
                elif item.subscription.deadline <= now:
                    item.watch.part([item])
                    if item in item.watch.apart:  # not if a heartbeat has just made it busy
                        due.append(item)
                else:
                    self.plan(item, passed)
            self._advance(due, passed)
        if self._due:  # also where plan() has set it: others may be due before those
            self._set_timer(min(self._due))

    def _beat(self, group: Group, now: float) -> None:
        """Write a heartbeat to a group, if it is due one."""
        if group and group.first.beat_at <= now:
            group.first.at.told_at = now
            self._flushing = True
            try:
                group.write(group.first.heartbeat)
            finally:
                self._flushing = False


_NONE: set[Stream | Group] = set()
