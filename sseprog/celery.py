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
from contextlib import suppress
from contextvars import ContextVar
from fnmatch import fnmatchcase
from typing import Any, Final

from . import _queues
from ._ending import CANCELLED, Ending
from ._queues import Run, current_job, owned_by, run_emitter
from .errors import JobCancelled, JobEnded, JobNotFound, MissingExtra
from .hub import Hub

try:
    from billiard.exceptions import TimeLimitExceeded, WorkerLostError
    from celery import Celery, signals, states

    from ._celery_task import Attempt, adopt, attempt_at, error_of, store_revoked
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"celery", "billiard"}:
        raise
    raise MissingExtra('sseprog.celery needs Celery: pip install "sseprog[celery]"') from error

__all__ = ["OWNER_HEADER", "current_job", "install", "owned_by", "run_emitter"]

logger = logging.getLogger("sseprog")

OWNER_HEADER: Final = "sseprog_owner"
"""The header of a task's message that says whom its job is for."""

_MADE: Final = "sseprog_made"
"""The header of a message whose job was made already."""

_OWN: Final = "celery."
"""How the names of the tasks begin that Celery sends by itself, such as ``celery.chord_unlock``."""


def install(
    app: Celery,
    hub: Hub,
    *,
    tasks: Iterable[str] | Callable[[str], bool] | None = None,
) -> None:
    """Give each task of ``app`` a job on ``hub``. Call it once, in all processes that have the app.

    ``tasks`` picks some: names, which may have ``*`` in them, or a function of a name; none is all
    but Celery's own. ``@app.task(progress=False)`` leaves one out too.

    A task sent within ``with owned_by(user_id):``, or with ``headers={"sseprog_owner": user_id}``,
    has a job of that user's; so have those that it sends itself.

    Raises `RuntimeError` if it was called for ``app`` before.
    """
    if isinstance(tasks, str):
        raise TypeError(f'tasks is a list of names, such as ["{tasks}"], or a function of a name')
    with _lock:
        if app in _bridges:
            raise RuntimeError(f"sseprog is installed for {app!r} already")
        bridge = _bridges[app] = _Bridge(app, hub, _chooser(tasks))
        _connect()
    app.send_task = _sending_by(bridge, app.send_task)
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


class _Bridge:
    """What is done for one app."""

    def __init__(self, app: Celery, hub: Hub, chosen: Callable[[str], bool]) -> None:
        self.app = app
        self._hub = hub
        self._chosen = chosen
        self._warned = False

    def shows(self, name: str) -> bool:
        """Tell whether tasks of this name have jobs."""
        if name.startswith(_OWN) or not self._chosen(name):
            return False
        return getattr(self.app.tasks.get(name), "progress", None) is not False

    def adopt_all(self, **_: object) -> None:
        """Have the app's tasks stop when they are cancelled, and show what they always stored."""
        for name, task in list(self.app.tasks.items()):
            if self.shows(name) and not hasattr(task, "_sseprog_adopted"):
                task._sseprog_adopted = True
                adopt(self._hub, task)

    def send(self, name: str, sent: Mapping[str, Any], headers: dict[str, Any], body: Any) -> None:
        """Make the job of a task that is about to be sent, and of those that follow in its chain.

        ``sent`` is what Celery's protocol says of the task.
        """
        if not self.shows(name):
            return
        run = _queues.current_run()
        attempt = None if run is None else run.task
        if run is not None and isinstance(attempt, Attempt) and attempt.request.id == sent["id"]:
            attempt.goes_on = True
            # Before the message leaves: another process may get it at once, and is not to run it.
            attempt.cancelled = _queues.end_if_cancelled(run)
            return
        if not self._hub.broker.shared and not self._warned:
            self._warned = True
            logger.warning(
                "a task is sent to another process, which doesn't see the jobs of memory://: make "
                'the hub as Hub("redis://...")'
            )
        if headers.get(_MADE):
            if sent.get("retries"):  # by its worker, since the task's process has died
                _queues.give_back(self._hub, sent["id"])
            return
        self._make(sent["id"], headers)
        embedded = body[2] if isinstance(body, (list, tuple)) and len(body) == 3 else {}
        for follower in _followers(embedded.get("chain"), embedded.get("chord")):
            options = follower["options"]
            options["headers"] = inner = dict(options.get("headers") or {})
            if self.shows(follower["task"]) and not inner.get(_MADE):
                if headers.get(OWNER_HEADER) is not None:
                    inner.setdefault(OWNER_HEADER, headers[OWNER_HEADER])
                # A chord's body is in each of its tasks.
                known = follower is embedded.get("chord") and sent.get("group_index")
                self._make(options["task_id"], inner, known=bool(known))

    def _make(self, task_id: str, headers: dict[str, Any], *, known: bool = False) -> None:
        """Make a job, and have the headers say so: it is not to be made anew when it has ended."""
        headers[_MADE] = True
        if headers.get(OWNER_HEADER) is None and (owner := _queues.owner_here()) is not None:
            headers[OWNER_HEADER] = owner
        if not known:
            _queues.create(self._hub, task_id, headers.get(OWNER_HEADER))

    def _end_followers(self, request: Any, ending: Ending) -> None:
        for follower in _followers(request.chain, request.chord):
            if self.shows(follower["task"]):
                _queues.end(self._hub, follower["options"]["task_id"], ending)

    def start(self, task: Any, task_id: str) -> None:
        """Begin an attempt, in the thread where the task is going to run."""
        if self.shows(task.name):
            owner = (task.request.headers or {}).get(OWNER_HEADER) or _queues.owner_here()
            _queues.begin(self._hub, task_id, owner, Attempt(task, task.request))

    def stop(self, run: Run, attempt: Attempt, state: str | None, result: object) -> None:
        """End an attempt, after Celery has stored what became of it."""
        if attempt.cancelled:
            _queues.leave(run)
            store_revoked(attempt)
        elif state == states.RETRY:
            _queues.postpone(run)
        elif (state == states.REJECTED and getattr(result, "requeue", False)) or (
            state == states.IGNORED and attempt.goes_on
        ):
            _queues.postpone(run, "")
        elif state is None and _in_pool and not isinstance(sys.exception(), Exception):
            # Told to die. The main process knows whether since somebody has cancelled the task;
            # if it says nothing, the lease will tell that the job was lost.
            _queues.leave(run)
        else:
            error = error_of(attempt, state, result)
            _queues.finish(run, error)
            if isinstance(error, JobCancelled) or run.refused:
                self._end_followers(attempt.request, CANCELLED)
            elif error is not None and not isinstance(error, JobEnded):
                self._end_followers(attempt.request, _queues.STEP_FAILED)

    def revoke(self, request: Any, *, terminated: bool, expired: bool) -> None:
        """Show that a task was revoked; called in the worker's main process."""
        if terminated or expired:
            _queues.end(self._hub, request.id, _queues.EXPIRED if expired else CANCELLED)
        else:
            with suppress(JobEnded, JobNotFound, ValueError):
                self._hub.cancel(request.id)
        self._end_followers(request, CANCELLED)

    def fail(self, task_id: str, error: object) -> None:
        """Show that a task has ended which can't say so itself, since its process has died."""
        if isinstance(error, WorkerLostError):
            _queues.end(self._hub, task_id, _queues.LOST)
        elif isinstance(error, TimeLimitExceeded):
            _queues.end(self._hub, task_id, _queues.TIMED_OUT)

    def reject(self, task_id: str) -> None:
        """Show that no worker knows a task."""
        _queues.end(self._hub, task_id, _queues.UNKNOWN_TASK)


