"""The life of one stream, decided in one place.

Three drivers carry it out: `_asgi.PushStream`, `_streams.AsyncStream` and `_streams.SyncStream`.
"""

import math
import random
from collections.abc import Sequence
from copy import copy

import msgspec

from ._event import HEARTBEAT, HEARTBEAT_EVENT, Cursor, last_retry, retry
from ._log import JobLog
from ._settings import Settings

__all__ = ["JointSubscription", "Position", "Subscription"]


class Position(msgspec.Struct, gc=False):  # of no cycle; each would cost a collection its look
    """Where in a log one stream is, or all those that are in step: a cursor that moves.

    ``told_at``: when something was last written there, in seconds, monotonic. ``replay_to``: what
    comes before that number was missed while the client was away.
    """

    epoch: str
    seq: int
    replay_to: int
    told_at: float


class Subscription:
    """A cursor into a log, and what its stream gets next.

    No clock, no lock, no socket: the driver says what time it is (seconds, monotonic), holds the
    broker's lock around each call, and writes what it is given. A subscriber costs this object and
    its position, which it may share, and nothing else, however far it lags.

    After each `take`: ``ended`` tells that the stream is over, ``deadline`` when to call again
    though the log has not grown.

    ``part``: it is one of a `JointSubscription`, which has the ``retry:``, the heartbeats and the
    age; its frames have no ids.
    """

    __slots__ = ("_draining", "_end_at", "_head", "_part", "_quiet", "_settings", "_shared", "at",
                 "ended", "heartbeat", "log")  # fmt: skip

    def __init__(
        self,
        log: JobLog,
        settings: Settings,
        *,
        now: float,
        cursor: Cursor | None = None,
        from_start: bool = False,
        heartbeat_event: bool = False,
        heartbeat: float = math.inf,
        part: bool = False,
    ) -> None:
        self.log = log
        self._part = part
        self._settings = settings
        self._quiet = min(settings.heartbeat or math.inf, heartbeat)
        self.heartbeat = HEARTBEAT_EVENT if heartbeat_event else HEARTBEAT
        self._draining = self._shared = False
        self._end_at = math.inf
        if part:
            self._quiet = math.inf
        elif settings.max_stream_age:
            self._end_at = now + settings.max_stream_age * random.uniform(0.9, 1.1)  # noqa: S311
        self._head = b""
        # What a client missed while it was away is replayed whole, never conflated.
        newest = log.newest.seq
        self.at = Position(log.epoch, newest, newest, now)
        self.ended = log.ended and cursor == log.cursor
        if self.ended:
            return
        if cursor is not None and log.holds(cursor):
            self._start(cursor.seq, resumed=True)
        elif cursor is None and from_start and log.oldest_seq < log.newest.seq:
            self._start(log.oldest_seq)
        else:
            self._start_at_newest(resumed=None if cursor is None else False)
        if not part:
            self._head = retry(settings.retry or 0.0) + self._head

    def take(self, now: float) -> bytes:
        """Return what is due now, in one piece; nothing is ``b""``."""
        if self.ended:
            return b""
        chunk = self._head
        self._head = b""
        chunk += self._grown(now)
        if self._over:
            self.ended = True
        elif now >= self._end_at or self._cut:
            chunk += last_retry()
            self.ended = True
        elif not chunk and now >= self.deadline:
            chunk = self.heartbeat
        if chunk:
            self.at.told_at = now
        return chunk

    def _grown(self, now: float) -> bytes:
        """Return what the log has that the stream has not had."""
        return self.news(now) if self.behind else b""

    @property
    def _over(self) -> bool:
        """Tell whether all has been told, to the terminal event."""
        return self.log.ended

    @property
    def _cut(self) -> bool:
        """Tell whether the log is not kept up to date any more; a part leaves that to the whole."""
        return self.log.cut and not self._part

    @property
    def deadline(self) -> float:
        """When something is due though the log has not grown: a heartbeat, or the end.

        A heartbeat is due to all that share a position, at `beat_at`.
        """
        if self.ended:
            return math.inf
        return self._end_at if self._shared else min(self.beat_at, self._end_at)

    @property
    def beat_at(self) -> float:
        """When a heartbeat is due."""
        return self.at.told_at + self._quiet

    @property
    def kind(self) -> tuple[bytes, float]:
        """What heartbeats it gets, and after how long a silence."""
        return self.heartbeat, self._quiet

    def share(self, at: Position) -> None:
        """Make ``at`` its position, with others'."""
        self.at, self._shared = at, True

    def part(self) -> None:
        """Have a position of its own again."""
        self.at, self._shared = copy(self.at), False

    @property
    def behind(self) -> bool:
        """Tell whether the log holds what the stream has not had."""
        return self.at.seq != self.log.newest.seq or self.at.epoch != self.log.epoch

    def drain(self, now: float) -> None:
        """Plan the end of the stream, once: now, or spread over the drain period."""
        if not self._draining:
            self._draining = True
            spread = random.uniform(0, self._settings.drain or 0.0)  # noqa: S311
            self._end_at = min(self._end_at, now + spread)

    @property
    def through(self) -> bool:
        """Tell whether nothing but what is to come is due to it."""
        return not (self.ended or self._head)

    def is_level_with(self, other: "Subscription") -> bool:
        """Tell whether both have had the same."""
        return self.at.seq == other.at.seq and self.at.epoch == other.at.epoch

    def news(self, now: float) -> bytes:
        """Move to the newest event, with all that share the position; return what they get."""
        log, at = self.log, self.at
        newest = log.newest.seq
        if at.epoch != log.epoch:  # events were lost, or the job has begun anew
            at.epoch, at.replay_to = log.epoch, newest
            at.seq = log.oldest_seq - 2  # from where nothing can be told any more
        limit = self._settings.conflate_after
        conflate = limit is not None and newest - at.seq > limit and at.seq >= at.replay_to
        news = log.since(at.seq, conflate=conflate, with_ids=not self._part)
        at.seq = newest
        if news is None:
            self._start_at_newest(resumed=False)
            news = self._head
            self._head = b""
            if at.seq != newest:
                news += log.since(at.seq, conflate=False, with_ids=not self._part) or b""
                at.seq = newest
        if news:
            at.told_at = now
        return news

    def _start(self, seq: int, *, resumed: bool | None = None) -> None:
        self.at.seq = seq
        self._head = self.log.status(seq, resumed=resumed, with_id=not self._part)

    def _start_at_newest(self, *, resumed: bool | None) -> None:
        newest = self.log.newest
        if not newest.terminal:
            self._start(newest.seq, resumed=resumed)
            return
        # The terminal event follows as an event of its own; who is cut off between the two
        # must still get it, so the status is not yet its place in the log.
        self.at.seq = newest.seq - 1
        self._head = self.log.status(
            newest.seq, resumed=resumed, as_id=newest.seq - 1, with_id=not self._part
        )


class JointSubscription(Subscription):
    """Subscriptions to several jobs, as one stream: protocol.md, section 7.

    Each begins with the newest state, after a reconnect too. It ends when all have ended.
    """

    __slots__ = ("_parts",)

    through = False  # it is in step with no other

    def __init__(
        self,
        logs: Sequence[JobLog],
        settings: Settings,
        *,
        now: float,
        heartbeat_event: bool = False,
        heartbeat: float = math.inf,
    ) -> None:
        super().__init__(
            logs[0], settings, now=now, heartbeat_event=heartbeat_event, heartbeat=heartbeat
        )
        self._head = retry(settings.retry or 0.0)
        self._parts = [Subscription(log, settings, now=now, part=True) for log in logs]

    def _grown(self, now: float) -> bytes:
        chunk = b"".join([part.take(now) for part in self._parts])
        self._parts = [part for part in self._parts if not part.ended]
        return chunk

    @property
    def _over(self) -> bool:
        return not self._parts

    @property
    def _cut(self) -> bool:
        return any(part.log.cut for part in self._parts)

    @property
    def behind(self) -> bool:
        """Tell whether a log holds what the stream has not had."""
        return any(part.behind for part in self._parts)
