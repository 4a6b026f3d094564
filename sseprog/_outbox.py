"""What waits to be written to a store: in order, merged where there is too much of it.

Pure: no thread, no lock, no clock. Whoever lets several threads at it holds a lock.
"""

import math
import secrets
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from .store import Answer, Cancel, Line, Write

__all__ = ["KNOWN_AFTER_END", "Holding", "Outbox", "Reply", "Sending"]

T = TypeVar("T")

KNOWN_AFTER_END: Final = 600.0
"""Seconds that a process remembers how a job of its own has ended, to say it again to a store
that has lost it: after that the job's page is closed, or has seen it."""


class Holding:
    """A job as the process that reports on it knows it."""

    __slots__ = ("begun", "ended_at", "epoch", "epochs", "job_id", "newest", "number", "owner",
                 "owner_known", "refused", "seen", "spare", "stage", "stop", "token", "unsent",
                 "writer")  # fmt: skip

    def __init__(
        self,
        job_id: str,
        token: str | None,
        stop: Callable[[str], None] | None = None,
        *,
        inherited: bool = False,
    ) -> None:
        self.job_id = job_id
        self.token = token
        # By which the store knows a repetition; one that speaks for another's token has its own.
        self.writer = secrets.token_hex(8) if inherited or token is None else token
        self.stop = stop
        self.owner: str | None = None
        self.owner_known = False
        self.epoch = ""
        self.epochs: set[str] = set()  # all that the job has been in
        self.spare = secrets.token_hex(4)  # the epoch after that, should the store lose events
        self.seen = -1  # the number of the newest event that the store is known to have
        self.number = 0  # of the newest report, whether the store has it or not
        self.unsent = 0
        self.newest: Line | None = None
        self.stage: str | None = None  # of the newest
        self.begun = False
        self.refused = False
        self.ended_at = math.inf

    @property
    def live(self) -> bool:
        """Tell whether its lease is to be renewed."""
        return self.token is not None and not self.refused and self.ended_at == math.inf


class Reply(Generic[T]):
    """An answer that one thread waits for, and another gives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given = threading.Event()
        self._answer: T | None = None
        self._awaited = True

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for it."""
        return self._awaited

    def give(self, answer: T) -> bool:
        """Pass on the answer; tell whether somebody still waits for it."""
        with self._lock:
            self._answer = answer
            self._given.set()
            return self._awaited

    def wait(self, seconds: float) -> T | None:
        """Return the answer, or ``None`` if it hasn't come in time: then nobody waits any more."""
        self._given.wait(seconds)
        with self._lock:
            self._awaited = False
            return self._answer


class Sending:
    """One write on its way: an event of a job that is held here, or any other."""

    __slots__ = ("answered", "holding", "line", "number", "release", "reply", "write")

    def __init__(
        self,
        write: Write | None = None,
        *,
        holding: Holding | None = None,
        line: Line | None = None,
        number: int = 0,
        release: bool = False,
        reply: Reply[Answer] | None = None,
        answered: Callable[[Answer], None] | None = None,
    ) -> None:
        self.write = write
        self.holding = holding
        self.line = line
        self.number = number
        self.release = release
        self.reply = reply
        self.answered = answered

    @property
    def job_id(self) -> str:
        """Whose it is."""
        if self.holding is not None:
            return self.holding.job_id
        assert self.write is not None  # noqa: S101 - it has one of the two
        return self.write.job_id

    @property
    def withdrawn(self) -> bool:
        """Tell whether it is not to be sent any more: a cancelling whose caller was told so."""
        return isinstance(self.write, Cancel) and self.reply is not None and not self.reply.awaited

    @property
    def merges(self) -> bool:
        """Tell whether a newer event may take its place: nothing but a progress."""
        return self.line is not None and self.line.kind == "p" and not self.release


class Outbox:
    """The queue of one process, for all its jobs.

    ``limit``: of how many events that wait for one job a new one takes the last one's place, as a
    log of ``retention`` events would not keep more either; ``None`` is never. While the store
    ``is_away`` that limit is 1.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = math.inf if limit is None else limit
        self._queue: deque[Sending] = deque()
        self._last: dict[str, Sending] = {}
        self.is_away = False

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, sending: Sending) -> None:
        """Put a write at the end."""
        self._queue.append(sending)
        if sending.holding is not None:
            sending.holding.unsent += sending.line is not None
            self._last[sending.holding.job_id] = sending

    def report(self, holding: Holding, line: Line, *, release: bool = False) -> None:
        """Put an event at the end, or in the place of the one that it makes out of date."""
        holding.number += 1
        last = self._last.get(holding.job_id)
        if (
            last is not None
            and last.holding is holding
            and last.merges
            and line.kind == "p"
            and (self.is_away or holding.unsent >= self._limit)
        ):
            last.line, last.number, last.release = line, holding.number, release
            return
        self.add(Sending(holding=holding, line=line, number=holding.number, release=release))
        if holding.unsent > self._limit:
            self._drop_oldest(holding)

    def take(self, limit: int) -> list[Sending]:
        """Take the first ones out, to be sent."""
        taken: list[Sending] = []
        speaks: dict[str, Holding] = {}
        while self._queue and len(taken) < limit:
            holding = self._queue[0].holding
            # A batch may be repeated whole, which must not let two holders take turns.
            if holding is not None and speaks.setdefault(holding.job_id, holding) is not holding:
                break
            sending = self._queue.popleft()
            taken.append(sending)
            if holding is not None and self._last.get(holding.job_id) is sending:
                del self._last[holding.job_id]
        return taken

    def put_back(self, sendings: list[Sending]) -> None:
        """Put what was taken, and could not be sent, to the front again."""
        kept = [sending for sending in sendings if not sending.withdrawn]
        self._queue.extendleft(reversed(kept))
        for sending in reversed(kept):
            if sending.holding is not None:
                self._last.setdefault(sending.holding.job_id, sending)

    def _drop_oldest(self, holding: Holding) -> None:
        """Forget an event that the log would not keep either, if one still waits here."""
        newest = self._last.get(holding.job_id)
        for sending in self._queue:
            if sending is newest:
                return
            if sending.holding is holding and sending.line is not None:
                self._queue.remove(sending)
                holding.unsent -= 1
                return

    def withdraw(self, reply: Reply[Answer]) -> None:
        """Forget a write whose caller has been told that it failed, and which was not sent yet."""
        self._queue = deque(sending for sending in self._queue if sending.reply is not reply)

    def drop(self, holding: Holding) -> None:
        """Forget what waits for a job that accepts no more."""
        kept = [sending for sending in self._queue if sending.holding is not holding]
        if len(kept) != len(self._queue):
            self._queue = deque(kept)
        self._last.pop(holding.job_id, None)
        holding.unsent = 0
