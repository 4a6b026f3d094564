"""The tasks that real Celery workers run in the tests."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from celery import Celery, Task, chain
from celery.exceptions import Ignore, Reject

from sseprog import Hub, JobFailed
from sseprog.celery import current_job, install

app = Celery("tests", broker=os.environ["QUEUE_URL"], backend=os.environ["QUEUE_URL"])
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_hijack_root_logger = False
app.conf.task_default_queue = os.environ.get("QUEUE_NAME", "celery")
hub = Hub(os.environ["HUB_URL"], lease=float(os.environ["LEASE"]), throttle=0)
install(app, hub, tasks=["tests.*"])
if os.environ.get("UNACKED"):
    # A worker that is killed gives its messages back after this, at the earliest when another one
    # starts; those of the other tests' workers are not to be touched.
    app.conf.broker_transport_options = {
        "visibility_timeout": 1,
        "unacked_key": os.environ["UNACKED"],
        "unacked_index_key": os.environ["UNACKED"] + "-index",
    }
if os.environ.get("IN_PARENT"):  # before the pool's processes are forked
    with hub.job(os.environ["IN_PARENT"]) as parents:
        parents.update(50)


def wait_for(path: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.01)


@app.task(name="tests.add")
def add(one: int, two: int) -> int:
    current_job().update(50, stage="adding", message="nearly there", details={"pid": os.getpid()})
    return one + two


@app.task(name="tests.fail")
def fail(text: str, *, shown: bool) -> None:
    current_job().update(25, stage="failing")
    raise JobFailed(text) if shown else RuntimeError(text)


@app.task(name="tests.hold", bind=True)
def hold(self: Any, path: str) -> str:
    """Report until the file is there."""
    job = current_job()
    job.update(1, stage="holding", details={"pid": os.getpid(), "thread": threading.get_ident()})
    while not Path(path).exists():
        job.update()
        time.sleep(0.01)
    return "done"


@app.task(name="tests.mute")
def mute(path: str) -> str:
    """Report once, and work without a word until the file is there."""
    current_job().update(1, stage="working", details={"pid": os.getpid()})
    wait_for(path)
    return "done"


@app.task(name="tests.again", bind=True, max_retries=3)
def again(self: Any, path: str) -> str:
    current_job().update(10 * (self.request.retries + 1), stage="trying")
    if self.request.retries == 0:
        raise self.retry(countdown=0.2)
    if self.request.retries == 1:
        wait_for(path)
    return "done"


@app.task(name="tests.stubborn", bind=True, autoretry_for=(Exception,), retry_backoff=False,
          default_retry_delay=0)  # fmt: skip
def stubborn(self: Any, path: str) -> None:
    with Path(path).open("a") as file:
        file.write("run\n")
    while True:
        current_job().update()
        time.sleep(0.01)


@app.task(name="tests.retrier", bind=True)
def retrier(self: Any, path: str) -> None:
    """Do what many tasks do: try again whatever was raised."""
    with Path(path).open("a") as file:
        file.write("run\n")
    try:
        while True:
            current_job().update()
            time.sleep(0.01)
    except Exception as error:
        raise self.retry(exc=error, countdown=0) from error


@app.task(name="tests.touch")
def touch(path: str) -> None:
    Path(path).touch()


@app.task(name="tests.old", bind=True)
def old(self: Any, meta: Any, path: str) -> str:
    """Know nothing of sseprog."""
    self.update_state(state="PROGRESS", meta=meta)
    wait_for(path)
    return "done"


@app.task(name="tests.old_loop", bind=True)
def old_loop(self: Any, path: str) -> None:
    while not Path(path).exists():
        self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
        time.sleep(0.01)


@app.task(name="tests.ignored", bind=True)
def ignored(self: Any, state: str | None) -> None:
    if state is not None:
        self.update_state(state=state, meta={"exc_type": "X", "exc_message": "Y"})
    raise Ignore


@app.task(name="tests.rejected")
def rejected() -> None:
    raise Reject("no", requeue=False)


@app.task(name="tests.replaced", bind=True)
def replaced(self: Any, *, steps: int) -> None:
    current_job().update(5, stage="planning")
    raise self.replace(add.s(1, 1) if steps == 1 else chain(add.s(1, 1), add.s(1)))


@app.task(name="tests.parent")
def parent() -> str:
    task_id: str = add.delay(3, 4).id
    current_job().update(details={"child": task_id})
    return task_id


@app.task(name="tests.left_out", progress=False)
def left_out() -> str:
    try:
        current_job()
    except RuntimeError as error:
        return str(error)
    return ""


@app.task(name="elsewhere.add")
def elsewhere(one: int, two: int) -> int:
    return one + two


class Based(Task):  # type: ignore[misc]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


@app.task(name="tests.based", base=Based, bind=True)
def based(self: Any, path: str) -> None:
    self.update_state(state="PROGRESS", meta={"percent": 33})
    wait_for(path)


@app.task(name="tests.slow", soft_time_limit=1)
def slow(path: str) -> None:
    wait_for(path)


@app.task(name="tests.slower", time_limit=1)
def slower(path: str) -> None:
    current_job().update(40, stage="dawdling")
    wait_for(path)


@app.task(name="tests.late", acks_late=True, reject_on_worker_lost=True)
def late(path: str) -> int:
    job = current_job()
    job.update(1, stage="holding", details={"pid": os.getpid()})
    wait_for(path)
    return 1


@app.task(name="tests.who")
def who(path: str) -> list[Any]:
    """Tell of itself only, though others run in the same process at the same time."""
    job = current_job()
    job.update(20, stage="meeting")
    wait_for(path)
    return [job.id, current_job() is job]
