"""The tasks that a real worker runs in the tests."""

import os
import time
from pathlib import Path
from typing import Any

try:
    from django.tasks import task
except ModuleNotFoundError:
    from django_tasks import task

from sseprog import JobFailed
from sseprog_django.tasks import current_job


def wait_for(path: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.01)


@task
def add(one: int, two: int) -> int:
    current_job().update(50, stage="adding", details={"pid": os.getpid()})
    return one + two


@task
async def add_async(one: int, two: int) -> int:
    current_job().update(50, stage="adding", details={"pid": os.getpid()})
    return one + two


@task
def fail(text: str, shown: bool) -> None:
    raise JobFailed(text) if shown else RuntimeError(text)


@task
def hold(path: str) -> None:
    current_job().update(1, stage="holding", details={"pid": os.getpid()})
    while not Path(path).exists():
        current_job().update()
        time.sleep(0.01)


@task
def mute(path: str) -> None:
    current_job().update(1, stage="working")
    wait_for(path)


@task
def touch(path: str) -> None:
    Path(path).touch()


AT_ONCE: Any = add.using(backend="at_once")
