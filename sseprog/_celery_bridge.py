"""What is done for one Celery app: the job of each of its tasks, from its sending to its end."""

import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Celery, states

from . import _queues
from ._celery_task import Attempt, adopt, error_of, store_revoked
from ._ending import CANCELLED, Ending
from ._queues import Run
from .errors import JobCancelled, JobEnded, JobNotFound
from .hub import Hub

__all__ = ["OWNER_HEADER", "Bridge"]

logger = logging.getLogger("sseprog")

OWNER_HEADER: Final = "sseprog_owner"
"""The header of a task's message that says whom its job is for."""

_MADE: Final = "sseprog_made"
"""The header of a message whose job was made already."""

_OWN: Final = "celery."
"""How the names of the tasks begin that Celery sends by itself, such as ``celery.chord_unlock``."""


class Bridge:
    """What is done for one app."""

    def __init__(self, app: Celery, hub: Hub, chosen: Callable[[str], bool]) -> None:
        self._app = app
        self._hub = hub
        self._chosen = chosen
        self._warned = False

    def shows(self, name: str) -> bool:
        """Tell whether tasks of this name have jobs."""
        if name.startswith(_OWN) or not self._chosen(name):
            return False
        return getattr(self._app.tasks.get(name), "progress", None) is not False

    def adopt_all(self, **_: object) -> None:
        """Have the app's tasks stop when they are cancelled, and show what they always stored."""
        for name, task in list(self._app.tasks.items()):
            if self.shows(name) and not hasattr(task, "_sseprog_adopted"):
                task._sseprog_adopted = True
                adopt(self._hub, task)

    def send(
        self, name: str, sent: Mapping[str, Any], headers: dict[str, Any], body: Any
    ) -> list[str]:
        """Make the job of a task that is about to be sent, and of those that follow in its chain.

        ``sent`` is what Celery's protocol says of the task. Returns the ids of the jobs made.
        """
        if not self.shows(name):
            return []
        run = _queues.current_run()
        attempt = None if run is None else run.task
        if run is not None and isinstance(attempt, Attempt) and attempt.request.id == sent["id"]:
            attempt.goes_on = True
            # Before the message leaves: another process may get it at once, and is not to run it.
            attempt.cancelled = _queues.end_if_cancelled(run)
            return []
        if not self._hub.broker.shared and not self._warned:
            self._warned = True
            logger.warning(
                "a task is sent to another process, which doesn't see the jobs of memory://: make "
                'the hub as Hub("redis://...")'
            )
        if headers.get(_MADE):
            if sent.get("retries"):  # by its worker, since the task's process has died
                _queues.give_back(self._hub, sent["id"])
            return []
        self._make(sent["id"], headers)
        made = [sent["id"]]
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
                made.append(options["task_id"])
        return made

    def unsent(self, task_ids: list[str]) -> None:
        """Show that tasks could not be sent: nobody would end their jobs."""
        for task_id in task_ids:
            _queues.end(self._hub, task_id, _queues.NOT_SENT)

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

    def stop(
        self,
        run: Run,
        attempt: Attempt,
        state: str | None,
        result: object,
        *,
        in_pool: bool,
    ) -> None:
        """End an attempt, after Celery has stored what became of it.

        ``in_pool``: in a process that the worker's main process watches.
        """
        if attempt.cancelled:
            _queues.leave(run)
            store_revoked(attempt)
        elif state == states.RETRY:
            _queues.postpone(run)
        elif (state == states.REJECTED and getattr(result, "requeue", False)) or (
            state == states.IGNORED and attempt.goes_on
        ):
            _queues.postpone(run, "")
        elif state is None and in_pool and not isinstance(sys.exception(), Exception):
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
