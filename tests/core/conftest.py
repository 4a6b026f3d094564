"""Hubs that are closed again, and tests that are coroutines."""

import asyncio
import inspect
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sseprog import Hub

MakeHub = Callable[..., Hub]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test in a loop of its own; a task that it leaves behind is a failure."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    names = inspect.signature(test).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def run() -> None:
        await test(**arguments)
        await asyncio.sleep(0)  # what was cancelled at the very end may see that
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"

    asyncio.run(run())
    return True


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SSEPROG_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """Put the handlers back that `drain_on_signals` was chained in front of."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def make_hub() -> Iterator[MakeHub]:
    hubs: list[Hub] = []

    def make(*arguments: Any, **settings: Any) -> Hub:
        hub = Hub(*arguments, **settings)
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        hub.close()


@pytest.fixture
def hub(make_hub: MakeHub) -> Hub:
    """Return a hub without a throttle, so that every report is an event."""
    return make_hub(throttle=0)
