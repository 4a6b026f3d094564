"""Show the progress of Celery tasks: each has a job, whose id is the task's.

    hub = Hub("redis://localhost:6379/0")
    install(app, hub)  # where the app is made, so that those who send tasks and workers have it

    @app.task
    def export(rows):
        for row in current_job().track(rows):
            ...

The job is pending from before the task's message leaves, runs, is tried again, and ends as its
task does. See docs/queues.md.
"""

import functools
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from . import _queues
from ._ending import CANCELLED
from ._queues import Owner, Run, current_job
from .errors import JobCancelled, JobEnded, JobFailed, JobNotFound, MissingExtra
from .hub import Hub

try:
    from billiard.exceptions import TimeLimitExceeded, WorkerLostError
    from celery import Celery, signals, states
    from celery.exceptions import Ignore, Reject
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"celery", "billiard"}:
        raise
    raise MissingExtra('sseprog.celery needs Celery: pip install "sseprog[celery]"') from error

__all__ = ["OWNER_HEADER", "current_job", "install"]

logger = logging.getLogger("sseprog")

OWNER_HEADER: Final = "sseprog_owner"
"""The header of a task's message that says whom its job is for."""

_OWN: Final = "celery."
"""How the names of the tasks begin that Celery sends by itself, such as ``celery.chord_unlock``."""


def install(
    app: Celery,
    hub: Hub,
    *,
    tasks: Iterable[str] | Callable[[str], bool] | None = None,
    owner: Callable[[], Owner] | None = None,
) -> None:
    """Give each task of ``app`` a job on ``hub``. Call it once, in all processes that have the app.

    ``tasks`` picks some: names, which may have ``*`` in them, or a function of a name; none is all
    but Celery's own. ``@app.task(progress=False)`` leaves one out too.

    ``owner`` is called when a task is sent, and returns whose job it is, or ``None``; one that is
    sent with ``headers={"sseprog_owner": ...}`` is that user's. A task that a task sends is its
    sender's.

    Raises `RuntimeError` if it was called for ``app`` before.
    """
    if isinstance(tasks, str):
        raise TypeError(f'tasks is a list of names, such as ["{tasks}"], or a function of a name')
    with _lock:
        if app in _bridges:
            raise RuntimeError(f"sseprog is installed for {app!r} already")
        bridge = _bridges[app] = _Bridge(app, hub, _chooser(tasks), owner)
        if len(_bridges) == 1:
            _connect()
    app.on_after_finalize.connect(bridge.adopt_all, weak=False)
    if app.finalized:
        bridge.adopt_all()


def _chooser(tasks: Iterable[str] | Callable[[str], bool] | None) -> Callable[[str], bool]:
    if tasks is None:
        return lambda _name: True
    if callable(tasks):
        return tasks
    patterns = tuple(tasks)
    return lambda name: any(fnmatchcase(name, pattern) for pattern in patterns)


class _Sent(NamedTuple):
    """What is known of a task by its message."""

    name: str
    id: str
    retries: int
    headers: dict[str, Any]


