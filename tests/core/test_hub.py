"""A hub: making jobs, running emitters, waiting in the queue, cancelling, and closing."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from sseprog import (
    Hub,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobNotFound,
    Progress,
    TooManyJobs,
    hookimpl,
)
from sseprog.brokers.memory import MemoryBroker

from .conftest import MakeHub
from .event_stream import Seen, events, parsed


def history(hub: Hub, job_id: str) -> list[Seen]:
    """Read all events of a job, and wait for its end."""
    return events(*hub.stream(job_id, from_start=True))


class Gate:
    """An emitter that waits to be let through; ``entered`` tells how many are inside."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.closed: list[int] = []

    def __call__(self, number: int = 0) -> Iterator[Progress]:
        try:
            self.entered.release()
            while not self.open.wait(0.01):
                yield Progress(10, stage="waiting")
            yield Progress(90, stage="through")
        finally:
            self.closed.append(number)

    def wait(self) -> None:
        assert self.entered.acquire(timeout=10), "no emitter has begun"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


# Making jobs


def test_a_new_job_is_pending_under_an_id_that_nobody_guesses(hub: Hub) -> None:
    ids = {hub.create() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(job_id) >= 22 for job_id in ids)  # 128 bits, six to a character
    state = hub.snapshot(ids.pop())
    assert (state.status, state.progress, state.started_at) == ("pending", None, None)


def test_an_id_of_yours_is_taken_once_and_again_after_its_end(hub: Hub) -> None:
    assert hub.create("import-42", owner="7") == "import-42"
    with pytest.raises(ValueError, match="import-42"):
        hub.create("import-42")
    with hub.job("import-42"):
        pass
    assert hub.create("import-42") == "import-42"
    assert hub.snapshot("import-42").status == "pending"


@pytest.mark.parametrize("owner", [True, 7.5, b"7", ["7"]])
def test_an_owner_is_an_id(hub: Hub, owner: Any) -> None:
    with pytest.raises(TypeError, match="owner"):
        hub.create(owner=owner)


def test_an_owner_may_be_any_kind_of_key(hub: Hub) -> None:
    assert hub.broker.owner(hub.create(owner=7)) == "7"
    key = uuid.uuid4()
    assert hub.broker.owner(hub.create(owner=key)) == str(key)


@pytest.mark.parametrize(
    "ask",
    [
        lambda hub: hub.snapshot("unknown"),
        lambda hub: hub.cancel("unknown"),
        lambda hub: hub.stream("unknown"),
    ],
)
def test_an_unknown_job_is_not_found(hub: Hub, ask: Callable[[Hub], object]) -> None:
    with pytest.raises(JobNotFound, match="unknown"):
        ask(hub)
    assert hub.streams == 0


async def test_an_unknown_job_has_no_stream_for_coroutines(hub: Hub) -> None:
    with pytest.raises(JobNotFound):
        hub.astream("unknown")
    assert hub.streams == 0


