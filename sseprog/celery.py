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
import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from ._queues import current_job, owned_by, run_emitter
from .errors import MissingExtra
from .hub import Hub

try:
    from celery import Celery, signals

    from ._celery_bridge import OWNER_HEADER, Bridge
    from ._celery_task import attempt_at
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"celery", "billiard"}:
        raise
    raise MissingExtra('sseprog.celery needs Celery: pip install "sseprog[celery]"') from error

__all__ = ["OWNER_HEADER", "current_job", "install", "owned_by", "run_emitter"]


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
        bridge = _bridges[app] = Bridge(app, hub, _chooser(tasks))
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


class _Sending(NamedTuple):
    """Whose app sends a task, and the jobs that were made for it."""

    bridge: Bridge
    made: list[str]


def _sending_by(bridge: Bridge, send_task: Callable[..., Any]) -> Callable[..., Any]:
    """Note whose app sends a task: the signal doesn't say so."""

    @functools.wraps(send_task)
    def send(*args: Any, **kwargs: Any) -> Any:
        sending = _Sending(bridge, [])
        token = _sending.set(sending)
        try:
            return send_task(*args, **kwargs)
        except Exception:
            bridge.unsent(sending.made)
            raise
        finally:
            _sending.reset(token)

    return send


# Celery's signals are of the process, not of an app.

_sending: Final[ContextVar[_Sending | None]] = ContextVar("sseprog_sending", default=None)
_lock: Final = threading.Lock()
_bridges: Final[dict[Celery, Bridge]] = {}
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
    sending = _sending.get()
    if sending is not None:
        sent = headers if "task" in headers else body  # of protocols 2 and 1
        sending.made.extend(sending.bridge.send(sender, sent, headers, body))


def _task_prerun(sender: Any, task_id: str, **_: object) -> None:
    bridge = _bridges.get(sender.app)
    if bridge is not None:
        bridge.start(sender, task_id)


def _task_postrun(sender: Any, state: str | None, retval: object, **_: object) -> None:
    bridge = _bridges.get(sender.app)
    found = attempt_at(sender)
    if bridge is not None and found is not None and found[1].request is sender.request:
        bridge.stop(*found, state, retval, in_pool=_in_pool)


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
