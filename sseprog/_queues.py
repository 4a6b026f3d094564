"""What the bridges to job queues have in common: a job begins, is tried again, ends, as its task.

A bridge says which job a task is and what happens to it; everything else is here.
"""

import logging
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from ._ending import Ending, fitting
from .errors import JobCancelled, JobEnded, JobNotFound, SSEProgError
from .hub import Hub
from .job import Job
from .progress import Progress, check_details, check_job_id, clean_text, shown

__all__ = [
    "EXPIRED",
    "LOST",
    "TIMED_OUT",
    "UNKNOWN_TASK",
    "Owner",
    "Run",
    "begin",
    "create",
    "current_job",
    "current_run",
    "end",
    "finish",
    "give_back",
    "postpone",
    "report",
    "waits",
]

logger = logging.getLogger("sseprog")

Owner = str | int | UUID | None
"""Whom a job is for, as `Hub.create` takes it."""

LOST: Final = Ending("lost", "The job was lost: its process has died.", {"code": "lost"})
TIMED_OUT: Final = Ending(
    "failed", "The job took too long, and was stopped.", {"code": "time_limit"}
)
EXPIRED: Final = Ending("cancelled", "The job was not begun in time.", {"code": "expired"})
UNKNOWN_TASK: Final = Ending("failed", "The job failed.", {"code": "unknown_task"})


@dataclass(slots=True, eq=False)
class Run:
    """One attempt at a task, from its start to its end.

    ``refused``: the job was cancelled while it waited, and the task is not to run. ``sent_again``:
    the task's message was sent once more by the task itself. ``error``: what the task raised,
    where the queue is told something else. ``entered``: the task's own code has begun.
    """

    job: Job
    owner: Owner
    task: object
    outer: "Run | None"
    refused: bool = False
    sent_again: bool = False
    entered: bool = False
    error: BaseException | None = None

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1 on."""
        try:
            found = self.job.state.details.get("attempt")
        except JobEnded:
            return 1
        return found if isinstance(found, int) else 1


# A thread, a greenlet and a coroutine each have a context of their own.
_current: Final[ContextVar[Run | None]] = ContextVar("sseprog_run", default=None)


def current_job() -> Job:
    """Return the job of the task that runs here, to report with: ``current_job().update(12.5)``.

    For the task's own thread (greenlet, coroutine), and what it calls there; hand the `Job` to
    threads that the task starts. Raises `RuntimeError` outside a task, and in a task that was
    left out: a report that goes nowhere would be missed by nobody until a user asks for it.
    """
    run = _current.get()
    if run is None or run.refused:
        raise RuntimeError(
            "there is no current job: current_job() is for tasks whose progress is shown, in the "
            "thread that runs them"
        )
    return run.job


def current_run() -> Run | None:
    """Return what runs here, if anything does."""
    return _current.get()


def create(hub: Hub, job_id: str, owner: Owner) -> bool:
    """Make the job of a task that is about to be sent; tell whether it is there, and waits anew.

    Logs what is wrong, and raises nothing: the task is sent all the same.
    """
    try:
        hub.create(job_id, owner=owner)
    except ValueError:
        return False  # sent again; or no id of a job, as is said when it begins
    except Exception:
        logger.exception("task %s has no job: its progress can't be shown", shown(job_id))
        return False
    return True


def waits(hub: Hub, job_id: str) -> bool:
    """Tell whether a job exists and has not ended; `False` too where that can't be learned."""
    try:
        return not hub.snapshot(job_id).ended
    except SSEProgError:
        return False


def begin(hub: Hub, job_id: str, owner: Owner, task: object = None) -> Run:
    """Begin an attempt: its job runs, and is the current one, until `finish` or `postpone`.

    One that was cancelled meanwhile is ``refused``. Whatever is wrong with the job is logged, and
    the task runs: what it reports goes nowhere then.
    """
    outer = _current.get()
    try:
        run = Run(hub.job(job_id, resume=True), owner, task, outer)
        run.refused = _is_cancelled(hub, job_id, owner)
        if not run.refused:
            run.job.__enter__()
    except Exception as error:
        logger.warning("task %s has no job: its progress can't be shown: %s", shown(job_id), error)
        run = Run(_nobodys_job(), owner, task, outer)
    _current.set(run)
    return run


def _is_cancelled(hub: Hub, job_id: str, owner: Owner) -> bool:
    """Tell whether a job was cancelled before it begins; make it, if its sender hasn't."""
    try:
        return hub.snapshot(job_id).status == "cancelled"
    except JobNotFound:
        create(hub, job_id, owner)
    except SSEProgError as error:  # the broker is away; the work is not to wait for it
        logger.warning("job %s is begun without knowing whether it was cancelled: %s", job_id, error)
    return False


