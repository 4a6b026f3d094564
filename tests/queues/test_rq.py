"""Jobs of RQ, by real workers."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from rq import Queue, Retry
from rq.command import send_stop_job_command

from sseprog import Hub
from sseprog.rq import current_job, owned_by

from .conftest import Import, Workers, reach, wait_until


@pytest.fixture
def hub(watching: Hub) -> Hub:
    return watching


@pytest.fixture(scope="module")
def tasks(import_tasks: Import) -> Iterator[ModuleType]:
    module = import_tasks("rq_tasks")
    yield module
    module.ShownJob.hub.close()


@pytest.fixture(scope="module")
def connection(workers: Workers) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(workers.environment["QUEUE_URL"]) as made:
        yield made


def queue(tasks: ModuleType, connection: "redis.Redis", name: str = "rq") -> Queue:
    return Queue(name, connection=connection, job_class=tasks.ShownJob)


def start(workers: Workers, name: str = "rq", *options: str) -> Any:
    return workers.start(
        "-m", "rq.cli", "worker", name, "--url", workers.environment["QUEUE_URL"],
        "--job-class", "rq_tasks.ShownJob", *options, ready="Listening on",
    )  # fmt: skip


@pytest.fixture(scope="module")
def worker(workers: Workers, tasks: ModuleType) -> Any:
    return start(workers)


@pytest.fixture
def shown(tasks: ModuleType, connection: "redis.Redis", worker: object) -> Queue:
    return queue(tasks, connection)


def name(function: str) -> str:
    return f"rq_tasks.{function}"


def test_a_job_is_pending_when_it_is_enqueued_and_completes_in_another_process(
    tasks: ModuleType, connection: "redis.Redis", workers: Workers, hub: Hub
) -> None:
    job = queue(tasks, connection, "later").enqueue(name("add"), 1, 2)
    assert hub.snapshot(job.id).status == "pending"
    process = start(workers, "later", "--burst")
    state = reach(hub, job.id, "completed")
    assert (state.stage, state.details["attempt"]) == ("adding", 1)
    assert state.details["pid"] not in {os.getpid(), process.pid}
    process.wait(20)
    assert job.return_value(refresh=True) == 3


@pytest.mark.parametrize("shows", [True, False])
def test_the_text_of_a_job_failed_is_shown_and_no_other_exceptions(
    shown: Queue, hub: Hub, shows: bool
) -> None:
    job = shown.enqueue(name("fail"), "no header row", shown=shows)
    state = reach(hub, job.id, "failed")
    assert state.message == ("no header row" if shows else "The job failed.")


def test_a_job_that_is_tried_again_is_a_second_attempt(
    shown: Queue, hub: Hub, tmp_path: Path
) -> None:
    job = shown.enqueue(name("again"), str(tmp_path / "tried"), retry=Retry(max=2))
    assert reach(hub, job.id, "completed").details["attempt"] == 2


def test_a_job_that_returns_a_retry_is_a_second_attempt(
    shown: Queue, hub: Hub, tmp_path: Path
) -> None:
    job = shown.enqueue(name("returns_retry"), str(tmp_path / "tried"))
    assert reach(hub, job.id, "completed").details["attempt"] == 2


def test_a_retry_that_is_due_later_leaves_the_job_pending(
    shown: Queue, hub: Hub, tmp_path: Path
) -> None:
    retry = Retry(max=1, interval=60)
    job = shown.enqueue(name("again"), str(tmp_path / "tried"), retry=retry)
    wait_until(lambda: hub.snapshot(job.id).message == "Trying again, attempt 2")
    assert hub.snapshot(job.id).status == "pending"


def test_a_job_that_is_cancelled_while_it_waits_never_runs(
    tasks: ModuleType, connection: "redis.Redis", workers: Workers, hub: Hub, tmp_path: Path
) -> None:
    waiting = queue(tasks, connection, "cancelled")
    by_hub = waiting.enqueue(name("touch"), str(tmp_path / "one"))
    by_rq = waiting.enqueue(name("touch"), str(tmp_path / "two"))
    hub.cancel(by_hub.id)
    by_rq.cancel()
    for job in (by_hub, by_rq):
        assert reach(hub, job.id, "cancelled")
    start(workers, "cancelled", "--burst").wait(30)
    assert not list(tmp_path.iterdir())
    assert {hub.snapshot(job.id).status for job in (by_hub, by_rq)} == {"cancelled"}


def test_a_running_job_that_is_cancelled_stops_at_its_next_report_and_is_not_tried_again(
    shown: Queue, hub: Hub, tmp_path: Path
) -> None:
    job = shown.enqueue(name("hold"), str(tmp_path / "never"), retry=Retry(max=3))
    wait_until(lambda: hub.snapshot(job.id).stage == "holding")
    hub.cancel(job.id)
    reach(hub, job.id, "cancelled")
    wait_until(job.get_status)
    wait_until(lambda: job.get_status().value == "failed")
    assert hub.snapshot(job.id).status == "cancelled"


def test_a_job_that_is_stopped_by_rqs_command_is_cancelled(
    shown: Queue, hub: Hub, tmp_path: Path, connection: "redis.Redis"
) -> None:
    job = shown.enqueue(name("mute"), str(tmp_path / "never"))
    wait_until(lambda: hub.snapshot(job.id).stage == "working")
    send_stop_job_command(connection, job.id)
    assert reach(hub, job.id, "cancelled", "lost", "failed").status == "cancelled"


def test_a_job_whose_process_is_killed_is_lost_at_once(
    shown: Queue, hub: Hub, tmp_path: Path
) -> None:
    job = shown.enqueue(name("mute"), str(tmp_path / "never"))
    wait_until(lambda: hub.snapshot(job.id).stage == "working")
    os.kill(hub.snapshot(job.id).details["pid"], signal.SIGKILL)
    assert reach(hub, job.id, "lost").stage == "working"


def test_a_job_whose_process_is_killed_is_tried_again_if_it_may_be(
    shown: Queue, hub: Hub, tmp_path: Path
) -> None:
    job = shown.enqueue(name("mute"), str(tmp_path / "go"), retry=Retry(max=1))
    wait_until(lambda: hub.snapshot(job.id).stage == "working")
    os.kill(hub.snapshot(job.id).details["pid"], signal.SIGKILL)
    (tmp_path / "go").touch()
    assert reach(hub, job.id, "completed", "lost").details["attempt"] == 2


def test_a_worker_that_is_killed_whole_leaves_its_job_lost(
    tasks: ModuleType, connection: "redis.Redis", workers: Workers, hub: Hub, tmp_path: Path
) -> None:
    process = start(workers, "killed")
    job = queue(tasks, connection, "killed").enqueue(name("mute"), str(tmp_path / "never"))
    wait_until(lambda: hub.snapshot(job.id).stage == "working")
    horse = hub.snapshot(job.id).details["pid"]  # in a group of its own
    workers.kill(process)
    os.kill(horse, signal.SIGKILL)
    assert reach(hub, job.id, "lost").stage == "working"


def test_a_job_that_stores_its_own_meta_shows_it_unchanged(
    shown: Queue, hub: Hub, tmp_path: Path
) -> None:
    job = shown.enqueue(name("old"), str(tmp_path / "go"))
    wait_until(lambda: hub.snapshot(job.id).progress == 40)
    assert job.get_meta()["progress"] == 40
    (tmp_path / "go").touch()
    reach(hub, job.id, "completed")


def test_a_job_that_takes_too_long_says_so(shown: Queue, hub: Hub, tmp_path: Path) -> None:
    job = shown.enqueue(name("mute"), str(tmp_path / "never"), job_timeout=1)
    assert reach(hub, job.id, "failed").details["code"] == "time_limit"


def test_a_job_is_whose_it_is_sent_for(shown: Queue, hub: Hub) -> None:
    with owned_by(7):
        job = shown.enqueue(name("add"), 1, 2)
    other = shown.enqueue(name("add"), 1, 2, meta={"sseprog_owner": "8"})
    assert [hub.broker.owner(each.id) for each in (job, other)] == ["7", "8"]


def test_a_queue_that_is_not_asynchronous_shows_its_jobs(
    tasks: ModuleType, connection: "redis.Redis", hub: Hub
) -> None:
    at_once = Queue("sync", connection=connection, is_async=False, job_class=tasks.ShownJob)
    job = at_once.enqueue(tasks.add, 1, 2)
    reach(hub, job.id, "completed")
    with pytest.raises(RuntimeError, match="no current job"):
        current_job()