class _Bridge:
    """What is to be done for one app."""

    def __init__(
        self,
        app: Celery,
        hub: Hub,
        chosen: Callable[[str], bool],
        owner: Callable[[], Owner] | None,
    ) -> None:
        self.app = app
        self.hub = hub
        self._chosen = chosen
        self._owner = owner
        self._warned = False

    def shows(self, name: str, task: object = None) -> bool:
        """Tell whether tasks of this name have jobs."""
        if name.startswith(_OWN) or not self._chosen(name):
            return False
        task = self.app.tasks.get(name) if task is None else task
        return getattr(task, "progress", None) is not False

    def adopt_all(self, **_: object) -> None:
        """Have the app's tasks stop when they are cancelled, and show what they always stored."""
        for name, task in list(self.app.tasks.items()):
            if self.shows(name, task):
                _adopt(task)

    def send(self, sent: _Sent) -> None:
        """Make the job of a task that is about to be sent."""
        run = _queues.current_run()
        if run is not None and run.job.id == sent.id:
            run.sent_again = True  # by retry() or replace(): its run gives the job back
            return
        owner = sent.headers.get(OWNER_HEADER)
        if owner is None:
            owner = self._owner() if self._owner is not None else None
            if owner is None and run is not None:
                owner = run.owner
            if owner is not None:
                sent.headers[OWNER_HEADER] = str(owner)
        if not _queues.valid(sent.id):
            return  # as is said when it begins
        if not self.hub.broker.shared and not self._warned:
            self._warned = True
            logger.warning(
                "tasks are sent to other processes, which don't see the jobs of memory://: "
                'make the hub as Hub("redis://...")'
            )
        if not _queues.create(self.hub, sent.id, owner) and sent.retries:
            _queues.give_back(self.hub, sent.id)  # by the worker, whose child process has died

    def start(self, task: Any, task_id: str) -> None:
        """Begin an attempt; called where the task is going to run."""
        request = task.request
        owner = (request.headers or {}).get(OWNER_HEADER)
        run = _queues.begin(self.hub, task_id, owner, task)
        request.sseprog_run = run

    def stop(self, run: Run, state: str | None, result: object) -> None:
        """End an attempt, after Celery has stored what became of it."""
        if run.error is not None:
            return _queues.finish(run, run.error)
        if state == states.RETRY:
            return _queues.postpone(run)
        if state == states.REJECTED and getattr(result, "requeue", False):
            return _queues.postpone(run, "")
        if state in {states.FAILURE, states.REJECTED}:
            failure = result if isinstance(result, BaseException) else RuntimeError(repr(result))
            return _queues.finish(run, failure)
        if state == states.IGNORED:
            if run.sent_again:
                return _queues.postpone(run, "")
            return _queues.finish(run, JobCancelled("the task has asked to be ignored"))
        if state is None:
            return self._stop_by_force(run, sys.exception())
        return _queues.finish(run)

    def _stop_by_force(self, run: Run, error: BaseException | None) -> None:
        if _in_pool_process:
            # Told to die, and the main process knows whether by somebody who cancelled the task;
            # if it doesn't say so, the lease will tell that the job was lost.
            return _queues.leave(run)
        if not isinstance(error, (SystemExit, KeyboardInterrupt)):
            error = JobCancelled("the task was stopped")  # a greenlet that was killed, above all
        return _queues.finish(run, error)

    def revoke(self, task_id: str, *, terminated: bool, expired: bool) -> None:
        """Show that a task was revoked; called in the worker's main process."""
        if terminated or expired:
            return _queues.end(self.hub, task_id, _queues.EXPIRED if expired else CANCELLED)
        try:
            self.hub.cancel(task_id)
        except (JobEnded, JobNotFound, ValueError):
            return

    def fail(self, task_id: str, error: object) -> None:
        """Show that a task has ended which can't say so: its process is dead."""
        if isinstance(error, WorkerLostError):
            ending = _queues.LOST
        elif isinstance(error, TimeLimitExceeded):
            ending = _queues.TIMED_OUT
        else:
            return
        _queues.end(self.hub, task_id, ending)


def _adopt(task: Any) -> None:
    """Wrap two methods of one task, as Celery's own ``autoretry_for`` wraps ``run``."""
    if getattr(task, "_sseprog_adopted", False):
        return
    task._sseprog_adopted = True
    # Within what autoretry_for wraps, since that would try a task again which was cancelled.
    name = "_orig_run" if hasattr(task, "_orig_run") else "run"
    setattr(task, name, _stoppable(task, getattr(task, name)))
    task.update_state = _showing(task.update_state)


def _stoppable(task: Any, run_task: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run_task)
    def run(*args: Any, **kwargs: Any) -> Any:
        attempt = _queues.current_run()
        if attempt is None or attempt.task is not task or attempt.entered:
            return run_task(*args, **kwargs)  # called as a function, maybe by itself
        attempt.entered = True
        if attempt.refused:
            raise _revoked(task, attempt)
        try:
            return run_task(*args, **kwargs)
        except JobCancelled as error:
            attempt.error = error
            raise _revoked(task, attempt) from error
        except JobEnded as error:
            if not _queues.waits(attempt.job._hub, attempt.job.id):
                raise
            # Delivered twice, and the other attempt goes on: its result counts, not this error.
            attempt.error = error
            raise Ignore(str(error)) from error

    return run


def _revoked(task: Any, attempt: Run) -> Ignore:
    """Store that a task was revoked, for whoever waits for its result; return what to raise."""
    request = attempt.request
    if not request.is_eager:
        task.backend.mark_as_revoked(
            attempt.job.id,
            "cancelled",
            request=request,
            store_result=not (request.ignore_result or task.ignore_result),
        )
    return Ignore("its job was cancelled")


def _showing(update_state: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(update_state)
    def update(
        task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any
    ) -> Any:
        stored = update_state(task_id, state, meta, **kwargs)
        run = _queues.current_run()
        if run is not None and task_id in {None, run.job.id}:
            if state in {states.FAILURE, states.REVOKED}:
                run.stored = state
            else:
                _queues.report(run.job, meta)
        return stored

    return update