def finish(run: Run, error: BaseException | None = None) -> None:
    """End an attempt as ``with hub.job(...)`` ends a job whose block is left with ``error``."""
    _current.set(run.outer)
    if run.refused:
        return
    traceback = None if error is None else error.__traceback__
    run.job.__exit__(None if error is None else type(error), error, traceback)


def postpone(run: Run, message: str | None = None) -> None:
    """Give the job of an attempt back: the task is tried again later. Cancelled, it ends."""
    if run.refused:
        return finish(run)
    try:
        run.job.postpone(f"Trying again, attempt {run.attempt + 1}" if message is None else message)
    except (JobCancelled, JobEnded) as error:
        return finish(run, error)
    return finish(run)


def leave(run: Run) -> None:
    """Let an attempt be, unended: its process is dying, and another one knows of what."""
    _current.set(run.outer)


def end(hub: Hub, job_id: str, ending: Ending) -> None:
    """End a job for a process that can't any more. One that has ended stays as it is."""
    try:
        hold = hub.broker.begin(job_id, lambda _code: None)
        before = Progress(job_id=job_id) if hold.newest is None else Progress.from_json(hold.newest)
        state = msgspec.structs.replace(
            before,
            status=ending.status,
            eta=None,
            message=ending.message or "",
            details=fitting({**before.details, **ending.details}, ending.details),
            updated_at=datetime.now(UTC),
        )
        hub.publish(state, token=hold.token)
        hub.flush(job_id)
    except (JobNotFound, JobEnded, ValueError):
        return
    except SSEProgError as error:
        logger.warning("job %s has ended as %s, which can't be told: %s", job_id, ending.status,
                       error)  # fmt: skip


def give_back(hub: Hub, job_id: str) -> None:
    """Make the job of a process that has died pending again, before its task is sent again."""
    try:
        with hub.job(job_id) as job:
            job.postpone("Trying again")
    except (SSEProgError, ValueError) as error:
        logger.debug("job %s is not given back: %s", shown(job_id), error)


_lock: Final = threading.Lock()
_nobodys: list[Hub] = []


def _nobodys_job() -> Job:
    """Begin a job that nobody can watch."""
    with _lock:
        if not _nobodys:
            _nobodys.append(Hub("memory://", max_jobs=None, ttl=1))
    return _nobodys[0].job(_nobodys[0].create()).__enter__()


# What people who had no such bridge have called things, in what they store beside a task.
_PERCENT: Final = ("percent", "percentage", "pct", "progress")
_DONE: Final = ("current", "done", "completed", "processed", "n", "i", "progress")
_MESSAGE: Final = ("message", "description", "status", "msg", "text")


def report(job: Job, meta: object) -> None:
    """Report what a task has stored about itself, in one of the shapes in wide use.

    ``{"current": 3, "total": 10}`` or ``{"percent": 30}``, by these or like names; a text under
    ``message``, ``description`` or ``status``; ``stage``. What else can be JSON goes into details.
    Meta of another shape is let be; raises `JobCancelled` only, where the job was.
    """
    if not isinstance(meta, Mapping):
        return
    try:
        values = reading(meta)
        if values:
            job.update(**values)
    except JobCancelled:
        raise
    except JobEnded:
        return  # another attempt shows its progress now
    except Exception as error:  # whatever is in there, the task is not to fail for it
        logger.warning("job %s: %s is not shown: %s", job.id, shown(meta), error)


def reading(meta: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what `Job.update` takes, read from a task's own meta."""
    values: dict[str, Any] = {}
    total = _number(meta.get("total"))
    percent_names = _PERCENT if total is None else _PERCENT[:-1]
    percent = next((n for n in map(_number, map(meta.get, percent_names)) if n is not None), None)
    if percent is None and total is not None and total > 0:
        done = next((n for n in map(_number, map(meta.get, _DONE)) if n is not None), None)
        percent = None if done is None else 100 * done / total
    if percent is not None:
        values["progress"] = min(max(percent, 0.0), 100.0)
    stage = meta.get("stage")
    if isinstance(stage, str):
        values["stage"] = clean_text(stage)
    texts = (name for name in _MESSAGE if isinstance(meta.get(name), str) and meta[name])
    message = next(texts, None)
    if message is not None:
        values["message"] = clean_text(meta[message])
    said = {*_PERCENT, "stage", message}
    details: dict[str, Any] = {}
    for name, value in meta.items():
        if isinstance(name, str) and (name not in said or (name == "progress" and total)):
            try:
                details.update(check_details({name: value}))
            except (TypeError, ValueError):
                continue
    if details:
        values["details"] = fitting(details, {})
    return values


def _number(value: object) -> float | None:
    """Read a number, and nothing else: no text, no truth value, none that is infinite."""
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number - number == 0 else None


def valid(job_id: object) -> bool:
    """Tell whether a task's id can be a job's."""
    try:
        check_job_id(job_id)  # type: ignore[arg-type]  # that is the question
    except (TypeError, ValueError):
        return False
    return True
