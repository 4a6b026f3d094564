"""Celery tasks that run at once, in the process that sends them, as tests of applications do."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from sseprog import Hub, JobFailed, JobNotFound
from sseprog.celery import current_job, install, owned_by
from sseprog.testing._server import free_port


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub("memory://", throttle=0)
    yield made
    made.close()


@pytest.fixture
def app() -> Celery:
    made = Celery(set_as_current=False, broker="memory://", backend="cache+memory://")
    made.conf.task_always_eager = True
    return made


def test_a_task_that_runs_at_once_completes(app: Celery, hub: Hub) -> None:
    install(app, hub)
    seen = []

    @app.task(shared=False)
    def work(number: int) -> int:
        current_job().update(40, stage="working")
        seen.append(current_job().state)
        return number

    result = work.delay(3)
    assert result.get() == 3
    assert (seen[0].status, seen[0].progress) == ("running", 40)
    assert hub.snapshot(result.id).status == "completed"


@pytest.mark.parametrize("propagates", [True, False])
def test_a_task_that_fails_at_once_is_shown_so(app: Celery, hub: Hub, propagates: bool) -> None:
    app.conf.task_eager_propagates = propagates
    install(app, hub)

    @app.task(shared=False)
    def work() -> None:
        raise JobFailed("There is no header row.")

    job_id = str(uuid4())
    if propagates:
        with pytest.raises(JobFailed):
            work.apply_async(task_id=job_id)
    else:
        work.apply_async(task_id=job_id)
    assert hub.snapshot(job_id).message == "There is no header row."


def test_a_retry_at_once_is_a_second_attempt(app: Celery, hub: Hub) -> None:
    install(app, hub)
    attempts = []

    @app.task(shared=False, bind=True)
    def work(self: Any) -> str:
        attempts.append(current_job().state.details["attempt"])
        if self.request.retries == 0:
            raise self.retry()
        return "done"

    result = work.delay()
    assert result.get() == "done"
    assert attempts == [1, 2]
    assert hub.snapshot(result.id).status == "completed"


def test_a_task_within_a_task_has_a_job_of_its_own(app: Celery, hub: Hub) -> None:
    install(app, hub)

    @app.task(shared=False)
    def inner() -> str:
        return current_job().id

    @app.task(shared=False)
    def outer() -> list[str]:
        before = current_job().id
        return [before, inner.delay().get(disable_sync_subtasks=False), current_job().id]

    result = outer.delay()
    first, second, third = result.get()
    assert first == third == result.id != second
    assert hub.snapshot(second).status == "completed"


def test_a_task_called_as_a_function_by_another_reports_to_its_job(app: Celery, hub: Hub) -> None:
    install(app, hub)

    @app.task(shared=False)
    def inner() -> str:
        return current_job().id

    @app.task(shared=False)
    def outer() -> str:
        return str(inner())

    result = outer.delay()
    assert result.get() == result.id


def test_a_task_that_is_cancelled_at_once_is_not_a_failure(app: Celery, hub: Hub) -> None:
    install(app, hub)

    @app.task(shared=False, bind=True, autoretry_for=(Exception,))
    def work(self: Any) -> None:
        hub.cancel(self.request.id)
        current_job().update(1)

    result = work.delay()
    assert hub.snapshot(result.id).status == "cancelled"
    assert result.state == "IGNORED"


def test_whose_a_task_is_comes_with_it(app: Celery, hub: Hub) -> None:
    install(app, hub)

    @app.task(shared=False)
    def work() -> None:
        return None

    assert hub.broker.owner(work.apply_async(headers={"sseprog_owner": "7"}).id) == "7"
    with owned_by(8):
        assert hub.broker.owner(work.delay().id) == "8"


@pytest.mark.parametrize(
    "chosen", [["videos.*"], lambda name: name.startswith("videos"), {"videos.cut", "other"}]
)
def test_which_tasks_are_shown_is_chosen_by_name(app: Celery, hub: Hub, chosen: Any) -> None:
    install(app, hub, tasks=chosen)

    def nothing() -> None:
        return None

    def has_job(name: str) -> bool:
        try:
            hub.snapshot(app.task(nothing, name=name, shared=False).delay().id)
        except JobNotFound:
            return False
        return True

    assert [has_job(name) for name in ("videos.cut", "mail.send")] == [True, False]


def test_a_single_name_is_no_list_of_names(app: Celery, hub: Hub) -> None:
    with pytest.raises(TypeError, match=r'\["videos\.\*"\]'):
        install(app, hub, tasks="videos.*")


def test_a_task_whose_id_is_no_jobs_runs_and_its_reports_go_nowhere(
    app: Celery, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    install(app, hub)

    @app.task(shared=False)
    def work() -> int:
        current_job().update(50)
        return 3

    assert work.apply_async(task_id="not an id").get() == 3
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "task 'not an id' has no job" in warnings[0].getMessage()


def test_a_state_that_is_stored_for_another_task_is_not_shown_as_this_ones(
    app: Celery, hub: Hub
) -> None:
    install(app, hub)
    seen = []

    @app.task(shared=False, bind=True)
    def work(self: Any) -> None:
        self.update_state(task_id="another", state="PROGRESS", meta={"percent": 90})
        seen.append(current_job().state.progress)

    work.delay()
    assert seen == [None]


def test_an_ignored_task_is_cancelled(app: Celery, hub: Hub) -> None:
    install(app, hub)

    @app.task(shared=False)
    def work() -> None:
        raise Ignore

    assert hub.snapshot(work.delay().id).status == "cancelled"


def test_tasks_sent_elsewhere_from_a_hub_in_memory_are_warned_of_once(
    app: Celery, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    app.conf.task_always_eager = False
    install(app, hub)
    for _ in range(2):
        app.send_task("any")
    warnings = [each for each in caplog.records if "memory://" in each.getMessage()]
    assert len(warnings) == 1


def test_a_task_that_cannot_be_sent_has_failed(app: Celery, hub: Hub) -> None:
    app.conf.update(
        task_always_eager=False,
        broker_url=f"redis://127.0.0.1:{free_port()}",
        broker_transport_options={"max_retries": 1},
        task_publish_retry=False,
    )
    install(app, hub)
    job_id = str(uuid4())
    with pytest.raises(OperationalError):
        app.send_task("any", task_id=job_id)
    assert hub.snapshot(job_id).details == {"code": "not_sent"}
