"""The broker that processes share, whatever its store: what all of them have in common."""

import secrets
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import ClassVar, Final

from ._event import Event
from ._log import Entry, JobLog, line_of
from ._mirrors import Mirror, Mirrors
from ._outbox import Holding, Reply
from ._record import decide
from ._settings import Settings
from ._writer import Writer, waiting_line
from .broker import Broker, Hold
from .errors import BrokerUnavailable, JobEnded, JobNotFound
from .store import Answer, Begin, Cancel, Create, Store, View

__all__ = ["SharedBroker", "decide"]

TO_MAKE: Final = 2.0
"""Seconds that making or beginning a job waits for the store; after that it is done later."""

TO_ASK: Final = 5.0
"""Seconds that a question waits for the store."""

TO_CLOSE: Final = 10.0
"""Seconds that closing waits for what is on its way, where ``flush_timeout`` says nothing."""

IF_AWAY: Final = 0.1
"""Seconds of either, when the store could not be reached just now: it may just be back."""


class SharedBroker(Broker):
    """A broker over a `Store`: reports are written, and jobs are read, by threads of its own.

    There are three of them in a process, started when they have something to do. What is reported
    never waits for the store; what is asked waits for `TO_ASK` seconds at most.

    A broker is this class with its ``store_type``. ``url`` is what it was made with.
    """

    shared = True

    store_type: ClassVar[type[Store]]

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self._settings = settings
        self._store = self.store_type(url, settings)
        self._start_anew()

    def _start_anew(self) -> None:
        self.lock = threading.RLock()
        self._closed = False
        self._writer = Writer(self._store, self._settings)
        self._mirrors = Mirrors(self._store, self._settings, self._writer, self.lock)
        parts = self._writer, self._mirrors, self._store
        seconds = self._settings.flush_timeout or TO_CLOSE
        self._finalizer = weakref.finalize(self, _end_elsewhere, *parts, seconds)
        self._finalizer.atexit = False  # the hub's own end comes first then, and closes this
        self._writer.news, self._writer.changed = self._mirrors.news, self._mirrors.changed

    def create(self, job_id: str, owner: str | None, first: Event) -> None:
        if self._closed:
            raise RuntimeError("the hub is closed: it makes no more jobs")
        reply = Reply[Answer]()
        create = Create(job_id, secrets.token_hex(4), owner, line_of(first, None))
        self._writer.submit(create, reply=reply)
        answer = self._await(reply, TO_MAKE)
        if answer is None:
            return
        if answer.said == "taken":
            raise ValueError(f"job {job_id!r} exists and has not ended: use hub.job(...)")
        self._mirrors.replace(job_id, answer.epoch)

    @property
    def patience(self) -> float:
        return IF_AWAY if self._mirrors.is_away else TO_ASK

    def owner(self, job_id: str) -> str | None:
        return self._get(job_id).owner

    def newest(self, job_id: str) -> tuple[str, Entry]:
        mirror = self._get(job_id)
        with self.lock:
            return mirror.log.epoch, mirror.log.newest

    def recent(self, limit: int) -> list[tuple[str | None, Entry]]:
        read = Reply[list[View] | None]()
        self._mirrors.recent(limit, read.give)
        views = read.wait(self.patience)
        if views is None:
            raise self._unavailable()
        return [
            (view.owner, JobLog(view.epoch, view.seq, view.lines, retention=1).newest)
            for view in views
            if view.lines
        ]

    def load(self, job_id: str, loaded: Callable[[bool | None], None]) -> None:
        self._mirrors.load(job_id, loaded)

    def begin(
        self,
        job_id: str,
        stop: Callable[[str], None],
        *,
        resume: bool = False,
        owner: str | None = None,
    ) -> Hold:
        reply = Reply[Answer]()
        begin = Begin(
            job_id, secrets.token_hex(8), secrets.token_hex(4), resume, waiting_line(job_id)
        )
        holding = self._writer.begin(begin, stop, reply, owner=owner)
        self._mirrors.hold(job_id)
        try:
            answer = self._await(reply, TO_MAKE)
        except BaseException:  # a signal's handler has raised: nobody will report
            self._writer.let_go(holding)
            raise
        if answer is None:
            return Hold(begin.token, 1, None)
        _check(answer, job_id)
        return Hold(begin.token, answer.attempt, self._newest_at_start(holding, answer))

    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        if self._writer.append(job_id, event, token, release=release):
            self._mirrors.hold(job_id)

    def flush(self, job_id: str, timeout: float) -> bool:
        return self._writer.flush(job_id, timeout)

    def cancel(self, job_id: str, event: Event) -> bool:
        reply = Reply[Answer]()
        self._writer.submit(Cancel(job_id, line_of(event, None)), reply=reply)
        answer = self._await(reply, TO_ASK)
        if answer is None:
            self._writer.withdraw(reply)
            raise self._unavailable()
        _check(answer, job_id)
        return answer.said == "ok"

    def watch(self, job_id: str, wake: Callable[[], None]) -> JobLog:
        with self.lock:
            mirror = self._mirrors.find(job_id)
            if mirror is None:  # not to be waited for here: the lock may be held
                raise self._unavailable()
            mirror.wakes = (*mirror.wakes, wake)
            return mirror.log

    def unwatch(self, job_id: str, wake: Callable[[], None]) -> None:
        with self.lock:
            mirror = self._mirrors.find(job_id)
            if mirror is not None:
                mirror.wakes = tuple(other for other in mirror.wakes if other != wake)

    def close(self) -> None:
        """Write what waits, ``flush_timeout`` seconds at most, and give up what there is."""
        if self._finalizer.detach() is not None:
            self._closed = True
            seconds = self._settings.flush_timeout or TO_CLOSE
            _end(self._writer, self._mirrors, self._store, seconds)

    def abandon(self) -> None:
        parent = self._writer
        self._finalizer.detach()
        self._store.abandon()
        self._start_anew()
        self._writer.inherit(parent)

    def _get(self, job_id: str) -> Mirror:
        """Return a job that is kept up to date; waits for it if it has to be read."""
        with self.lock:
            mirror = self._mirrors.find_fresh(job_id)
        if mirror is not None:
            return mirror
        loaded = Reply[bool | None]()
        self._mirrors.load(job_id, loaded.give)
        there = loaded.wait(self.patience)
        with self.lock:
            mirror = self._mirrors.find(job_id)
        if mirror is not None:
            return mirror
        if there is not None:
            raise JobNotFound(f"there is no job {job_id!r}")
        self._mirrors.forget_load(job_id, loaded.give)
        raise self._unavailable()

    def _await(self, reply: Reply[Answer], seconds: float) -> Answer | None:
        return reply.wait(IF_AWAY if self._writer.is_away else seconds)

    def _newest_at_start(self, holding: Holding, answer: Answer) -> bytes | None:
        """Return the state in which a job was found, and learn whose it is."""

        def learn(mirror: Mirror | None) -> None:
            if mirror is not None:
                holding.owner, holding.owner_known = mirror.owner, True

        if answer.attempt > 1 or answer.seq > 0:
            with suppress(BrokerUnavailable, JobNotFound):
                mirror = self._get(holding.job_id)
                learn(mirror)
                return mirror.log.newest.data
            return None

        def loaded(_there: bool | None) -> None:
            with self.lock:
                learn(self._mirrors.find(holding.job_id))

        self._mirrors.load(holding.job_id, loaded)
        return None

    def _unavailable(self) -> BrokerUnavailable:
        cause = self._mirrors.cause or self._writer.cause or "it does not answer in time"
        return BrokerUnavailable(f"{self._store.name} can't be used: {cause}")


def _check(answer: Answer, job_id: str) -> None:
    """Raise what an answer says against a job."""
    if answer.said == "unknown":
        raise JobNotFound(f"there is no job {job_id!r}")
    if answer.said == "ended":
        raise JobEnded(f"job {job_id!r} has ended")


def _end(writer: Writer, mirrors: Mirrors, store: Store, seconds: float) -> None:
    """Write what waits, and end the threads."""
    writer.close(seconds)
    mirrors.close()
    store.close()


def _end_elsewhere(writer: Writer, mirrors: Mirrors, store: Store, seconds: float) -> None:
    """Do that for a broker that nobody has closed, and that the garbage collector has found."""
    end = partial(_end, writer, mirrors, store, seconds)
    try:
        threading.Thread(target=end, name="sseprog-end", daemon=True).start()
    except RuntimeError:  # the interpreter ends, and waits for this
        end()
