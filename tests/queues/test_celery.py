"""Jobs of real Celery tasks, by real workers, over a real Redis."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from celery import chord
from celery.exceptions import TaskRevokedError

from sseprog import Hub
from sseprog.celery import current_job, install, owned_by

from .conftest import Import, Workers, reach, status, wait_until

POOLS = {
    "prefork": ["--pool", "prefork", "--concurrency", "2"],
    "threads": ["--pool", "threads", "--concurrency", "2"],
    "solo": ["--pool", "solo"],
    "gevent": ["--pool", "gevent", "--concurrency", "4"],
}


@pytest.fixture(scope="module")
def tasks(import_tasks: Import) -> Iterator[ModuleType]:
    """The tasks as who sends them knows them."""
    module = import_tasks("celery_tasks")
    yield module
    module.hub.close()
    module.app.close()


@pytest.fixture
def hub(watching: Hub) -> Hub:
    return watching


def start(workers: Workers, queue: str, *options: str, **environment: str) -> Any:
    return workers.start(
        "-m", "celery", "-A", "celery_tasks", "worker", "-n", f"{queue}@%h", "-Q", queue,
        "--without-mingle", "--without-gossip", "-l", "INFO", *(options or POOLS["prefork"]),
        ready="ready.", environment=environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def worker(workers: Workers, tasks: ModuleType) -> Any:
    """A worker of two processes, for all tests that leave it alive."""
    return start(workers, "celery", IN_PARENT="in-parent")


def wait_for_result(result: Any) -> Any:
    return result.get(timeout=20, disable_sync_subtasks=False)


def test_a_job_is_pending_from_before_its_message_leaves(tasks: ModuleType, hub: Hub) -> None:
    result = tasks.add.apply_async((1, 2), queue="nobody")
    assert hub.snapshot(result.id).status == "pending"


def test_a_task_runs_in_a_process_of_its_own_and_its_job_completes(
    worker: object, tasks: ModuleType, hub: Hub
) -> None:
    result = tasks.add.delay(1, 2)
    state = reach(hub, result.id, "completed")
    assert (state.progress, state.stage, state.message) == (100, "adding", "nearly there")
    assert state.details["pid"] not in {os.getpid(), worker.pid}  # type: ignore[attr-defined]
    assert state.details["attempt"] == 1
    assert result.get(timeout=0.1) == 3  # which Celery has stored before


def test_a_job_runs_while_its_task_does(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.hold.delay(str(tmp_path / "go"))
    reach(hub, result.id, "running")
    wait_until(lambda: hub.snapshot(result.id).stage == "holding")
    (tmp_path / "go").touch()
    reach(hub, result.id, "completed")


def test_two_processes_run_two_tasks_at_once(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    ids = [tasks.hold.delay(str(tmp_path / "go")).id for _ in range(2)]
    wait_until(lambda: all(hub.snapshot(job_id).stage == "holding" for job_id in ids))
    assert len({hub.snapshot(job_id).details["pid"] for job_id in ids}) == 2
    (tmp_path / "go").touch()
    for job_id in ids:
        reach(hub, job_id, "completed")


@pytest.mark.parametrize("shown", [True, False])
def test_the_text_of_a_job_failed_is_shown_and_no_other_exceptions(
    worker: object, tasks: ModuleType, hub: Hub, workers: Workers, shown: bool
) -> None:
    result = tasks.fail.delay("no header row in /srv/secret.csv", shown=shown)
    state = reach(hub, result.id, "failed")
    assert state.progress == 25
    if shown:
        assert state.message == "no header row in /srv/secret.csv"
        assert state.details["code"] == "failed"
    else:
        assert state.message == "The job failed."
        assert state.details["code"] == "unexpected"
        assert state.details["reference"] in workers.logs()
    assert result.state == "FAILURE"


def test_a_task_that_is_tried_again_is_pending_between_its_attempts(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.again.delay(str(tmp_path / "go"))
    wait_until(lambda: hub.snapshot(result.id).message == "Trying again, attempt 2")
    assert hub.snapshot(result.id).status == "pending"
    wait_until(lambda: hub.snapshot(result.id).progress == 20)
    state = hub.snapshot(result.id)
    assert (state.status, state.stage, state.details["attempt"]) == ("running", "trying", 2)
    (tmp_path / "go").touch()
    assert reach(hub, result.id, "completed").details["attempt"] == 2


def test_a_task_that_is_cancelled_while_it_waits_ends_at_once_and_never_runs(
    workers: Workers, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.touch.apply_async((str(tmp_path / "ran"),), queue="later")
    hub.cancel(result.id)
    assert hub.snapshot(result.id).status == "cancelled"
    after = tasks.add.apply_async((1, 2), queue="later")
    process = start(workers, "later", *POOLS["solo"])
    reach(hub, after.id, "completed")
    with pytest.raises(TaskRevokedError):
        wait_for_result(result)
    assert not (tmp_path / "ran").exists()
    assert hub.snapshot(result.id).status == "cancelled"
    workers.stop(process)


def test_a_running_task_that_is_cancelled_stops_at_its_next_report(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.hold.delay(str(tmp_path / "never"))
    wait_until(lambda: hub.snapshot(result.id).stage == "holding")
    hub.cancel(result.id)
    assert reach(hub, result.id, "cancelled").message == "The job was cancelled."
    with pytest.raises(TaskRevokedError):
        wait_for_result(result)
    assert result.state == "REVOKED"


@pytest.mark.parametrize("name", ["stubborn", "retrier"])
def test_a_task_that_is_tried_again_whatever_it_raises_is_not_once_cancelled(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path, name: str
) -> None:
    result = getattr(tasks, name).delay(str(tmp_path / "runs"))
    wait_until((tmp_path / "runs").exists)
    hub.cancel(result.id)
    reach(hub, result.id, "cancelled")
    with pytest.raises(TaskRevokedError):
        wait_for_result(result)
    assert (tmp_path / "runs").read_text() == "run\n"
    assert hub.snapshot(result.id).status == "cancelled"


def test_a_task_that_is_revoked_while_it_waits_is_cancelled(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.touch.apply_async((str(tmp_path / "ran"),), countdown=1.5)
    result.revoke()
    reach(hub, result.id, "cancelled")
    assert not (tmp_path / "ran").exists()


def test_a_running_task_that_is_terminated_is_cancelled(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.mute.delay(str(tmp_path / "never"))
    wait_until(lambda: hub.snapshot(result.id).stage == "working")
    result.revoke(terminate=True)
    state = reach(hub, result.id, "cancelled", "failed", "lost")
    assert (state.status, state.stage) == ("cancelled", "working")


def test_a_task_that_expires_before_it_begins_is_cancelled(
    worker: object, tasks: ModuleType, hub: Hub
) -> None:
    result = tasks.add.apply_async((1, 2), countdown=0.5, expires=0.1)
    assert reach(hub, result.id, "cancelled").details == {"code": "expired"}


@pytest.mark.parametrize("name", ["slow", "slower"])
def test_a_task_that_takes_too_long_says_so(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path, name: str
) -> None:
    result = getattr(tasks, name).delay(str(tmp_path / "never"))
    state = reach(hub, result.id, "failed", "lost")
    assert state.message == "The job took too long, and was stopped."
    assert state.details["code"] == "time_limit"


METAS = [
    ({"current": 3, "total": 10}, 30, ""),
    ({"current": 3, "total": 10, "percent": 30.0, "description": "row 3", "pending": False}, 30,
     "row 3"),
    ({"percent": 12.5, "message": "reading"}, 12.5, "reading"),
    ({"progress": 40, "status": "Importing"}, 40, "Importing"),
    ({"done": 1, "total": 4}, 25, ""),
    ({"progress": 2, "total": 4}, 50, ""),
    ({"current": 12, "total": 10}, 100, ""),
    ({"current": 0, "total": 0}, None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("meta", "progress", "message"), METAS, ids=lambda meta: str(meta)[:40])
def test_a_task_that_stores_its_own_state_shows_it_unchanged(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path,
    meta: Any, progress: float, message: str,
) -> None:  # fmt: skip
    result = tasks.old.delay(meta, str(tmp_path / "go"))
    wait_until(lambda: result.state == "PROGRESS")
    assert result.info == meta
    wait_until(lambda: hub.snapshot(result.id).progress == progress)
    state = hub.snapshot(result.id)
    assert state.message == message
    assert state.details.get("total") == meta.get("total")
    (tmp_path / "go").touch()
    assert reach(hub, result.id, "completed").progress == 100


@pytest.mark.parametrize("meta", ["text", None, [1], {"current": "3", "total": []}])
def test_a_state_of_another_shape_harms_nobody(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path, meta: Any
) -> None:
    (tmp_path / "go").touch()
    result = tasks.old.delay(meta, str(tmp_path / "go"))
    assert wait_for_result(result) == "done"
    reach(hub, result.id, "completed")


def test_an_old_task_that_is_cancelled_stops_when_it_stores_its_state(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.old_loop.delay(str(tmp_path / "never"))
    wait_until(lambda: hub.snapshot(result.id).progress)
    hub.cancel(result.id)
    reach(hub, result.id, "cancelled")


def test_a_task_of_a_base_class_of_its_own_is_shown(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.based.delay(str(tmp_path / "go"))
    wait_until(lambda: hub.snapshot(result.id).progress == 33)
    (tmp_path / "go").touch()
    reach(hub, result.id, "completed")


@pytest.mark.parametrize(("state", "status"), [(None, "cancelled"), ("FAILURE", "failed")])
def test_a_task_that_asks_to_be_ignored_ends(
    worker: object, tasks: ModuleType, hub: Hub, state: str | None, status: str
) -> None:
    reach(hub, tasks.ignored.delay(state).id, status)


def test_a_task_that_rejects_its_message_fails(worker: object, tasks: ModuleType, hub: Hub) -> None:
    reach(hub, tasks.rejected.delay().id, "failed")


@pytest.mark.parametrize("steps", [1, 2])
def test_a_task_that_is_replaced_goes_on_under_its_id(
    worker: object, tasks: ModuleType, hub: Hub, steps: int
) -> None:
    result = tasks.replaced.delay(steps=steps)
    assert reach(hub, result.id, "completed", "cancelled", "failed").status == "completed"
    assert wait_for_result(result) == 1 + steps


def test_all_tasks_of_a_chain_are_pending_when_the_first_is_sent(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    chained = (tasks.hold.si(str(tmp_path / "go")) | tasks.add.si(1, 2) | tasks.add.s(3)).delay()
    ids = [chained.parent.parent.id, chained.parent.id, chained.id]
    assert [status(hub, job_id) for job_id in ids[1:]] == ["pending", "pending"]
    (tmp_path / "go").touch()
    for job_id in ids:
        reach(hub, job_id, "completed")
    assert wait_for_result(chained) == 6


def test_the_tasks_after_one_that_fails_fail_too(
    worker: object, tasks: ModuleType, hub: Hub
) -> None:
    chained = (tasks.fail.si("no", shown=True) | tasks.add.si(1, 2) | tasks.add.s(3)).delay()
    reach(hub, chained.parent.parent.id, "failed")
    for job_id in (chained.parent.id, chained.id):
        assert reach(hub, job_id, "failed").details == {"code": "step_failed"}


def test_a_task_of_a_chain_that_is_cancelled_before_it_is_sent_never_runs(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    chained = (tasks.hold.si(str(tmp_path / "go")) | tasks.touch.si(str(tmp_path / "ran"))).delay()
    hub.cancel(chained.id)
    (tmp_path / "go").touch()
    reach(hub, chained.parent.id, "completed")
    with pytest.raises(TaskRevokedError):
        wait_for_result(chained)
    assert hub.snapshot(chained.id).status == "cancelled"
    assert not (tmp_path / "ran").exists()


def test_the_owner_of_a_chain_is_that_of_all_its_tasks(
    worker: object, tasks: ModuleType, hub: Hub
) -> None:
    with owned_by(7):
        chained = (tasks.add.si(1, 2) | tasks.add.s(3)).delay()
    reach(hub, chained.id, "completed")
    owners = [hub.broker.owner(job_id) for job_id in (chained.parent.id, chained.id)]
    assert owners == ["7", "7"]


def test_the_body_of_a_chord_is_pending_until_its_tasks_are_done(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    held = [tasks.hold.si(str(tmp_path / "go")) for _ in range(2)]
    result = chord(held)(tasks.add.si(1, 2))
    assert hub.snapshot(result.id).status == "pending"
    (tmp_path / "go").touch()
    reach(hub, result.id, "completed")
    for child in result.parent.results:
        reach(hub, child.id, "completed")


def test_celerys_own_tasks_and_those_left_out_have_no_job(
    worker: object, tasks: ModuleType, hub: Hub
) -> None:
    result = tasks.left_out.delay()
    assert "no current job" in wait_for_result(result)
    other = tasks.elsewhere.delay(1, 2)
    assert wait_for_result(other) == 3
    assert {status(hub, result.id), status(hub, other.id)} == {"unknown"}


def test_a_task_id_that_can_be_no_jobs_runs_without_one_and_says_so_once(
    worker: object, tasks: ModuleType, workers: Workers
) -> None:
    name = f"an id with spaces {uuid4().hex}"
    assert wait_for_result(tasks.add.apply_async((1, 2), task_id=name)) == 3
    assert workers.logs().count(f"task '{name}' has no job") == 1


def test_an_owner_comes_with_the_message_and_passes_to_what_the_task_sends(
    worker: object, tasks: ModuleType, hub: Hub
) -> None:
    result = tasks.parent.apply_async(headers={"sseprog_owner": "7"})
    assert hub.broker.owner(result.id) == "7"
    child = reach(hub, result.id, "completed").details["child"]
    assert hub.broker.owner(child) == "7"
    reach(hub, child, "completed")


def test_a_task_whose_sender_knows_nothing_of_jobs_has_one_and_its_owner(
    worker: object, tasks: ModuleType, hub: Hub, redis_url: str
) -> None:
    program = (
        "import sys; from celery import Celery; app = Celery(broker=sys.argv[1]); "
        "print(app.send_task('tests.add', (1, 2), headers={'sseprog_owner': '8'}).id)"
    )
    sent = subprocess.check_output([sys.executable, "-c", program, f"{redis_url}/0"], text=True)
    job_id = sent.strip()
    wait_until(lambda: status(hub, job_id) == "completed")
    assert hub.broker.owner(job_id) == "8"


def test_a_task_that_no_worker_knows_fails(worker: object, tasks: ModuleType, hub: Hub) -> None:
    result = tasks.app.send_task("tests.unknown")
    assert reach(hub, result.id, "failed").details == {"code": "unknown_task"}


def test_there_is_no_current_job_outside_a_task() -> None:
    with pytest.raises(RuntimeError, match="no current job"):
        current_job()


def test_a_task_called_as_a_function_is_no_job(tasks: ModuleType, tmp_path: Path) -> None:
    tasks.touch(str(tmp_path / "made"))
    assert (tmp_path / "made").exists()


def test_the_bridge_is_installed_once(tasks: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="already"):
        install(tasks.app, tasks.hub)


@pytest.mark.parametrize("pool", ["threads", "solo", "gevent"])
def test_each_pool_shows_its_tasks(
    workers: Workers, tasks: ModuleType, hub: Hub, tmp_path: Path, pool: str
) -> None:
    process = start(workers, pool, *POOLS[pool])
    count = 1 if pool == "solo" else 2
    results = [tasks.who.apply_async((str(tmp_path / "go"),), queue=pool) for _ in range(count)]
    wait_until(lambda: all(hub.snapshot(result.id).stage == "meeting" for result in results))
    (tmp_path / "go").touch()
    for result in results:
        reach(hub, result.id, "completed")
        assert wait_for_result(result) == [result.id, True]
    stopped = tasks.hold.apply_async((str(tmp_path / "never"),), queue=pool)
    wait_until(lambda: hub.snapshot(stopped.id).stage == "holding")
    hub.cancel(stopped.id)
    reach(hub, stopped.id, "cancelled")
    again = tasks.again.apply_async((str(tmp_path / "go"),), queue=pool)
    assert reach(hub, again.id, "completed").details["attempt"] == 2
    workers.stop(process)


def test_a_warm_shutdown_lets_the_task_end_and_tells_of_it(
    workers: Workers, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    process = start(workers, "warm")
    result = tasks.mute.apply_async((str(tmp_path / "go"),), queue="warm")
    wait_until(lambda: hub.snapshot(result.id).stage == "working")
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in process.log_path.read_text())
    (tmp_path / "go").touch()
    workers.stop(process)
    assert reach(hub, result.id, "completed").progress == 100


def test_a_worker_that_is_killed_whole_leaves_its_job_lost(
    workers: Workers, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    process = start(workers, "killed")
    result = tasks.mute.apply_async((str(tmp_path / "never"),), queue="killed")
    wait_until(lambda: hub.snapshot(result.id).stage == "working")
    workers.kill(process)
    reach(hub, result.id, "stalled")
    state = reach(hub, result.id, "lost")
    assert (state.stage, state.details["code"]) == ("working", "lost")


def test_a_process_of_the_pool_that_is_killed_leaves_its_job_lost_at_once(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.mute.delay(str(tmp_path / "never"))
    wait_until(lambda: hub.snapshot(result.id).stage == "working")
    os.kill(hub.snapshot(result.id).details["pid"], signal.SIGKILL)
    state = reach(hub, result.id, "lost", seconds=10)
    assert (state.stage, state.details["code"]) == ("working", "lost")


def test_a_task_that_is_delivered_again_after_its_process_was_killed_is_a_second_attempt(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.late.delay(str(tmp_path / "go"))
    wait_until(lambda: hub.snapshot(result.id).stage == "holding")
    first = hub.snapshot(result.id).details
    os.kill(first["pid"], signal.SIGKILL)

    def second() -> bool:
        state = hub.snapshot(result.id)
        return state.details.get("attempt") == 2 and state.stage == "holding"

    wait_until(second)
    assert hub.snapshot(result.id).details["pid"] != first["pid"]
    (tmp_path / "go").touch()
    assert reach(hub, result.id, "completed").details["attempt"] == 2
    assert wait_for_result(result) == 1


def test_a_task_that_is_delivered_again_after_its_worker_was_killed_is_a_second_attempt(
    workers: Workers, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    process = start(workers, "twice", UNACKED="unacked-twice")
    result = tasks.late.apply_async((str(tmp_path / "go"),), queue="twice")
    wait_until(lambda: hub.snapshot(result.id).stage == "holding")
    workers.kill(process)
    reach(hub, result.id, "lost")
    (tmp_path / "go").touch()
    other = start(workers, "twice", UNACKED="unacked-twice")
    assert reach(hub, result.id, "completed").details["attempt"] == 2
    workers.stop(other)


def test_a_task_that_is_delivered_twice_ends_as_the_newer_attempt_does(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    result = tasks.hold.delay(str(tmp_path / "go"))
    wait_until(lambda: hub.snapshot(result.id).stage == "holding")
    tasks.hold.apply_async((str(tmp_path / "go"),), task_id=result.id)
    wait_until(lambda: hub.snapshot(result.id).details.get("attempt") == 2)
    ended = tasks.add.delay(1, 2)  # by the process that the older attempt has left
    reach(hub, ended.id, "completed")
    assert result.state == "PENDING"  # and not FAILURE
    assert hub.snapshot(result.id).status == "running"
    (tmp_path / "go").touch()
    reach(hub, result.id, "completed")
    assert wait_for_result(result) == "done"


def test_a_hub_that_was_used_before_the_fork_serves_both(worker: object, hub: Hub) -> None:
    assert hub.snapshot("in-parent").status == "completed"


def test_the_logs_of_the_workers_tell_of_no_mistake_of_the_bridge(workers: Workers) -> None:
    assert "Signal handler" not in workers.logs()
