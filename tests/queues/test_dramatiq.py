"""Jobs of Dramatiq's messages, by real workers."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dramatiq
import pytest

from sseprog import Hub
from sseprog.dramatiq import owned_by

from .conftest import Import, Workers, reach, status, wait_until


@pytest.fixture
def hub(watching: Hub) -> Hub:
    return watching


@pytest.fixture(scope="module")
def tasks(import_tasks: Import) -> Iterator[ModuleType]:
    module = import_tasks("dramatiq_tasks")
    yield module
    module.hub.close()
    module.broker.close()


def start(workers: Workers, *options: str, **environment: str) -> Any:
    return workers.start(
        "-m", "dramatiq", "dramatiq_tasks", "--processes", "1", "--threads", "2", *options,
        ready="Worker process is ready for action.", environment=environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def worker(workers: Workers, tasks: ModuleType) -> Any:
    return start(workers)


def test_a_message_is_pending_when_it_is_sent_and_completes_in_another_process(
    worker: object, tasks: ModuleType, hub: Hub
) -> None:
    message = tasks.add.send(1, 2)
    state = reach(hub, message.message_id, "completed")
    assert (state.stage, state.details["attempt"], state.details["sum"]) == ("adding", 1, 3)
    assert state.details["pid"] != os.getpid()


def test_a_message_that_nobody_takes_is_pending(tasks: ModuleType, hub: Hub) -> None:
    message = tasks.add.message(1, 2).copy(queue_name="nobody")
    tasks.broker.declare_queue("nobody")
    tasks.broker.enqueue(message)
    assert hub.snapshot(message.message_id).status == "pending"


@pytest.mark.parametrize("shown", [True, False])
def test_the_text_of_a_job_failed_is_shown_and_no_other_exceptions(
    worker: object, tasks: ModuleType, hub: Hub, shown: bool
) -> None:
    message = tasks.fail.send("no header row", shown)
    state = reach(hub, message.message_id, "failed")
    assert state.message == ("no header row" if shown else "The job failed.")


def test_a_message_that_is_tried_again_is_pending_and_then_a_second_attempt(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    message = tasks.again.send(str(tmp_path / "tried"))
    wait_until(lambda: hub.snapshot(message.message_id).message == "Trying again, attempt 2")
    assert hub.snapshot(message.message_id).status == "pending"
    assert reach(hub, message.message_id, "completed").details["attempt"] == 2


def test_a_message_that_is_cancelled_while_it_waits_never_runs(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    message = tasks.touch.send_with_options(args=(str(tmp_path / "ran"),), delay=1_000)
    hub.cancel(message.message_id)
    assert hub.snapshot(message.message_id).status == "cancelled"
    after = tasks.add.send_with_options(args=(1, 2), delay=1_100)
    reach(hub, after.message_id, "completed")
    assert not (tmp_path / "ran").exists()
    assert hub.snapshot(message.message_id).status == "cancelled"


def test_a_running_message_that_is_cancelled_stops_at_its_next_report_and_is_not_tried_again(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    message = tasks.hold.send(str(tmp_path / "never"))
    wait_until(lambda: hub.snapshot(message.message_id).stage == "holding")
    hub.cancel(message.message_id)
    state = reach(hub, message.message_id, "cancelled", "pending")
    assert (state.status, state.details["attempt"]) == ("cancelled", 1)


def test_a_message_that_takes_too_long_says_so(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    message = tasks.slow.send(str(tmp_path / "never"))
    assert reach(hub, message.message_id, "failed").details["code"] == "time_limit"


def test_a_message_that_is_too_old_is_cancelled(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    message = tasks.aged.send_with_options(args=(str(tmp_path / "ran"),), delay=100)
    assert reach(hub, message.message_id, "cancelled").details == {"code": "expired"}
    assert not (tmp_path / "ran").exists()


def test_an_actor_that_is_left_out_has_no_job(
    worker: object, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    message = tasks.left_out.send(str(tmp_path / "ran"))
    wait_until((tmp_path / "ran").exists)
    assert status(hub, message.message_id) == "unknown"


def test_a_message_that_no_worker_knows_fails(worker: object, tasks: ModuleType, hub: Hub) -> None:
    message = dramatiq.Message("default", "nobodys", (), {}, {})
    tasks.broker.enqueue(message)
    assert reach(hub, message.message_id, "failed").details == {"code": "unknown_task"}


def test_a_job_is_whose_it_is_sent_for(worker: object, tasks: ModuleType, hub: Hub) -> None:
    with owned_by(7):
        message = tasks.add.send(1, 2)
    other = tasks.add.send_with_options(args=(1, 2), sseprog_owner="8")
    owners = [hub.broker.owner(each.message_id) for each in (message, other)]
    assert owners == ["7", "8"]


def test_a_worker_that_is_killed_leaves_its_job_lost(
    workers: Workers, tasks: ModuleType, hub: Hub, tmp_path: Path
) -> None:
    elsewhere = tasks.mute.message(str(tmp_path / "never")).copy(queue_name="killed")
    tasks.broker.declare_queue("killed")
    process = start(workers, "--queues", "killed", WITH_QUEUE="killed")
    tasks.broker.enqueue(elsewhere)
    wait_until(lambda: hub.snapshot(elsewhere.message_id).stage == "working")
    workers.kill(process)
    assert reach(hub, elsewhere.message_id, "lost").stage == "working"


def test_the_logs_of_the_workers_tell_of_no_mistake_of_the_middleware(workers: Workers) -> None:
    assert "Unexpected failure" not in workers.logs()
