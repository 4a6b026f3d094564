"""What a store keeps of a job beside its log, and what each write does to it.

A pure function of the record, the write and the time: the one place where it is decided who may
add what to which job. `redis.lua` says the same in Redis's language, and a test compares the two.
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ._settings import Settings
from .store import Answer, Append, Begin, Cancel, Create, Expire, Line, Rebase, Renew, Said, Write

__all__ = ["UNHELD", "Record", "Step", "decide"]

UNHELD: Final = 7 * 86_400.0
"""Seconds that a job which nobody holds is kept: longer than a queue should keep it waiting."""


@dataclass(slots=True)
class Record:
    """One job. Times are in seconds, by the store's clock; ``None`` is never."""

    epoch: str
    owner: str | None
    seq: int = 0
    ended: bool = False
    token: str | None = None
    leased_until: float | None = None
    stalled: bool = False
    cancel: bool = False
    attempt: int = 0
    writer: str = ""
    number: int = -1
    expires: float | None = None

    @property
    def held(self) -> bool:
        """Tell whether somebody holds it, be it somebody who has died."""
        return self.token is not None

    def expired(self, now: float) -> bool:
        """Tell whether it is as if it weren't there any more."""
        return self.expires is not None and self.expires <= now


class Step(NamedTuple):
    """What a store has to do.

    ``record``: the job from now on, or ``None`` if there is none. ``line``: the event to be added
    under ``record.seq``; with ``restarts`` the log is emptied first. ``asks``: tell the holder to
    stop.
    """

    record: Record | None
    answer: Answer
    line: Line | None = None
    restarts: bool = False
    asks: bool = False


def decide(record: Record | None, write: Write, now: float, settings: Settings) -> Step:
    """Decide what ``write`` does to a job, of which ``record`` is known. Changes nothing."""
    if record is not None and record.expired(now):
        record = None
    if isinstance(write, Create):
        return _create(record, write, now, settings)
    if record is None:
        return Step(None, Answer("unknown"))
    new = replace(record)
    match write:
        case Begin():
            return _begin(new, write, now, settings)
        case Append():
            return _append(new, write, now, settings)
        case Renew():
            if new.ended:
                return _refuse(record, "ended")
            if new.token != write.token:
                return _refuse(record, "taken")
            _keep(new, now, settings)
            return Step(new, _answer(new))
        case Cancel():
            return _cancel(new, write, now, settings)
        case Expire():
            return _expire(new, write, now, settings)
        case Rebase():
            if new.epoch != write.epoch or new.seq >= write.seen:
                return _refuse(record, "no")
            if new.ended and not write.line.terminal:
                return _refuse(record, "no")
            if not new.ended and not new.attempt:  # its holder knows it by its epoch
                return _refuse(record, "no")
            new.epoch, new.seq = write.spare, write.seen
            return _add(new, write.line, now, settings, restarts=True)


def _create(record: Record | None, write: Create, now: float, settings: Settings) -> Step:
    if record is not None and record.epoch == write.epoch:  # a repetition
        return Step(record, _answer(record))
    if record is not None and not record.ended:
        return _refuse(record, "taken")
    new = Record(write.epoch, write.owner, seq=-1)
    return _add(new, write.line, now, settings, restarts=True)


def _begin(new: Record, write: Begin, now: float, settings: Settings) -> Step:
    if write.token in {new.token, new.writer}:  # a repetition
        return Step(new, _answer(new))
    if new.ended and (new.cancel or not write.resume):
        return _refuse(new, "ended")
    again = write.resume and (new.ended or new.attempt > 0)
    new.token, new.writer, new.number = write.token, write.token, 0
    new.stalled = False
    if again or new.attempt == 0:
        new.attempt += 1
    if again:
        new.epoch, new.seq, new.ended = write.epoch, -1, False
        return _add(new, write.line, now, settings, restarts=True)
    _keep(new, now, settings)
    return Step(new, _answer(new))


def _append(new: Record, write: Append, now: float, settings: Settings) -> Step:
    if new.writer == write.writer and write.number <= new.number:  # a repetition
        return Step(new, _answer(new))
    if new.ended:
        return _refuse(new, "ended")
    if new.token != write.token:
        return _refuse(new, "taken")
    restarts = new.seq < write.seen
    if new.epoch != write.epoch:  # unless by this very spare, the log is another than was known
        restarts = write.epoch != "" and new.epoch != write.spare
    if restarts:
        new.epoch, new.seq = write.spare, max(new.seq, write.seen)
    new.writer, new.number, new.stalled = write.writer, write.number, False
    if write.release:
        new.token = None
    return _add(new, write.line, now, settings, restarts=restarts)


def _cancel(new: Record, write: Cancel, now: float, settings: Settings) -> Step:
    if new.ended:
        return _refuse(new, "ended")
    overdue = new.leased_until is not None and now > new.leased_until
    new.cancel = True
    if new.held and not overdue:
        return Step(new, _answer(new, "asked"), asks=True)
    return _add(new, write.line, now, settings)


def _expire(new: Record, write: Expire, now: float, settings: Settings) -> Step:
    due = new.leased_until
    if (
        new.ended
        or not new.held
        or due is None
        or (new.epoch, new.seq) != (write.epoch, write.seq)
        or (new.stalled and not write.line.terminal)
        or now <= due + (settings.lease or 0.0) * write.line.terminal
    ):
        return _refuse(new, "no")
    stalled = not write.line.terminal
    step = _add(new, write.line, now, settings)
    new.stalled = stalled
    new.leased_until = due if stalled else None
    return step._replace(answer=_answer(new))


def _add(
    new: Record, line: Line, now: float, settings: Settings, *, restarts: bool = False
) -> Step:
    new.seq += 1
    if line.terminal:
        new.ended, new.token, new.stalled = True, None, False
    _keep(new, now, settings)
    return Step(new, _answer(new), line, restarts)


def _keep(new: Record, now: float, settings: Settings) -> None:
    """Set until when the holder's lease is good, and until when the job is kept."""
    lease = settings.lease or None
    new.leased_until = now + lease if new.held and lease else None
    if settings.ttl is None:
        new.expires = None
    elif new.ended:
        new.expires = now + settings.ttl
    elif new.leased_until is not None and lease is not None:
        new.expires = new.leased_until + lease + settings.ttl
    else:
        new.expires = now + UNHELD + settings.ttl


def _answer(record: Record, said: Said = "ok") -> Answer:
    return Answer(said, record.epoch, record.seq, record.attempt, record.cancel, record.stalled)


def _refuse(record: Record, said: Said) -> Step:
    return Step(record, _answer(record, said))
