"""What events and streams cost, in counts, which a busy machine doesn't change.

How long they take is measured in benchmarks/. What the streams of threads cost is held in
test_threads.py, and what events cost a Redis in tests/brokers/test_redis_costs.py.
"""

import asyncio
import gc
import inspect
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sseprog
from sseprog import Hub, _pump, hookimpl
from sseprog._log import JobLog
from sseprog.job import Job
from sseprog.progress import WireState

from .asgi_exchange import Exchange, Message, app_of
from .conftest import MakeHub

EVENTS = 10
HERE = str(Path(sseprog.__file__).parent)

Count = Callable[[Any, str], list[Any]]
Send = Callable[[Message], Awaitable[None]]


@pytest.fixture
def hub(make_hub: MakeHub) -> Hub:
    """A hub that merges, conflates and trims nothing, so that every report is an event."""
    return make_hub(
        throttle=0, conflate_after=None, retention=None, heartbeat=1000, max_stream_age=None
    )


@pytest.fixture
def job(hub: Hub) -> Iterator[Job]:
    with hub.job("j") as job:
        yield job


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Count:
    """Note what each call of a function gives from now on: ``calls = count(owner, name)``."""

    def noting(owner: Any, name: str) -> list[Any]:
        given: list[Any] = []
        function = getattr(owner, name)

        def noted(*arguments: Any, **options: Any) -> Any:
            given.append(function(*arguments, **options))
            return given[-1]

        monkeypatch.setattr(owner, name, noted)
        return given

    return noting


@asynccontextmanager
async def opened(hub: Hub, job: Job, number: int, **options: Any) -> AsyncIterator[list[Exchange]]:
    """Open streams over ASGI, and bring them in step, which they are after an event."""
    app = app_of(hub)
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(Exchange(app, f"/{job.id}/stream", **options))
            for _ in range(number)
        ]
        await publish(job)
        yield streams


async def publish(job: Job, events: int = 1) -> None:
    """Publish, and let the loop do what it does about that at once."""
    for _ in range(events):
        job.update()
    await asyncio.sleep(0)


async def have(streams: list[Exchange], events: int) -> None:
    """Wait until each stream has had so many events since it was opened."""
    for stream in streams:
        await stream.until(lambda: len(stream.events) > events)  # noqa: B023 - called here


def written(streams: list[Exchange]) -> set[int]:
    """Return how many writes the streams have had, which is one number if all are alike."""
    return {len(stream.writes) for stream in streams}


class Observer:
    """A plugin that looks at what is published."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    @hookimpl
    def sseprog_event(self, event: Any) -> None:
        self.seen.append(event.data)


@pytest.mark.parametrize("number", [0, 1, 1000])
async def test_a_state_is_encoded_once_however_many_streams_watch(
    hub: Hub, job: Job, count: Count, number: int
) -> None:
    observer = Observer()
    hub.plugins.register(observer)
    async with opened(hub, job, number) as pushed:
        threads = [hub.stream("j") for _ in range(number)]
        coroutines = [hub.astream("j") for _ in range(number)]
        for stream, other in zip(threads, coroutines, strict=True):
            next(stream)
            await anext(other)
        encoded = count(WireState, "to_json")
        await publish(job)
        chunks = [next(stream) for stream in threads]
        chunks += [await anext(stream) for stream in coroutines]
        chunks += [stream.writes[-1] for stream in pushed]
        assert len(encoded) == 1
        assert observer.seen[-1] is encoded[0]
        assert len(chunks) == 3 * number
        assert all(chunk is chunks[0] for chunk in chunks)


def calls(act: Callable[[], object]) -> Counter[str]:
    """Count the calls of this package's functions in this thread while ``act`` is called."""
    called: Counter[str] = Counter()

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(HERE):
            called[frame.f_code.co_qualname] += 1

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return called


async def test_a_report_and_its_delivery_take_forty_calls_and_check_nothing_twice(
    hub: Hub, job: Job
) -> None:
    def report() -> None:
        job.update(50.0, stage="importing", message="chapter 3")

    async with opened(hub, job, 1) as streams:
        report()
        before = written(streams)
        called = calls(report)
        assert written(streams) == {each + 1 for each in before}, "at once, in this thread"
    assert called.total() <= 40, called
    assert called["check_text"] == 1, "a stage that stays is not looked at"
    assert called["check_percent"] == 1


async def test_a_burst_is_one_send_for_each_stream_and_the_same_bytes_for_all(
    hub: Hub, job: Job
) -> None:
    async with opened(hub, job, 1000) as streams:
        iterators = [hub.stream("j") for _ in range(10)]
        for stream in iterators:
            next(stream)
        assert written(streams) == {2}
        await publish(job, EVENTS)
        assert written(streams) == {3}
        chunks = [*(each.writes[-1] for each in streams), *(next(each) for each in iterators)]
        assert all(chunk is chunks[0] for chunk in chunks), "joined once"
        assert len(streams[0].events) == 2 + EVENTS


