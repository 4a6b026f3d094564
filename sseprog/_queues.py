"""What the bridges to job queues have in common: a job begins, is tried again, ends, as its task.

A bridge says which job a task is and what happens to it; everything else is here.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from ._ending import FAILED, LOST, Ending, ended_state
from ._event import Event
from ._work import Work, drive
from .errors import JobCancelled, JobEnded, JobFailed, JobNotFound, SSEProgError
from .hub import Hub
from .job import Job
from .progress import Progress, check_job_id, shown

__all__ = [
    "EXPIRED",
    "LOST",
    "NOT_SENT",
    "STEP_FAILED",
    "TIMED_OUT",
    "UNKNOWN_TASK",
    "Owner",
    "Run",
    "begin",
    "create",
    "current_job",
    "current_run",
    "end",
    "end_if_cancelled",
    "finish",
    "give_back",
    "goes_on",
    "leave",
    "owned_by",
    "owner_here",
    "postpone",
    "run_emitter",
    "timed_out",
    "valid",
]

logger = logging.getLogger("sseprog")

Owner = str | int | UUID | None
"""Whom a job is for, as `Hub.create` takes it."""

TIMED_OUT: Final = Ending(
    "failed", "The job took too long, and was stopped.", {"code": "time_limit"}
)
STEP_FAILED: Final = Ending("failed", "A step before this one failed.", {"code": "step_failed"})
EXPIRED: Final = Ending("cancelled", "The job was not begun in time.", {"code": "expired"})
NOT_SENT: Final = Ending("failed", "The job could not be begun.", {"code": "not_sent"})
UNKNOWN_TASK: Final = Ending("failed", FAILED, {"code": "unknown_task"})


@dataclass(slots=True, eq=False)
class Run:
    """One attempt at a task, from its start to its end.

    ``task`` is the bridge's own; ``outer`` what ran here before, as where a task runs another as a
    function. ``refused``: the job was cancelled while it waited, and the task is not to run.
    """

    hub: Hub
    job: Job
    owner: Owner
    task: object
    outer: "Run | None"
    refused: bool = False

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1 on."""
        return self.job._reports.attempt or 1


# A thread, a greenlet and a coroutine each have a context of their own.
_current: Final[ContextVar[Run | None]] = ContextVar("sseprog_run", default=None)
_owner: Final[ContextVar[Owner]] = ContextVar("sseprog_owner", default=None)


@contextmanager
def owned_by(owner: Owner) -> Iterator[None]:
    """Make the jobs of tasks that are sent within the block ``owner``'s: no other user sees them.

    For one view, or in a middleware for all. ``None`` is nobody, as without the block.
    """
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def owner_here() -> str | None:
    """Return whom tasks that are sent here are for; a task passes its own owner on."""
    owner, run = _owner.get(), _current.get()
    if owner is None and run is not None:
        owner = run.owner
    return None if owner is None else str(owner)


def current_job() -> Job:
    """Return the job of the task that runs here, to report with: ``current_job().update(12.5)``.

    For the task's own thread (greenlet, coroutine), and what it calls there; hand the `Job` to
    threads that the task starts. Raises `JobCancelled` if it was cancelled before it began, and
    `RuntimeError` outside a task, and in one that was left out: a report that goes nowhere would
    be missed by nobody until a user asks for it.
    """
    run = _current.get()
    if run is not None and run.refused:
        raise JobCancelled(f"job {run.job.id!r} was cancelled before it began")
    if run is None:
        raise RuntimeError(
            "there is no current job: current_job() is for tasks whose progress is shown, in the "
            "thread that runs them"
        )
    return run.job


def run_emitter(emitter: str | Callable[..., Work], **options: Any) -> dict[str, Any]:
    """Run an emitter, such as ``"ffmpeg"``, as the current task; return the details of its end.

    As `Hub.run` does, but in the job that the task has. Raises what the emitter raises: let it
    pass, and the job ends by it. Raises `RuntimeError` outside a task.
    """
    job, run = current_job(), current_run()
    hub = job._hub if run is None else run.hub
    drive(job, hub._make_work(emitter, options))
    return dict(job._reports.details)


def current_run() -> Run | None:
    """Return what runs here, if anything does."""
    return _current.get()


def create(hub: Hub, job_id: str, owner: Owner) -> None:
    """Make the job of a task that is about to be sent.

    Logs what is wrong, and raises nothing: the task is sent all the same.
    """
    try:
        hub.create(job_id, owner=owner)
    except ValueError:
        return  # there is one that goes on; or it is no id of a job, as is said when it begins
    except Exception:
        logger.exception("task %s has no job: its progress can't be shown", shown(job_id))


def goes_on(hub: Hub, job_id: str) -> bool:
    """Tell whether a job is there and has not ended; `False` too where that can't be learned."""
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
        run = Run(hub, hub.job(job_id, resume=True, owner=owner), owner, task, outer)
        run.refused = _is_cancelled(hub, job_id, owner)
        if not run.refused:
            run.job.__enter__()
    except Exception as error:
        logger.warning("task %s has no job: its progress can't be shown: %s", shown(job_id), error)
        run = Run(hub, _nobodys_job(), owner, task, outer)
    _current.set(run)
    return run


def _is_cancelled(hub: Hub, job_id: str, owner: Owner) -> bool:
    """Tell whether a job was cancelled before it begins; make it, if its sender hasn't."""
    try:
        return hub.snapshot(job_id).status == "cancelled"
    except JobNotFound:
        create(hub, job_id, owner)
    except SSEProgError as error:  # the broker is away; the work is not to wait for it
        logger.warning(
            "job %s is begun without knowing whether it was cancelled: %s", job_id, error
        )
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


def end_if_cancelled(run: Run) -> bool:
    """End the job of an attempt that goes on, though it was told to stop; tell whether it was."""
    if run.job._stop != "cancelled":
        return False
    run.job.__exit__(JobCancelled, JobCancelled(f"job {run.job.id!r} was cancelled"), None)
    return True


def leave(run: Run) -> None:
    """Say no more of an attempt: it has ended, or its process dies and another knows of what."""
    _current.set(run.outer)
    run.hub.release(run.job)


def timed_out() -> JobFailed:
    """Return the error that ends a job as `TIMED_OUT` says it."""
    return JobFailed(TIMED_OUT.message or "", code=TIMED_OUT.details["code"])


def end(hub: Hub, job_id: str, ending: Ending) -> None:
    """End a job for a process that can't any more. One that has ended stays as it is."""
    try:
        hold = hub.broker.begin(job_id, lambda _code: None)
        before = Progress(job_id=job_id) if hold.newest is None else Progress.from_json(hold.newest)
        hub.publish(Event.of(ended_state(before, ending)), token=hold.token)
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


def valid(job_id: object) -> bool:
    """Tell whether a task's id can be a job's."""
    try:
        check_job_id(job_id)  # type: ignore[arg-type]  # that is the question
    except (TypeError, ValueError):
        return False
    return True
