"""One run of a Celery task: how it is told to stop, and what it tells of itself."""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import states
from celery.app.task import get_actual_ignore_result
from celery.exceptions import Ignore, SoftTimeLimitExceeded

from ._ending import FAILED
from ._meta import report
from ._queues import Run, current_run, goes_on, timed_out
from .errors import JobCancelled, JobEnded, JobFailed
from .hub import Hub

__all__ = ["Attempt", "adopt", "attempt_at", "error_of", "store_revoked"]


@dataclass(slots=True, eq=False)
class Attempt:
    """One run of a task, as Celery knows it.

    ``entered``: the task's own code has begun. ``goes_on``: it has sent its message again, by
    ``retry()`` or ``replace()``; ``cancelled``: though it was cancelled. ``stored``: the state that
    it has stored of itself. ``error``: what it raised, where Celery is told something else.
    """

    task: Any
    request: Any
    entered: bool = False
    goes_on: bool = False
    cancelled: bool = False
    stored: str | None = None
    error: Exception | None = None


def error_of(attempt: Attempt, state: str | None, result: object) -> BaseException | None:
    """Return the error that ends the job, if one does, by what Celery says has become of a task."""
    if attempt.error is not None:
        return attempt.error
    if state is None:
        error = sys.exception()
        if error is None or isinstance(error, (Exception, SystemExit, KeyboardInterrupt)):
            return error
        return JobCancelled("the task was stopped")  # as a greenlet is, by terminate=True
    if state == states.IGNORED:
        if attempt.stored == states.FAILURE:
            return JobFailed(FAILED)
        return JobCancelled("the task has asked to be ignored")
    if state not in {states.FAILURE, states.REJECTED}:
        return None
    if isinstance(result, SoftTimeLimitExceeded):
        return timed_out()
    return result if isinstance(result, BaseException) else RuntimeError(repr(result))


def adopt(hub: Hub, task: Any) -> None:
    """Wrap methods of one task, as Celery's own ``autoretry_for`` wraps ``run``."""
    # Within what autoretry_for has wrapped: it would try a task again which was cancelled.
    name = "_orig_run" if hasattr(task, "_orig_run") else "run"
    setattr(task, name, _stoppable(hub, task, getattr(task, name)))
    task.update_state = _shown(task.update_state)
    task.on_replace = _noticed(task.on_replace)


def attempt_at(task: Any) -> tuple[Run, Attempt] | None:
    """Return what runs here, if it is ``task``."""
    run = current_run()
    if run is None or not isinstance(run.task, Attempt) or run.task.task is not task:
        return None
    return run, run.task


def _stoppable(hub: Hub, task: Any, run_task: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run_task)
    def run(*args: Any, **kwargs: Any) -> Any:
        found = attempt_at(task)
        if found is None or found[1].entered:  # called as a function, maybe by itself
            return run_task(*args, **kwargs)
        run, attempt = found
        attempt.entered = True
        if run.refused:
            raise _revoked(attempt)
        try:
            return run_task(*args, **kwargs)
        except JobCancelled as error:
            attempt.error = error
            raise _revoked(attempt) from error
        except JobEnded as error:
            if not goes_on(hub, run.job.id):
                raise
            # Delivered twice, and the other attempt goes on: its result counts, not this error.
            attempt.error = error
            raise Ignore(str(error)) from error

    return run


def _revoked(attempt: Attempt) -> Ignore:
    """Return what a task raises that is not to run, neither now nor later."""
    store_revoked(attempt)
    return Ignore("its job was cancelled")


def store_revoked(attempt: Attempt) -> None:
    """Tell who waits for a task's result that it was revoked."""
    task, request = attempt.task, attempt.request
    if not request.is_eager:
        stores = not get_actual_ignore_result(task, request)
        task.backend.mark_as_revoked(request.id, "cancelled", request=request, store_result=stores)


def _shown(update_state: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(update_state)
    def update(
        task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any
    ) -> Any:
        stored = update_state(task_id, state, meta, **kwargs)
        run = current_run()
        if run is not None and not run.refused and task_id in {None, run.job.id}:
            if isinstance(run.task, Attempt):
                run.task.stored = state
            if state not in states.ALL_STATES or state == states.STARTED:
                report(run.job, meta)
        return stored

    return update


def _noticed(on_replace: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(on_replace)
    def replace(sig: Any) -> Any:
        run = current_run()
        if run is not None and isinstance(run.task, Attempt):
            run.task.goes_on = True
        return on_replace(sig)

    return replace