def _followers(chain: Any, chord: Any) -> list[Any]:
    """Return the tasks that are sent when one has succeeded, and that have ids already."""
    signatures = [*(chain or ()), *([chord] if chord else ())]
    return [each for each in signatures if each.get("task") and each["options"].get("task_id")]


def _sending_by(bridge: _Bridge, send_task: Callable[..., Any]) -> Callable[..., Any]:
    """Note whose app sends a task: the signal doesn't say so."""

    @functools.wraps(send_task)
    def send(*args: Any, **kwargs: Any) -> Any:
        token = _sending.set(bridge)
        try:
            return send_task(*args, **kwargs)
        finally:
            _sending.reset(token)

    return send


# Celery's signals are of the process, not of an app.

_sending: Final[ContextVar[_Bridge | None]] = ContextVar("sseprog_sending", default=None)
_lock: Final = threading.Lock()
_bridges: Final[dict[Celery, _Bridge]] = {}
_in_pool = False
"""Whether this is a process of a prefork pool, which another one watches."""


def _connect() -> None:
    for signal, receiver in (
        (signals.before_task_publish, _before_task_publish),
        (signals.task_prerun, _task_prerun),
        (signals.task_postrun, _task_postrun),
        (signals.task_revoked, _task_revoked),
        (signals.task_failure, _task_failure),
        (signals.task_unknown, _task_unknown),
        (signals.worker_init, _worker_init),
        (signals.worker_process_init, _worker_process_init),
    ):
        signal.connect(receiver, weak=False, dispatch_uid="sseprog")


def _before_task_publish(sender: str, headers: dict[str, Any], body: Any, **_: object) -> None:
    bridge = _sending.get()
    if bridge is not None:
        bridge.send(sender, headers if "task" in headers else body, headers, body)  # protocol 2, 1


def _task_prerun(sender: Any, task_id: str, **_: object) -> None:
    bridge = _bridges.get(sender.app)
    if bridge is not None:
        bridge.start(sender, task_id)


def _task_postrun(sender: Any, state: str | None, retval: object, **_: object) -> None:
    bridge = _bridges.get(sender.app)
    found = attempt_at(sender)
    if bridge is not None and found is not None and found[1].request is sender.request:
        bridge.stop(*found, state, retval)


def _task_revoked(sender: Any, request: Any, terminated: bool, expired: bool, **_: object) -> None:
    bridge = _bridges.get(sender.app)
    if bridge is not None and bridge.shows(sender.name):
        bridge.revoke(request, terminated=bool(terminated), expired=bool(expired))


def _task_failure(sender: Any, task_id: str, exception: object, **_: object) -> None:
    bridge = _bridges.get(sender.app)
    if bridge is not None and bridge.shows(sender.name):
        bridge.fail(task_id, exception)


def _task_unknown(sender: Any, name: str, id: str, **_: object) -> None:
    bridge = _bridges.get(sender.app)
    if bridge is not None and bridge.shows(name):
        bridge.reject(id)


def _worker_init(sender: Any, **_: object) -> None:
    bridge = _bridges.get(sender.app)
    if bridge is not None:
        bridge.adopt_all()  # also those that were imported after the app was complete


def _worker_process_init(**_: object) -> None:
    global _in_pool
    _in_pool = True
