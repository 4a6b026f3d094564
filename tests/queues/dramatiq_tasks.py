"""The actors that real Dramatiq workers run in the tests."""

import os
import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from sseprog import Hub, JobFailed
from sseprog.dramatiq import current_job, install

broker = RedisBroker(url=os.environ["QUEUE_URL"], namespace=os.environ.get("NAMESPACE", "dramatiq"))
dramatiq.set_broker(broker)
hub = Hub(os.environ["HUB_URL"], lease=float(os.environ["LEASE"]), throttle=0)
install(broker, hub)
if "WITH_QUEUE" in os.environ:
    broker.declare_queue(os.environ["WITH_QUEUE"])


def wait_for(path: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.01)


@dramatiq.actor(max_retries=0)
def add(one: int, two: int) -> None:
    current_job().update(50, stage="adding", details={"pid": os.getpid(), "sum": one + two})


@dramatiq.actor(max_retries=0)
def fail(text: str, shown: bool) -> None:
    raise JobFailed(text) if shown else RuntimeError(text)


@dramatiq.actor(min_backoff=10, max_retries=5)
def hold(path: str) -> None:
    current_job().update(1, stage="holding", details={"pid": os.getpid()})
    while not Path(path).exists():
        current_job().update()
        time.sleep(0.01)


@dramatiq.actor(max_retries=0)
def mute(path: str) -> None:
    current_job().update(1, stage="working", details={"pid": os.getpid()})
    wait_for(path)


@dramatiq.actor
def touch(path: str) -> None:
    Path(path).touch()


@dramatiq.actor(min_backoff=300, max_backoff=300, max_retries=2)
def again(path: str) -> None:
    current_job().update(10, stage="trying")
    if not Path(path).exists():
        Path(path).touch()
        raise RuntimeError("not yet")


@dramatiq.actor(max_retries=0, time_limit=500)
def slow(path: str) -> None:
    wait_for(path)


@dramatiq.actor(progress=False)
def left_out(path: str) -> None:
    try:
        current_job()
    except RuntimeError:
        Path(path).touch()


@dramatiq.actor(max_age=1)
def aged(path: str) -> None:
    Path(path).touch()
