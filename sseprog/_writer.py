"""The one thread of a process that writes to its store, for all jobs that are reported here."""

import logging
import math
import secrets
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from ._away import Away
from ._event import Event
from ._log import line_of
from ._outbox import KNOWN_AFTER_END, Holding, Outbox, Reply, Sending
from ._settings import Settings
from ._silence import silent
from .errors import BrokerUnavailable, JobEnded
from .progress import Progress
from .store import Answer, Append, Begin, Cancel, Create, Expire, Line, Renew, Store, Write

__all__ = ["Writer", "waiting_line"]

logger = logging.getLogger("sseprog")

BATCH: Final = 256
"""Writes of one round trip: what comes meanwhile waits, so that more is no faster."""

_SWEEP: Final = 60.0  # seconds
_KNOWN_ENDS: Final = 1_000
_PROBE: Final = Renew("~", "")  # of a job that there isn't

_LISTENS: Final = 0.5
"""Seconds after which this process surely listens whether a job that it has begun is cancelled; it
asks once then, for what was said before."""

_APART: Final = 0.1  # seconds between the writes whose times are remembered

_RENEWALS: Final = 3
"""Renewals within a lease: one may be lost, and one be late."""


class Writer:
    """Write what is reported, in order and once, whenever the store can be reached.

    Nothing here waits for the store but the thread itself; who wants to know passes ``answered``,
    which is called in it.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._lease = settings.lease or None
        self._changed = threading.Condition(threading.Lock())
        self._outbox = Outbox(settings.retention)
        self._away = Away(store, "reports wait, and are merged", lambda: True)
        self._waited = False  # in vain, for a store that has said nothing since
        self._holdings: dict[str, Holding] = {}
        self._ended: OrderedDict[str, Holding] = OrderedDict()
        self._unheld: dict[str, Holding] = {}
        # Of this process's own mirrors; as of `Listener`.
        self.news: Callable[[str, str, int, Line], None] = lambda *_: None
        self.changed: Callable[[str], None] = lambda _: None
        self._making: Counter[str] = Counter()
        self.back_at = -math.inf  # when the store was back the last time, or had lost a job
        self._young: deque[tuple[float, Holding]] = deque()
        # When the store was written to lately; empty once it could not be.
        self._written_at: deque[float] = deque(maxlen=16)
        self.trusts_leases_at = -math.inf  # when an overdue lease means something again
        self._renew_at = math.inf
        self._sweep_at = 0.0
        self._sending: list[Sending] = []
        self._inherited: dict[str, Callable[[str], None] | None] = {}
        self._thread: threading.Thread | None = None
        self._closed = False
        self._hurry = threading.Event()  # cuts a pause short

    # Any thread

    @property
    def cause(self) -> str:
        """Why the store can't be written to, if that is known."""
        return self._away.cause

    @property
    def is_away(self) -> bool:
        """Whether the store could not be reached at the last try, and is tried again."""
        return self._away.since != math.inf and bool(self._outbox or self._sending)

    def submit(
        self,
        write: Write,
        *,
        reply: Reply[Answer] | None = None,
        answered: Callable[[Answer], None] | None = None,
    ) -> None:
        """Have ``write`` carried out, after all that was submitted before."""
        with self._changed:
            if isinstance(write, Create):  # what was before it is no more to be said again
                self._ended.pop(write.job_id, None)
                self._making[write.job_id] += 1
            self._outbox.add(Sending(write, reply=reply, answered=answered))
        self._wake()

    def withdraw(self, reply: Reply[Answer]) -> None:
        """Have a `Cancel` not carried out, if it was not sent yet: who asked was told so."""
        with self._changed:
            self._outbox.withdraw(reply)

    def let_go(self, holding: Holding) -> None:
        """Hold a job no more, about which nobody will report: its lease will end."""
        with self._changed:
            holding.refused = True
            self._outbox.drop(holding)
            self._forget(holding)

    def begin(
        self,
        write: Begin,
        stop: Callable[[str], None],
        reply: Reply[Answer],
        *,
        owner: str | None,
    ) -> Holding:
        """Take hold of a job: it is held from now on, unless the answer says otherwise."""
        holding = Holding(write.job_id, write.token, stop)
        holding.owner, holding.owner_known = owner, owner is not None
        with self._changed:
            replaced = self._holdings.get(write.job_id)
            self._holdings[write.job_id] = holding
            self._ended.pop(write.job_id, None)
            self._outbox.add(Sending(write, holding=holding, reply=reply))
            self._young.append((time.monotonic() + _LISTENS, holding))
            if self._renew_at == math.inf:
                self._renew_at = self._next_renewal()
        self._wake()
        if replaced is not None and replaced.ended_at == math.inf:
            self._refuse(replaced)
        return holding

    def append(self, job_id: str, event: Event, token: str | None, *, release: bool) -> bool:
        """Report an event; tell whether its job has come to be held here by that.

        Raises `JobEnded` if it is known that the job accepts none.
        """
        with self._changed:
            holding = self._holding_of(job_id, token)
            new = holding.number == 0 and holding.token is not None
            if holding.refused or holding.ended_at < math.inf:
                raise JobEnded(f"job {job_id!r} has ended, or was taken over")
            line = line_of(event, holding.stage)
            self._outbox.report(holding, line, release=release)
            holding.newest, holding.stage = line, event.state.stage
            if line.terminal or release:
                holding.ended_at = time.monotonic()
        self._wake()
        return new

    def inherit(self, parent: "Writer") -> None:
        """Know how to stop who goes on, in this forked process, to work on the parent's jobs."""
        held = list(parent._holdings.values())
        self._inherited = {of.token: of.stop for of in held if of.token is not None}

    def flush(self, job_id: str, timeout: float) -> bool:
        """Wait until nothing of the job is on its way."""
        deadline = time.monotonic() + timeout
        with self._changed:
            waiting = [table.get(job_id) for table in (self._holdings, self._unheld)]
            while any(of and of.unsent and not of.refused for of in waiting):
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    self._waited = True
                    return False
                self._changed.wait(left)
        return True

    def held(self) -> list[str]:
        """Return the jobs that this process holds."""
        with self._changed:
            return [job_id for job_id, holding in self._holdings.items() if holding.live]

    def holds(self, job_id: str) -> bool:
        """Tell whether this process holds a job.

        Takes no lock, since whoever asks holds another one.
        """
        holding = self._holdings.get(job_id)
        return holding is not None and holding.live

    def stop(self, job_id: str) -> None:
        """Tell the holder of a job, if it is here, that it was cancelled."""
        with self._changed:
            holding = self._holdings.get(job_id)
        if holding is not None and holding.live and holding.stop is not None:
            holding.stop("cancelled")

    def expects(self, job_id: str) -> bool:
        """Tell whether a job is on its way to the store, or is held here: it will be there.

        Takes no lock, as `holds`.
        """
        return job_id in self._making or self.holds(job_id)

    def could_write(self, least: float, most: float) -> bool:
        """Tell whether the store was written to some seconds ago, and hasn't failed since."""
        now = time.monotonic()
        return any(least <= now - at <= most for at in self._written_at)

    def probe(self) -> None:
        """Find out whether the store can be written to, if nothing else will."""
        with self._changed:
            if not self._outbox:
                self._outbox.add(Sending(_PROBE))
        self._wake()

    def note_back(self, seconds: float) -> None:
        """Note that the store was away: for so long, maybe, that leases could not be renewed.

        Or that it has lost a job, which takes no time.
        """
        self.back_at = time.monotonic()
        if self._lease is not None and seconds > self._lease / _RENEWALS:
            self.trusts_leases_at = time.monotonic() + self._lease

    def reassert(self) -> None:
        """See soon whether the store still has the jobs of this process."""
        with self._changed:
            if not (self._holdings or self._ended):
                return
            self._reassert()
        self._wake()

    def close(self, timeout: float) -> None:
        """Write what waits, in ``timeout`` seconds at most, and let the thread end."""
        with self._changed:
            if self._waited:
                timeout = min(timeout, 1.0)  # the time for it was spent before
            deadline = time.monotonic() + timeout
            while (waiting := len(self._outbox) + len(self._sending)) and self._is_running():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.2))
            self._closed = True
            self._changed.notify_all()
        self._hurry.set()
        if waiting:
            logger.error(
                "%s can't be used; what was reported last is lost, and jobs that have ended seem "
                "lost (%d on the way): %s",
                self._store.name,
                waiting,
                self._away.cause or "it is slow",
            )
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
            if self._closed or self._is_running():
                return
            thread = threading.Thread(target=self._run, name="sseprog-writer", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # none is to be had, or the interpreter is about to end
                failure = error
            else:
                self._thread = thread
                return
        # Nothing is logged with the lock: a log's handler may itself report to a job.
        logger.error("what is reported has to wait: its thread can't be started: %s", failure)

    # With the lock

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _holding_of(self, job_id: str, token: str | None) -> Holding:
        holding = self._holdings.get(job_id)
        if holding is not None and holding.token == token:
            return holding
        ended = self._ended.get(job_id)
        if ended is not None and ended.token == token:
            return ended
        if token is not None:
            # Held in the process that this one was forked from; the token is what counts.
            holding = Holding(job_id, token, self._inherited.get(token), inherited=True)
            if job_id in self._holdings:  # another has taken over here
                holding.refused = True
                return holding
            self._holdings[job_id] = holding
            if self._lease is not None:
                self._renew_at = min(self._renew_at, time.monotonic())
            return holding
        holding = self._unheld.get(job_id)
        if holding is None:
            holding = self._unheld[job_id] = Holding(job_id, None)
        return holding

    def _reassert(self) -> None:
        """Renew all leases, and say again how jobs have ended."""
        now = time.monotonic()
        for holding in self._holdings.values():
            self._renew(holding)
        known = min(KNOWN_AFTER_END, self._settings.ttl or math.inf)
        for job_id, holding in list(self._ended.items()):
            if now - holding.ended_at > known:
                del self._ended[job_id]
            elif holding.newest is not None:
                self._outbox.add(
                    Sending(holding=holding, line=holding.newest, number=holding.number)
                )

    # The thread

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or self._outbox):
                    due = min(self._renew_at, self._sweep_at)
                    if self._young:
                        due = min(due, self._young[0][0])
                    wait = due - time.monotonic()
                    if wait <= 0:
                        break
                    self._changed.wait(min(wait, threading.TIMEOUT_MAX))
                if self._closed:
                    return
                if self._was_asleep():
                    self._give_up_all()
                self._plan_renewals()
                self._sending = self._outbox.take(BATCH)
                batch = [self._write_of(sending) for sending in self._sending]
            try:
                answers = self._store.write(batch) if batch else []
            except BrokerUnavailable as error:
                self._fail(error)
                continue
            except Exception as error:  # a mistake of the store's; reports must not end with it
                logger.exception("%s failed", self._store.name)
                self._fail(BrokerUnavailable(f"{type(error).__name__}: {error}"))
                continue
            self._settle(answers)
            if time.monotonic() >= self._sweep_at:
                self._sweep()

    def _sweep(self) -> None:
        self._sweep_at = time.monotonic() + _SWEEP
        try:
            self._store.sweep()
        except Exception as error:  # it is tried again in a minute, and harms no job
            logger.warning("%s can't be swept: %s: %s", self._store.name,
                           type(error).__name__, error)  # fmt: skip

    def _fail(self, error: BrokerUnavailable) -> None:
        pause = self._away.pause(error)
        with self._changed:
            # Whether a lease is overdue is to be seen anew when its holder could renew it again.
            stale = [each for each in self._sending if isinstance(each.write, Expire)]
            self._outbox.put_back([each for each in self._sending if each not in stale])
            self._sending = []
            self._written_at.clear()
            self._outbox.is_away = True
            if not self._outbox:  # by what else would anybody see that it is back?
                self._outbox.add(Sending(_PROBE))
        for each in stale:
            if each.answered is not None:
                each.answered(Answer("no"))
        self._hurry.wait(pause)

    def _settle(self, answers: list[Answer]) -> None:
        if answers:
            self._note_written()
        self._tell_own(answers)
        seconds = self._away.over() if answers else 0.0
        calls: list[Callable[[], None]] = []
        with self._changed:
            sent, self._sending = self._sending, []
            lost: list[Sending] = []
            for sending, answer in zip(sent, answers, strict=True):
                calls += self._note(sending, answer, lost)
            if lost:
                calls += self._restore(lost)
            if answers:
                self._waited = False
            if seconds:
                self.note_back(seconds)
                self._outbox.is_away = False
                self._reassert()
            self._changed.notify_all()
        for call in calls:
            try:
                call()
            except Exception:  # this thread is everybody's
                logger.exception("%s: what was told of an answer failed", self._store.name)

    def _note_written(self) -> None:
        # A few moments are enough, and all of a busy second would crowd out those before.
        now, before = time.monotonic(), self._written_at
        if not before or now - before[-1] > _APART:
            before.append(now)

    def _tell_own(self, answers: list[Answer]) -> None:
        """Let this process see what it has written, before who waits for that goes on."""
        repeated = self._away.since != math.inf  # then an answer may be of what came later
        for sending, answer in zip(self._sending, answers, strict=True):
            line = sending.line
            if line is None and isinstance(sending.write, (Cancel, Create)):
                line = sending.write.line
            if line is None or answer.said != "ok":
                continue
            if repeated:
                self.changed(sending.job_id)
            else:
                self.news(sending.job_id, answer.epoch, answer.seq, line)

    def _was_asleep(self) -> bool:
        """Tell whether two leases are over since the last write, and not for want of a store."""
        if not self._written_at or self._lease is None:
            return False
        return time.monotonic() - self._written_at[-1] > 2 * self._lease

    def _give_up_all(self) -> None:
        """Say of all jobs that they are lost: this process was asleep, for two leases and more.

        Others say so too, of those that they watch; those that nobody watched must not go on.
        """
        self._written_at.clear()
        lost: list[Sending] = []
        for holding in self._holdings.values():
            if holding.live and holding.begun and holding.newest is not None:
                line = silent(Progress.from_json(holding.newest.data), "lost")
                expire = Expire(holding.job_id, holding.epoch, holding.seen, line)
                lost.append(Sending(expire, holding=holding))
        self._outbox.put_back(lost)

    def _plan_renewals(self) -> None:
        """Renew what is due; while the store is away nothing is: it is all renewed after that."""
        now = time.monotonic()
        due: list[Holding] = []
        while self._young and self._young[0][0] <= now:
            due.append(self._young.popleft()[1])
        if now >= self._renew_at:
            due = [holding for holding in self._holdings.values() if holding.live]
            self._renew_at = self._next_renewal() if due else math.inf
        if not self._outbox.is_away:
            for holding in due:
                self._renew(holding)

    def _next_renewal(self) -> float:
        return math.inf if self._lease is None else time.monotonic() + self._lease / _RENEWALS

    def _renew(self, holding: Holding) -> None:
        if holding.live and holding.begun and holding.token is not None:
            self._outbox.add(Sending(Renew(holding.job_id, holding.token), holding=holding))

    def _write_of(self, sending: Sending) -> Write:
        if sending.write is not None:
            return sending.write
        holding, line = sending.holding, sending.line
        assert holding is not None  # noqa: S101 - Sending holds one of the two
        assert line is not None  # noqa: S101
        return Append(
            holding.job_id,
            holding.token,
            holding.writer,
            sending.number,
            holding.epoch,
            holding.seen,
            holding.spare,
            line,
            sending.release,
        )

    def _note(
        self, sending: Sending, answer: Answer, lost: list[Sending]
    ) -> list[Callable[[], None]]:
        """Note what became of a write; return what is to be called without the lock."""
        calls: list[Callable[[], None]] = []
        answered, holding = sending.answered, sending.holding
        if isinstance(sending.write, Create) and sending.job_id in self._making:
            self._making[sending.job_id] -= 1
            if not self._making[sending.job_id]:
                del self._making[sending.job_id]
        awaited = sending.reply is not None and sending.reply.give(answer)
        if answered is not None:
            calls.append(lambda: answered(answer))
        if holding is None:
            return calls
        if isinstance(sending.write, Expire):
            if answer.said == "ok":
                calls.append(lambda: self._refuse(holding))
            return calls
        if answer.said == "unknown":
            if awaited:  # who waits is told, and creates it
                self._forget(holding)
            elif holding.token is None:  # nobody holds it, and nobody will miss it
                self._done(holding, sending)
            else:
                lost.append(sending)
            return calls
        if answer.said == "taken" and not answer.attempt and answer.epoch in holding.epochs:
            lost.append(sending)  # the store has gone back to before it was begun
            return calls
        if answer.said in {"ended", "taken"}:
            if sending.line is not None:
                self._done(holding, sending)
            if holding.ended_at == math.inf or holding.unsent:
                calls.append(lambda: self._refuse(holding))
            return calls
        holding.begun = True
        rolled_back = (
            isinstance(sending.write, Renew)
            and (answer.epoch != holding.epoch or answer.seq < holding.seen)
        ) or (
            # Begun again in a log that has lost what it was told.
            isinstance(sending.write, Begin)
            and answer.epoch != holding.epoch
            and answer.epoch in holding.epochs
        )
        if not rolled_back:  # else the next report finds out, and begins another log
            if answer.epoch != holding.epoch:
                holding.spare = secrets.token_hex(4)
            holding.epoch, holding.seen = answer.epoch, answer.seq
            holding.epochs.add(answer.epoch)
        if sending.line is not None:
            self._done(holding, sending)
        elif holding.live and holding.newest is not None and (rolled_back or answer.stalled):
            self._outbox.report(holding, holding.newest)
        if answer.cancel and holding.live and holding.stop is not None:
            stop = holding.stop
            calls.append(lambda: stop("cancelled"))
        return calls

    def _done(self, holding: Holding, sending: Sending) -> None:
        holding.unsent = max(0, holding.unsent - 1)
        if holding.ended_at == math.inf or holding.unsent:
            if holding.token is None and not holding.unsent:
                self._unheld.pop(holding.job_id, None)
            return
        self._forget(holding)
        holding.stop = None  # lest a job that is over keep its hub
        if sending.line is not None and sending.line.terminal and holding.token is not None:
            self._ended[holding.job_id] = holding
            while len(self._ended) > _KNOWN_ENDS:
                self._ended.popitem(last=False)

    def _forget(self, holding: Holding) -> None:
        table = self._holdings if holding.token is not None else self._unheld
        if table.get(holding.job_id) is holding:
            del table[holding.job_id]

    def _refuse(self, holding: Holding) -> None:
        """Tell who holds a job that it does so no more. Without the lock."""
        with self._changed:
            if holding.refused:
                return
            holding.refused = True
            self._outbox.drop(holding)
            self._forget(holding)
            self._changed.notify_all()
        if holding.ended_at < math.inf:
            logger.warning("job %s: its end comes too late: it was taken over, or had ended before",
                           holding.job_id)  # fmt: skip
        elif holding.stop is not None:
            holding.stop("ended")

    def _restore(self, lost: list[Sending]) -> list[Callable[[], None]]:
        """Make jobs anew that the store has lost, and go on with what was to be written.

        Return what is to be called without the lock.
        """
        calls: list[Callable[[], None]] = []
        again: list[Sending] = []
        made: set[str] = set()
        for sending in lost:
            holding = sending.holding
            if holding is None or holding.token is None or holding.refused:
                continue
            if holding.job_id not in made:
                made.add(holding.job_id)
                text = "job %s was lost by %s, and is told anew"
                calls.append(partial(logger.warning, text, holding.job_id, self._store.name))
                holding.epoch, holding.seen = secrets.token_hex(4), 0
                holding.epochs.add(holding.epoch)
                first = waiting_line(holding.job_id)
                if holding.newest is not None and not holding.newest.terminal:
                    first = Line("s", holding.newest.data)
                owner = holding.owner
                # A job that was never begun is made without an owner, as `Hub.job` says; one that
                # was may have had one, and nobody is to be taken for that.
                if holding.begun and not holding.owner_known:
                    owner = secrets.token_hex(16)
                create = Create(holding.job_id, holding.epoch, owner, first)
                begin = Begin(holding.job_id, holding.token, holding.epoch, False, first)
                again += [Sending(create), Sending(begin, holding=holding)]
            if sending.line is not None:
                again.append(sending)
        self._outbox.put_back(again)
        return calls


def waiting_line(job_id: str) -> Line:
    """Make the first event of a log whose job nobody has said anything about yet."""
    state = Progress(status="pending", job_id=job_id, updated_at=datetime.now(UTC))
    return Line("s", state.to_json())