@pytest.mark.parametrize(
    ("broker", "error"),
    [("gopher://x", "unknown broker scheme 'gopher'"), ("memory", "not a URL"), (7, "not 7")],
)
def test_a_broker_that_can_not_be_is_named(broker: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        Hub(broker)


def test_the_broker_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSEPROG_BROKER", "gopher://x")
    with pytest.raises(ValueError, match=r"gopher.*memory"):
        Hub()


# Running emitters


def three_steps(name: str = "a") -> Iterator[Progress]:
    for percent in (10, 50, 100):
        yield Progress(percent, stage=name, message=f"{percent}", details={"at": percent})


async def three_async_steps(name: str = "a") -> AsyncIterator[Progress]:
    for each in three_steps(name):
        await asyncio.sleep(0)
        yield each


@pytest.mark.parametrize("emitter", [three_steps, three_async_steps])
def test_run_drives_an_emitter_in_this_thread(hub: Hub, emitter: Callable[..., Any]) -> None:
    last = hub.run(emitter, job_id="j", name="b")
    assert (last.status, last.progress, last.stage) == ("completed", 100, "b")
    seen = history(hub, "j")
    assert [each.name for each in seen] == ["status", *["progress"] * 4, "complete"]
    assert [each.state["message"] for each in seen[2:]] == ["10", "50", "100", "100"]


@pytest.mark.parametrize("emitter", [three_steps, three_async_steps])
def test_start_drives_an_emitter_in_the_background(hub: Hub, emitter: Callable[..., Any]) -> None:
    job_id = hub.start(emitter)
    assert history(hub, job_id)[-1].name == "complete"


def test_what_an_emitter_returns_becomes_the_details_of_complete(hub: Hub) -> None:
    def emitter() -> Any:
        yield Progress(50, details={"working": True})
        return {"files": ["a.jpg"]}

    assert hub.run(emitter).details == {"files": ["a.jpg"]}


@pytest.mark.parametrize("returned", [7, "text", [1]])
def test_an_emitter_that_returns_something_else_fails(hub: Hub, returned: object) -> None:
    def emitter() -> Any:
        yield Progress(50)
        return returned

    with pytest.raises(TypeError, match="returns a mapping or None"):
        hub.run(emitter, job_id="j")
    assert history(hub, "j")[-1].state["details"]["code"] == "unexpected"


@pytest.mark.parametrize("returned", [{"a": object()}, {"a": "x" * 20_000}])
def test_a_result_that_can_not_be_shown_does_not_undo_the_work(
    hub: Hub, returned: object, caplog: pytest.LogCaptureFixture
) -> None:
    def emitter() -> Any:
        yield Progress(50, details={"at": 50})
        return returned

    state = hub.run(emitter)
    assert (state.status, state.details) == ("completed", {"at": 50})
    assert "details were left out of a job's end" in caplog.text


def raises() -> Iterator[Progress]:
    yield Progress(10)
    raise OSError("secret")


def fails() -> Iterator[Progress]:
    yield Progress(10)
    raise JobFailed("no", code="nope")


def raises_at_once() -> Iterator[Progress]:
    raise OSError("secret")
    yield


def yields_nonsense() -> Iterator[Any]:
    yield 50


def yields_nothing() -> Iterator[Progress]:
    yield from ()


def exits() -> Iterator[Progress]:
    yield Progress(1)
    sys.exit(3)


@pytest.mark.parametrize(
    ("emitter", "status", "code"),
    [
        (raises, "failed", "unexpected"),
        (fails, "failed", "nope"),
        (raises_at_once, "failed", "unexpected"),
        (yields_nonsense, "failed", "unexpected"),
        (yields_nothing, "completed", None),
        (exits, "failed", "interrupted"),
    ],
)
def test_whatever_an_emitter_does_its_job_ends_once(
    make_hub: MakeHub, emitter: Callable[..., Any], status: str, code: str | None
) -> None:
    hub = make_hub(throttle=0, workers=1)
    first = hub.start(emitter)
    second = hub.start(three_steps)  # in the same thread, which must have survived
    seen = history(hub, first)
    assert [each.name for each in seen[1:] if each.name != "progress"] == [
        "complete" if status == "completed" else "error"
    ]
    assert seen[-1].state["status"] == status
    assert seen[-1].state["details"].get("code") == code
    assert "secret" not in seen[-1].data
    assert history(hub, second)[-1].name == "complete"


def test_run_raises_what_the_emitter_raises(hub: Hub) -> None:
    with pytest.raises(OSError, match="secret"):
        hub.run(raises, job_id="j")
    assert hub.snapshot("j").status == "failed"


@pytest.mark.parametrize(
    ("emitter", "options", "error"),
    [
        (three_steps, {"nmae": 1}, "nmae"),
        ("unknown", {}, "unknown emitter 'unknown'; known are ffmpeg"),
        (lambda: 7, {}, "does it yield"),
        (lambda: [Progress(1)], {}, "does it yield"),
    ],
)
@pytest.mark.parametrize("how", ["start", "run"])
def test_a_call_that_can_not_work_makes_no_job(
    hub: Hub, how: str, emitter: Any, options: dict[str, Any], error: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        getattr(hub, how)(emitter, job_id="j", **options)
    with pytest.raises(JobNotFound):
        hub.snapshot("j")


def test_a_plain_iterator_is_an_emitter_too(hub: Hub) -> None:
    assert hub.run(lambda: iter([Progress(5)])).status == "completed"


@pytest.mark.parametrize("how", ["start", "run"])
def test_a_job_that_has_ended_is_not_started_again(hub: Hub, how: str) -> None:
    hub.run(three_steps, job_id="j")
    before = hub.broker.newest("j")
    with pytest.raises(JobEnded, match="create it again"):
        getattr(hub, how)(three_steps, job_id="j")
    assert hub.broker.newest("j") == before


def test_start_uses_a_job_that_was_made_for_it(hub: Hub) -> None:
    job_id = hub.create(owner="7")
    assert hub.start(three_steps, job_id=job_id) == job_id
    assert history(hub, job_id)[-1].name == "complete"
    assert hub.broker.owner(job_id) == "7"


# The queue


def test_as_many_as_there_are_workers_run_and_the_others_know_their_place(
    make_hub: MakeHub, gate: Gate
) -> None:
    hub = make_hub(workers=2, throttle=0)
    running = [hub.start(gate), hub.start(gate)]
    for _ in running:
        gate.wait()
    waiting = [hub.start(gate) for _ in range(3)]
    assert [hub.snapshot(job_id).status for job_id in running] == ["running"] * 2
    for place, job_id in enumerate(waiting, start=1):
        state = hub.snapshot(job_id)
        assert (state.status, state.details) == ("pending", {"queue_position": place})
        assert state.message == f"Waiting: number {place} in the queue"
    watched = hub.stream(waiting[2])
    assert events(next(watched))[0].state["details"] == {"queue_position": 3}
    hub.cancel(waiting[0])
    assert hub.snapshot(waiting[0]).status == "cancelled"
    assert events(next(watched))[0].state["details"] == {"queue_position": 2}
    assert hub.snapshot(waiting[1]).details == {"queue_position": 1}
    gate.open.set()
    for job_id in (*running, *waiting[1:]):
        last = history(hub, job_id)[-1]
        assert last.name == "complete"
        assert "queue_position" not in last.state["details"]
    assert history(hub, waiting[0])[-1].state["details"] == {"code": "cancelled"}
    assert len(gate.closed) == 4


def test_threads_end_when_there_is_nothing_to_do(make_hub: MakeHub) -> None:
    hub = make_hub(workers=3)
    for job_id in [hub.start(three_steps) for _ in range(9)]:
        history(hub, job_id)
    for thread in threading.enumerate():
        if thread.name == "sseprog-worker":
            thread.join(10)
            assert not thread.is_alive()


# Cancelling


def test_cancelling_twice_leaves_the_clean_up_in_peace(hub: Hub) -> None:
    waiting, cleaning, cleaned = (threading.Event() for _ in range(3))

    async def emitter() -> AsyncIterator[Progress]:
        yield Progress(10)
        try:
            waiting.set()
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.sleep(0.05)
            cleaned.set()

    job_id = hub.start(emitter)
    assert waiting.wait(10)
    hub.cancel(job_id)
    assert cleaning.wait(10)
    hub.cancel(job_id)
    hub.close()
    assert cleaned.is_set()
    assert hub.snapshot(job_id).status == "cancelled"


def test_a_long_queue_costs_no_more_for_each_job_that_joins(make_hub: MakeHub, gate: Gate) -> None:
    hub = make_hub(workers=1, throttle=3600)
    published = 0

    class Counts:
        @hookimpl
        def sseprog_event(self, event: Any) -> None:
            nonlocal published
            published += event.progress.status == "pending"

    hub.plugins.register(Counts())
    hub.start(gate)
    gate.wait()
    before = published
    for _ in range(500):
        hub.start(gate)
    assert published - before == 1000, "made, and told its place"


def test_an_iterator_of_neither_kind_of_generator_is_an_emitter_too(hub: Hub) -> None:
    class Once:
        def __init__(self) -> None:
            self.left = [Progress(5)]

        def __aiter__(self) -> "Once":
            return self

        async def __anext__(self) -> Progress:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    assert hub.run(Once).status == "completed"  # type: ignore[arg-type]


def test_a_running_emitter_is_closed(hub: Hub, gate: Gate) -> None:
    job_id = hub.start(gate, number=7)
    gate.wait()
    hub.cancel(job_id)
    last = history(hub, job_id)[-1].state
    assert (last["status"], last["message"]) == ("cancelled", "The job was cancelled.")
    assert gate.closed == [7]


def test_an_async_emitter_is_woken_where_it_waits(hub: Hub) -> None:
    waiting, cleaned = threading.Event(), threading.Event()

    async def emitter() -> AsyncIterator[Progress]:
        yield Progress(10)
        try:
            waiting.set()
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    job_id = hub.start(emitter)
    assert waiting.wait(10)
    hub.cancel(job_id)
    assert history(hub, job_id)[-1].state["status"] == "cancelled"
    assert cleaned.is_set()


def test_an_emitter_that_fails_while_it_is_closed_is_cancelled_all_the_same(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()

    def emitter() -> Iterator[Progress]:
        try:
            while True:
                begun.set()
                yield Progress(1)
        finally:
            raise OSError("while closing")

    job_id = hub.start(emitter)
    assert begun.wait(10)
    hub.cancel(job_id)
    assert history(hub, job_id)[-1].state["status"] == "cancelled"
    assert "while closing" in caplog.text


def test_run_raises_that_the_job_was_cancelled(hub: Hub) -> None:
    def emitter() -> Iterator[Progress]:
        hub.cancel("j")
        yield Progress(1)

    with pytest.raises(JobCancelled):
        hub.run(emitter, job_id="j")
    assert hub.snapshot("j").status == "cancelled"


# Limits


def test_jobs_that_run_are_never_forgotten_for_new_ones(make_hub: MakeHub) -> None:
    hub = make_hub(max_jobs=3)
    ids = [hub.create() for _ in range(3)]
    with pytest.raises(TooManyJobs, match="max_jobs=3"):
        hub.create()
    with hub.job(ids[0]):
        pass
    hub.create()
    with pytest.raises(JobNotFound):
        hub.snapshot(ids[0])


def test_ten_thousand_jobs_are_the_default_limit(make_hub: MakeHub) -> None:
    hub = make_hub()
    for _ in range(10_000):
        hub.create()
    with pytest.raises(TooManyJobs):
        hub.create()


def test_a_stream_too_many_is_told_to_come_back_later(make_hub: MakeHub) -> None:
    hub = make_hub(max_streams=2)
    job_id = hub.create()
    streams = [hub.stream(job_id), hub.stream(job_id)]
    refused = parsed(hub.stream(job_id))
    assert (refused.events, refused.comments, len(refused.retry)) == ([], [" busy"], 1)
    streams[0].close()  # type: ignore[attr-defined]
    assert events(next(hub.stream(job_id)))[0].name == "status"


async def test_a_stream_too_many_is_refused_to_coroutines_too(make_hub: MakeHub) -> None:
    hub = make_hub(max_streams=1)
    job_id = hub.create()
    first = hub.astream(job_id)
    assert parsed([chunk async for chunk in hub.astream(job_id)]).comments == [" busy"]
    await first.aclose()  # type: ignore[attr-defined]


def test_no_more_streams_than_allowed_however_many_threads_ask(make_hub: MakeHub) -> None:
    hub = make_hub(max_streams=5)
    job_id = hub.create()
    opened: list[Iterator[bytes]] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        opened.extend(hub.stream(job_id) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.streams == 5


def test_a_stream_that_is_forgotten_gives_its_place_back(make_hub: MakeHub) -> None:
    hub = make_hub(max_streams=1)
    job_id = hub.create()
    for _ in range(10):
        assert events(next(hub.stream(job_id)))[0].name == "status"
    assert hub.streams == 0


def test_a_misspelt_option_of_a_stream_is_named(hub: Hub) -> None:
    with pytest.raises(TypeError, match=r"'last_eventid'.*last_event_id"):
        hub.stream(hub.create(), last_eventid="e-1")  # type: ignore[call-arg]


def test_streams_that_the_garbage_collector_ends_harm_no_other(hub: Hub) -> None:
    """Its finalisers run amid any statement: here in those that set an event, or take a lock."""
    job_id = hub.create()
    kept = [hub.stream(job_id) for _ in range(3)]
    for stream in kept:
        next(stream)
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        with hub.job(job_id) as job:
            for n in range(30):
                forgotten = [hub.stream(job_id)]
                next(forgotten[0])
                forgotten.append(forgotten)  # only the collector can end this one
                del forgotten
                job.update(n)
    finally:
        gc.set_threshold(*threshold)
    assert all(events(*stream)[-1].name == "complete" for stream in kept)
    gc.collect()
    assert hub.streams == 0


async def test_a_stream_that_was_forgotten_does_not_take_the_watch_of_a_new_one(hub: Hub) -> None:
    job_id = hub.create()
    forgotten = hub.astream(job_id)
    await anext(forgotten)
    stream = hub.astream(job_id)
    del forgotten
    await anext(stream)
    with hub.job(job_id):
        assert events(await anext(stream))[0].state["status"] == "running"
    assert events(*[chunk async for chunk in stream])[-1].name == "complete"


# Draining and closing


def test_draining_ends_the_streams_refuses_new_ones_and_leaves_the_jobs_alone(hub: Hub) -> None:
    with hub.job("j") as job:
        stream = hub.stream("j")
        cursor = events(next(stream))[0].last_event_id
        hub.drain()
        rest = parsed(stream)
        assert len(rest.retry) == 1
        assert 1000 <= rest.retry[0] <= 5000
        assert rest.events == []
        assert parsed(hub.stream("j", last_event_id=cursor)).comments == [" busy"]
        job.update(50)
    assert hub.snapshot("j").status == "completed"


def test_a_drain_period_spreads_the_ends_evenly(make_hub: MakeHub) -> None:
    hub = make_hub(drain=100.0, heartbeat=None, max_stream_age=None)
    job_id = hub.create()
    streams = [hub.stream(job_id) for _ in range(400)]
    for stream in streams:
        next(stream)
    begun = time.monotonic()
    hub.drain()
    ends = [stream.subscription.deadline - begun for stream in streams]  # type: ignore[attr-defined]
    assert 40 < sum(min(end, 100) for end in ends) / 400 < 60


def test_closing_interrupts_what_runs_and_what_waits(make_hub: MakeHub, gate: Gate) -> None:
    hub = make_hub(workers=1, throttle=0)
    running, waiting = hub.start(gate, number=1), hub.start(gate, number=2)
    gate.wait()
    hub.close()
    for job_id in (running, waiting):
        state = hub.snapshot(job_id)
        assert state.status == "failed"
        assert state.details["code"] == "interrupted"
        assert state.message == "The job was interrupted: its process was stopped."
    assert gate.closed == [1]
    with pytest.raises(RuntimeError, match="closed"):
        hub.start(gate)
    hub.close()


def test_a_job_that_begins_while_the_hub_closes_is_interrupted_too(make_hub: MakeHub) -> None:
    hub = make_hub()
    hub.create("j")
    hub.close()
    with pytest.raises(JobCancelled), hub.job("j") as job:
        job.update(1)
    assert hub.snapshot("j").details["code"] == "interrupted"


def test_a_closed_hub_makes_no_job_that_nobody_would_run(make_hub: MakeHub) -> None:
    hub = make_hub()
    hub.close()
    with pytest.raises(RuntimeError, match="closed"):
        hub.start(three_steps, job_id="orphan")
    with pytest.raises(JobNotFound):
        hub.snapshot("orphan")


def test_a_failure_while_the_hub_closes_is_a_failure_and_logged(
    make_hub: MakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub = make_hub()
    with pytest.raises(RuntimeError), hub.job("j"):
        hub.close()
        raise RuntimeError("disk is gone")
    assert hub.snapshot("j").details["code"] == "unexpected"
    assert "disk is gone" in caplog.text


def test_hubs_that_are_gone_leave_no_thread(make_hub: MakeHub) -> None:
    for _ in range(5):
        with Hub().job("j") as job:
            job.update(1)
            job.update(2)  # is due, so a thread waits
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "sseprog-timer":
            thread.join(20)
            assert not thread.is_alive()


def test_a_hub_goes_on_in_a_forked_child(tmp_path: Any) -> None:
    program = """
import os, sys
from sseprog import Hub, Progress

def emitter():
    yield Progress(50)

hub = Hub(workers=1)
with hub.job("before") as job:
    job.update(1)
    job.update(2)
for chunk in hub.stream(hub.start(emitter)):
    pass
if os.fork() == 0:
    stream = hub.stream(hub.create("after"))
    next(stream)
    with hub.job("after") as job:
        next(stream)
        job.update(1)
        next(stream)  # comes by the timer's thread
    for chunk in hub.stream(hub.start(emitter)):
        pass
    print("child is done", flush=True)
    os._exit(0)
os.wait()
"""
    options = ["-W", "ignore::DeprecationWarning"]  # that forking with threads may deadlock
    done = subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, timeout=30, check=True
    )
    assert done.stdout == b"child is done\n"


def test_closing_waits_no_longer_than_it_is_told(make_hub: MakeHub) -> None:
    hub = make_hub(workers=1)
    release, stuck = threading.Event(), threading.Event()

    def emitter() -> Iterator[Progress]:
        stuck.set()
        release.wait(30)
        yield Progress(1)

    job_id = hub.start(emitter)
    assert stuck.wait(10)
    hub.close(0.05)
    assert hub.snapshot(job_id).status == "running"
    release.set()
    for thread in threading.enumerate():
        if thread.name == "sseprog-worker":
            thread.join(10)
    assert hub.snapshot(job_id).details["code"] == "interrupted"


def test_a_program_that_ends_interrupts_its_jobs_and_ends(tmp_path: Any) -> None:
    program = """
import threading
from sseprog import Hub, Progress, hookimpl

begun = threading.Event()

def emitter():
    try:
        while True:
            begun.set()
            yield Progress(1)
            threading.Event().wait(0.01)
    finally:
        print("cleaned up", flush=True)

class Prints:
    @hookimpl
    def sseprog_event(self, event):
        if event.progress.ended:
            print(event.name, event.progress.details["code"], flush=True)

hub = Hub()
hub.plugins.register(Prints())
hub.start(emitter)
begun.wait(10)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split("\n")[:2] == ["cleaned up", "error interrupted"]


# What it costs


def rss() -> int:
    """Return the resident memory of this process, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_is_bounded_by_the_settings_and_not_by_what_happens(make_hub: MakeHub) -> None:
    hub = make_hub(max_jobs=50, retention=20, throttle=0)
    assert isinstance(hub.broker, MemoryBroker)

    def go_on(jobs: int) -> None:
        for _ in range(jobs):
            job_id = hub.create()
            lagging = hub.stream(job_id)
            next(lagging)
            with hub.job(job_id) as job:
                for n in range(40):
                    job.update(message=f"{n} " + 2000 * "x")

    go_on(100)  # all that is kept is full now: 50 jobs of 20 events of 2 kB
    before = rss()
    go_on(1000)
    assert rss() - before < 10_000_000, "80 MB of events have gone through"
    assert len(hub.broker._jobs) == 50
    assert hub.streams == 0


def test_ended_jobs_shrink_and_are_forgotten_in_time(make_hub: MakeHub) -> None:
    hub = make_hub(ttl=0.05)
    job_id = hub.start(three_steps)
    history(hub, job_id)
    pause = threading.Event()
    for _ in range(200):
        try:
            hub.snapshot(job_id)
        except JobNotFound:
            return
        pause.wait(0.05)
    pytest.fail("the job is still there")


def test_an_observer_that_fails_is_logged_and_stops_nothing(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        @hookimpl
        def sseprog_event(self) -> None:
            raise OSError("no disk")

    hub.plugins.register(Failing(), "the failing one")
    assert hub.run(three_steps).status == "completed"
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 6
    assert all("the failing one" in each.getMessage() for each in warnings)