async def test_the_log_is_asked_once_for_all_streams_in_step_and_those_apart_fall_in(
    hub: Hub, job: Job, count: Count
) -> None:
    async with opened(hub, job, 100) as streams:
        slow = streams[0]
        asked = count(JobLog, "since")

        async def asks() -> int:
            before = len(asked)
            await publish(job)
            return len(asked) - before

        assert await asks() == 1
        slow.hold()
        assert [await asks(), await asks()] == [1, 1], "who can't be written to asks nothing"
        slow.release()
        await have([slow], 4)
        assert await asks() <= 2, "one that is apart asks for itself"
        assert await asks() == 1
        assert written(streams[1:]) == {7}
        await have(streams, 6)


@pytest.mark.parametrize("jobs", [1, 20])
async def test_a_burst_from_another_thread_crosses_into_the_loop_once(
    hub: Hub, count: Count, jobs: int
) -> None:
    async with AsyncExitStack() as stack:
        begun = [stack.enter_context(hub.job(f"j{number}")) for number in range(jobs)]
        streams = []
        for each in begun:
            streams += await stack.enter_async_context(opened(hub, each, 5))
        crossed = count(asyncio.get_running_loop(), "call_soon_threadsafe")

        def report() -> None:
            for turn in range(1000):
                begun[turn % jobs].update(message=f"{turn}")

        reporting = threading.Thread(target=report)
        reporting.start()
        reporting.join()  # in the loop's own thread, which is busy all the while
        assert len(crossed) == 1
        await have(streams, 1 + 1000 // jobs)
        assert len(crossed) == 1
        assert written(streams) == {3}


async def test_streams_cost_no_task_no_thread_and_no_timer(
    hub: Hub, job: Job, count: Count
) -> None:
    loop = asyncio.get_running_loop()
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    timers = count(loop, "call_at")
    async with opened(hub, job, 1000) as streams:
        planned = len(timers)
        for _ in range(EVENTS):
            await publish(job)
        assert written(streams) == {2 + EVENTS}
        assert asyncio.all_tasks() - tasks == {stream.task for stream in streams}
        assert set(threading.enumerate()) == threads
        assert len(timers) == planned, "events set no timers"
        ahead = [each for each in timers if not each.cancelled() and each.when() > loop.time()]
        assert len(ahead) == 1, "that of all heartbeats"


def ours(thing: object) -> str:
    """Name a kind of object that this package has made; others have no name."""
    if inspect.iscoroutine(thing):
        return thing.__qualname__ if thing.cr_code.co_filename.startswith(HERE) else ""
    kind = type(thing)
    return kind.__qualname__ if str(kind.__module__).partition(".")[0] == "sseprog" else ""


def kinds() -> Counter[str]:
    gc.collect()
    return Counter(name for thing in gc.get_objects() if (name := ours(thing)))


async def test_a_stream_costs_five_objects_and_shares_its_position(hub: Hub, job: Job) -> None:
    async def with_streams(number: int) -> Counter[str]:
        async with opened(hub, job, number):
            return kinds()

    few, many = await with_streams(100), await with_streams(1100)
    each = ["ASGIApp.__call__", "serve_stream", "AsyncStream", "PushStream", "Subscription"]
    grown = {kind: number for kind, number in (many - few).items() if number >= 100}
    assert grown == dict.fromkeys(each, 1000)


async def test_a_stream_costs_a_kilobyte_and_a_half(hub: Hub, job: Job) -> None:
    tracemalloc.start()
    try:
        async with opened(hub, job, 1000) as streams:
            for stream in streams:
                stream.messages.clear()  # which a server doesn't keep
            mine = tracemalloc.Filter(inclusive=True, filename_pattern=f"{HERE}/*")
            found = tracemalloc.take_snapshot().filter_traces([mine]).statistics("lineno")
    finally:
        tracemalloc.stop()
    assert sum(each.size for each in found) / 1000 < 1536


class Clock:
    """The pump's clock, which stands still but for what sending takes."""

    def __init__(self, send_takes: float) -> None:
        self.now = time.monotonic()
        self.send_takes = send_takes

    def around(self, send: Send) -> Send:
        async def taking_time(message: Message) -> None:
            self.now += self.send_takes
            await send(message)

        return taking_time


@pytest.fixture(params=[0.001, 1.0], ids=["quick sends", "slow sends"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(request.param)
    monkeypatch.setattr(_pump, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


async def test_what_comes_during_a_rest_is_one_send_after_it(
    hub: Hub, job: Job, clock: Clock
) -> None:
    async with opened(hub, job, EVENTS, around_send=clock.around) as streams:
        await publish(job, EVENTS)
        assert written(streams) == {3}
        await asyncio.sleep(0)  # when the rest begins
        for _ in range(EVENTS):
            await publish(job)
        assert written(streams) == {3}
        clock.now += _pump.LONGEST_REST
        await have(streams, 1 + 2 * EVENTS)
        assert written(streams) == {4}
        assert len({event.seq for event in streams[0].events}) == 1 + 2 * EVENTS + 1


async def test_one_event_at_a_time_is_never_put_off(hub: Hub, job: Job, clock: Clock) -> None:
    async with opened(hub, job, EVENTS, around_send=clock.around) as streams:
        await publish(job, EVENTS)
        await asyncio.sleep(0)
        clock.now += _pump.LONGEST_REST
        for more in range(EVENTS):
            await publish(job)
            assert written(streams) == {4 + more}
