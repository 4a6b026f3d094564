"""Jobs of Django's tasks, by a real worker over a database; with Django 6's and the backport's."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sseprog import Hub
from sseprog_django.tasks import current_job, owned_by

from .conftest import HERE, Workers, reach, status, wait_until

PROJECT = HERE / "django_project"


@pytest.fixture
def hub(watching: Hub) -> Hub:
    return watching


@pytest.fixture(scope="module")
def tasks(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The tasks in the process of a web server, which enqueues them."""
    workers.environment |= {
        "DATABASE": str(tmp_path_factory.mktemp("database") / "db.sqlite3"),
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": str(PROJECT),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in workers.environment.items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(PROJECT))
        import django

        django.setup()
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--verbosity", "0"], check=True, cwd=PROJECT
        )
        import work

        yield work
        from sseprog_django import hub

        hub.close()


def start(workers: Workers, *options: str) -> Any:
    return workers.start(
        "-m", "django", "db_worker", "--interval", "0.05", "--no-startup-delay", "--no-reload",
        *options, ready="Starting worker",
    )  # fmt: skip


@pytest.fixture
def worker(workers: Workers, tasks: ModuleType) -> Iterator[Any]:
    process = start(workers)
    yield process
    process.terminate()
    process.terminate()


def test_a_task_is_pending_when_it_is_enqueued(tasks: ModuleType, hub: Hub) -> None:
    result = tasks.add.using(queue_name="nobody").enqueue(1, 2)
    assert hub.snapshot(result.id).status == "pending"


@pytest.mark.parametrize("name", ["add", "add_async"])
def test_a_task_completes_in_another_process(
    worker: Any, tasks: ModuleType, hub: Hub, name: str
) -> None:
    result = getattr(tasks, name).enqueue(1, 2)
    state = reach(hub, result.id, "completed", "failed")
    assert (state.status, state.stage, state.details["pid"]) == ("completed", "adding", worker.pid)
    result.refresh()
    assert result.return_value == 3


@pytest.mark.parametrize("shown", [True, False])
def test_the_text_of_a_job_failed_is_shown_and_no_other_exceptions(
    worker: object, tasks: ModuleType, hub: Hub, shown: bool
) -> None:
    state = reach(hub, tasks.fail.enqueue("no header row", shown).id, "failed")
    assert state.message == ("no header row" if shown else "The job failed.")
    assert state.details["code"] == ("failed" if shown else "unexpected")


def test_a_running_task_that_is_cancelled_stops_at_its_next_report(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.hold.enqueue(str(tmp_path / "never"))
    wait_until(lambda: status(hub, result.id) == "running" and hub.snapshot(result.id).stage)
    hub.cancel(result.id)
    reach(hub, result.id, "cancelled")


def test_a_task_that_is_cancelled_while_it_waits_never_runs(
    workers: Workers, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.touch.using(queue_name="later").enqueue(str(tmp_path / "ran"))
    hub.cancel(result.id)
    start(workers, "--queue-name", "later", "--batch").wait(30)
    result.refresh()
    assert result.is_finished
    assert not (tmp_path / "ran").exists()
    assert hub.snapshot(result.id).status == "cancelled"


def test_a_worker_that_is_killed_leaves_its_job_lost(
    workers: Workers, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    process = start(workers, "--queue-name", "killed")
    result = tasks.mute.using(queue_name="killed").enqueue(str(tmp_path / "never"))
    wait_until(lambda: hub.snapshot(result.id).stage == "working")
    workers.kill(process)
    reach(hub, result.id, "lost")


def test_a_task_that_runs_at_once_is_shown_too(tasks: ModuleType, hub: Hub) -> None:
    result = tasks.AT_ONCE.enqueue(1, 2)
    assert reach(hub, result.id, "completed").stage == "adding"
    with pytest.raises(RuntimeError, match="no current job"):
        current_job()


def test_a_job_is_whose_it_is_enqueued_for(tasks: ModuleType, hub: Hub) -> None:
    with owned_by(7):
        result = tasks.add.using(queue_name="nobody").enqueue(1, 2)
    assert hub.broker.owner(result.id) == "7"
