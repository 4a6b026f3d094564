"""Show the progress of Django's tasks: each has a job, whose id is the task result's.

    INSTALLED_APPS += ["sseprog_django", "sseprog_django.tasks.TasksConfig"]  # settings.py

    @task
    def export(rows):
        for row in current_job().track(rows):
            ...

    {% job_progress result.id %}  {# in a page, where result = export.enqueue(rows) #}

With Django 6's ``django.tasks`` and with the package django-tasks, whichever is there. See
docs/queues.md.
"""

import sys
import time
from typing import Any, Final

from django.apps import AppConfig

from sseprog import Hub, JobCancelled, JobFailed, JobNotFound, SSEProgError, _queues
from sseprog._ending import FAILED
from sseprog._queues import current_job, owned_by, run_emitter
from sseprog.errors import MissingExtra

from ._hub import hub as default_hub

__all__ = ["TasksConfig", "current_job", "install", "owned_by", "run_emitter"]

_ENQUEUED: Final = 1.0
"""Seconds that a task waits for its job, which is made when it was enqueued, hardly before it may
be run: a job that is made here would be nobody's, and for anybody."""


def install(hub: Hub = default_hub) -> None:
    """Give each task a job on ``hub``, the project's own by default. `TasksConfig` does that.

    In all processes: those that enqueue tasks, and those that run them. Raises `MissingExtra`
    where there is neither ``django.tasks`` nor django-tasks.
    """
    found = _signals()
    if not found:
        raise MissingExtra("sseprog_django.tasks needs Django 6.0, or: pip install django-tasks")
    bridge = _Bridge(hub)
    for signals in found:
        signals.task_enqueued.connect(bridge.enqueued, weak=False, dispatch_uid="sseprog")
        signals.task_started.connect(bridge.started, weak=False, dispatch_uid="sseprog")
        signals.task_finished.connect(bridge.finished, weak=False, dispatch_uid="sseprog")


def _signals() -> list[Any]:
    """Return the modules of signals that there are; a project may use both frameworks."""
    found: list[Any] = []
    try:
        from django.tasks import signals as of_django  # type: ignore[import-not-found,unused-ignore]

        found.append(of_django)
    except ModuleNotFoundError:
        pass
    try:
        from django_tasks import signals as of_backport

        if of_backport not in found:
            found.append(of_backport)
    except ModuleNotFoundError:
        pass
    return found


class TasksConfig(AppConfig):
    """Install the bridge for the project's hub."""

    name = "sseprog_django.tasks"
    label = "sseprog_tasks"
    verbose_name = "Progress of tasks"

    def ready(self) -> None:
        install()


class _Bridge:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def enqueued(self, task_result: Any, **_: object) -> None:
        _queues.create(self._hub, task_result.id, _queues.owner_here())

    def started(self, task_result: Any, **_: object) -> None:
        self._await_job(task_result.id)
        run = _queues.begin(self._hub, task_result.id, None, task_result.id)
        if run.refused:  # what is raised here fails the task before it runs
            raise JobCancelled(f"job {task_result.id!r} was cancelled before it began")

    def finished(self, task_result: Any, **_: object) -> None:
        run = _queues.current_run()
        if run is None or run.task != task_result.id:
            return
        error = None
        if task_result.status == "FAILED":
            error = sys.exception() or JobFailed(FAILED)  # it is sent while that is handled
        _queues.finish(run, error)

    def _await_job(self, job_id: str) -> None:
        deadline = time.monotonic() + _ENQUEUED
        while time.monotonic() < deadline:
            try:
                self._hub.snapshot(job_id)
            except JobNotFound:
                time.sleep(0.05)
            except SSEProgError:
                return
            else:
                return
