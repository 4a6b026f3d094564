"""The life of one stream, decided in one place.

Three drivers carry it out: `_asgi.PushStream`, `_streams.AsyncStream` and `_streams.SyncStream`.
"""

import math
import random

from ._event import HEARTBEAT, HEARTBEAT_EVENT, Cursor, last_retry, retry
from ._log import JobLog
from ._settings import Settings

__all__ = ["Subscription"]


class Subscription:
    """A cursor into a log, and what its stream gets next.

    No clock, no lock, no socket: the driver says what time it is (seconds, monotonic), holds the
    broker's lock around each call, and writes what it is given. A subscriber costs this object and
    nothing else, however far it lags.

    After each `take`: ``ended`` tells that the stream is over, ``deadline`` when to call again
    though the log has not grown.
    """

    __slots__ = ("_end_at", "_epoch", "_head", "_heartbeat", "_quiet", "_replay_to", "_seq",
                 "_settings", "deadline", "ended", "log")  # fmt: skip

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
    ) -> None:
        self.log = log
        self._settings = settings
        self._quiet = min(settings.heartbeat or math.inf, heartbeat)
        self._heartbeat = HEARTBEAT_EVENT if heartbeat_event else HEARTBEAT
        self._end_at = math.inf
        if settings.max_stream_age:
            self._end_at = now + settings.max_stream_age * random.uniform(0.9, 1.1)  # noqa: S311
        self._head = b""
        # What a client missed while it was away is replayed whole, never conflated.
        self._replay_to = log.newest.seq
        self._epoch = log.epoch
        self._seq = log.newest.seq
        self.ended = log.ended and cursor == log.cursor
        self.deadline = math.inf if self.ended else now
        if self.ended:
            return
        if cursor is not None and log.holds(cursor):
            self._start(cursor.seq, resumed=True)
        elif cursor is None and from_start and log.oldest_seq < log.newest.seq:
            self._start(log.oldest_seq)
        else:
            self._start_at_newest(resumed=None if cursor is None else False)
        self._head = retry(settings.retry or 0.0) + self._head

    def take(self, now: float) -> bytes:
        """Return what is due now, in one piece; nothing is ``b""``."""
        if self.ended:
            return b""
        chunk = self._head
        self._head = b""
        if self.behind:
            chunk += self._news()
        if self.log.ended:
            self.ended = True
        elif now >= self._end_at or self.log.cut:
            chunk += last_retry()
            self.ended = True
        elif not chunk and now >= self.deadline:
            chunk = self._heartbeat
        if chunk:
            self.deadline = min(now + self._quiet, self._end_at)
        return chunk

    @property
    def behind(self) -> bool:
        """Tell whether the log holds what the stream has not had."""
        return self._seq != self.log.newest.seq or self._epoch != self.log.epoch

    def drain(self, now: float) -> None:
        """Plan the end of the stream: now, or spread over the drain period."""
        spread = random.uniform(0, self._settings.drain or 0.0)  # noqa: S311
        self._end_at = min(self._end_at, now + spread)
        self.deadline = min(self.deadline, self._end_at)

    def _news(self) -> bytes:
        newest = self.log.newest.seq
        if self._epoch != self.log.epoch:  # events were lost, or the job has begun anew
            self._epoch, self._replay_to = self.log.epoch, newest
            self._seq = self.log.oldest_seq - 2  # from where nothing can be told any more
        lag = newest - self._seq
        limit = self._settings.conflate_after
        conflate = limit is not None and lag > limit and self._seq >= self._replay_to
        news = self.log.since(self._seq, conflate=conflate)
        self._seq = newest
        if news is None:
            self._start_at_newest(resumed=False)
            news = self._head
            self._head = b""
            if self._seq != newest:
                news += self.log.since(self._seq, conflate=False) or b""
                self._seq = newest
        return news

    def _start(self, seq: int, *, resumed: bool | None = None) -> None:
        self._seq = seq
        self._head = self.log.status(seq, resumed=resumed)

    def _start_at_newest(self, *, resumed: bool | None) -> None:
        newest = self.log.newest
        if not newest.terminal:
            self._start(newest.seq, resumed=resumed)
            return
        # The terminal event follows as an event of its own; who is cut off between the two
        # must still get it, so the status is not yet its place in the log.
        self._seq = newest.seq - 1
        self._head = self.log.status(newest.seq, resumed=resumed, as_id=newest.seq - 1)
