"""The functions that real RQ workers run in the tests."""

import os
import time
from pathlib import Path

from rq import Retry, get_current_job

from sseprog import Hub, JobFailed
from sseprog.rq import ProgressJob, current_job


class ShownJob(ProgressJob):
    hub = Hub(os.environ["HUB_URL"], lease=float(os.environ["LEASE"]), throttle=0)


def wait_for(path: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.01)


def add(one: int, two: int) -> int:
    current_job().update(50, stage="adding", details={"pid": os.getpid()})
    return one + two


def fail(text: str, *, shown: bool) -> None:
    raise JobFailed(text) if shown else RuntimeError(text)


def hold(path: str) -> None:
    current_job().update(1, stage="holding", details={"pid": os.getpid()})
    while not Path(path).exists():
        current_job().update()
        time.sleep(0.01)


def mute(path: str) -> None:
    current_job().update(1, stage="working", details={"pid": os.getpid()})
    wait_for(path)


def touch(path: str) -> None:
    Path(path).touch()


def again(path: str) -> str:
    """Fail until the file is there."""
    current_job().update(10, stage="trying")
    if not Path(path).exists():
        Path(path).touch()
        raise RuntimeError("not yet")
    return "done"


def returns_retry(path: str) -> object:
    if not Path(path).exists():
        Path(path).touch()
        return Retry(max=2)
    return "done"


def old(path: str) -> None:
    """Know nothing of sseprog."""
    job = get_current_job()
    assert job is not None
    job.meta["progress"] = 40
    job.save_meta()
    wait_for(path)
