"""Many jobs on one stream: protocol.md, section 7, by all three drivers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from sseprog import Hub, JobNotFound
from sseprog._http import MOST_JOBS

from .asgi_exchange import Exchange, app_of, fetch
from .conftest import MakeHub
from .event_stream import Seen, events, parsed

Take = Callable[[Hub, list[str]], "AsyncIterator[bytes]"]


async def by_asgi(hub: Hub, jobs: list[str]) -> AsyncIterator[bytes]:
    query = "&".join(f"job={job_id}" for job_id in jobs)
    exchange = await Exchange(app_of(hub), "/stream", query=query).__aenter__()
    taken: list[bytes] = []
    more = True
    while more:
        await exchange.until(lambda: len(exchange.writes) > len(taken))
        chunk = exchange.writes[len(taken)]
        taken.append(chunk)
        yield chunk
        more = exchange.messages[len(taken)]["more_body"]
    await exchange.end()
    await exchange.__aexit__(None, None, None)


async def by_coroutine(hub: Hub, jobs: list[str]) -> AsyncIterator[bytes]:
    async for chunk in hub.astream(jobs):
        yield chunk


async def by_thread(hub: Hub, jobs: list[str]) -> AsyncIterator[bytes]:
    stream = iter(hub.stream(jobs))
    while True:
        chunk = await asyncio.to_thread(next, stream, None)
        if chunk is None:
            break
        yield chunk


drivers = pytest.mark.parametrize("take", [by_asgi, by_coroutine, by_thread])


class Reader:
    """What a stream has given so far, by job."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self.raw = b""

    async def until(self, *wanted: tuple[str, str, object]) -> None:
        async with asyncio.timeout(10):
            while not set(wanted) <= {line(event) for event in events(self.raw)}:
                self.raw += await anext(self._stream)

    async def rest(self) -> None:
        async with asyncio.timeout(10):
            async for chunk in self._stream:
                self.raw += chunk

    def of(self, job_id: str) -> list[tuple[str, object]]:
        seen = [event for event in events(self.raw) if event.state.get("job_id") == job_id]
        return [(event.name, event.state["progress"]) for event in seen]


def line(event: Seen) -> tuple[str, str, object]:
    return event.name, event.state.get("job_id", ""), event.state.get("progress")


@drivers
async def test_each_jobs_state_comes_first_then_their_events_until_all_have_ended(
    hub: Hub, take: Take
) -> None:
    one, two, pending = (hub.create(name) for name in ("one", "two", "pending"))
    first, second = hub.job(one).__enter__(), hub.job(two).__enter__()
    first.update(10)
    reader = Reader(take(hub, [one, two, pending]))
    await reader.until(("status", "pending", None))
    assert [line(event)[:2] for event in events(reader.raw)] == [
        ("status", "one"),
        ("status", "two"),
        ("status", "pending"),
    ]
    for percent in (20, 30):
        first.update(percent)
        second.update(percent + 1)
        await reader.until(("progress", "one", percent), ("progress", "two", percent + 1))
    first.__exit__(None, None, None)
    await reader.until(("complete", "one", 100))
    hub.cancel(pending)
    second.update(50)
    await reader.until(("progress", "two", 50))
    second.__exit__(ValueError, ValueError(), None)
    await reader.rest()
    assert reader.of(one) == [
        ("status", 10), ("progress", 20), ("progress", 30), ("complete", 100),
    ]  # fmt: skip
    assert reader.of(two) == [
        ("status", None), ("progress", 21), ("progress", 31), ("progress", 50), ("error", 50),
    ]  # fmt: skip
    assert reader.of(pending) == [("status", None), ("error", None)]
    assert b"id:" not in reader.raw
    assert len(parsed([reader.raw]).retry) == 1
    assert hub.streams == 0


@drivers
async def test_jobs_that_have_ended_are_told_and_the_stream_ends(hub: Hub, take: Take) -> None:
    jobs = [hub.create() for _ in range(3)]
    for job_id in jobs:
        hub.cancel(job_id)
    reader = Reader(take(hub, jobs))
    await reader.rest()
    assert [event.name for event in events(reader.raw)] == 3 * ["status", "error"]


@drivers
async def test_one_job_is_a_list_as_well(hub: Hub, take: Take) -> None:
    job_id = hub.create()
    reader = Reader(take(hub, [job_id, job_id]))
    await reader.until(("status", job_id, None))
    with hub.job(job_id) as job:
        job.update(5)
    await reader.rest()
    assert reader.of(job_id) == [
        ("status", None), ("progress", None), ("progress", 5), ("complete", 100),
    ]  # fmt: skip
    assert b"id:" not in reader.raw


@drivers
async def test_a_job_that_begins_anew_goes_on(hub: Hub, take: Take) -> None:
    one, two = hub.create("one"), hub.create("two")
    reader = Reader(take(hub, [one, two]))
    await reader.until(("status", two, None))
    with hub.job(one, resume=True) as job:
        job.update(70)
        await reader.until(("progress", one, 70))
        job.postpone()
    with hub.job(one, resume=True) as job:
        job.update(30)
    hub.cancel(two)
    await reader.rest()
    assert reader.of(one)[-1] == ("complete", 100)
    assert reader.of(two)[-1][0] == "error"


async def test_a_quiet_stream_has_one_heartbeat_for_all_its_jobs(make_hub: MakeHub) -> None:
    hub = make_hub(heartbeat=0.1, max_stream_age=0.45)
    jobs = [hub.create() for _ in range(5)]
    for stream in (by_asgi, by_coroutine, by_thread):
        reader = Reader(stream(hub, jobs))
        await reader.rest()
        seen = parsed([reader.raw])
        assert [event.name for event in seen.events] == 5 * ["status"]
        assert 2 <= len(seen.comments) <= 4
        assert len(seen.retry) == 2


@drivers
async def test_a_stream_that_is_drained_says_when_to_come_back(hub: Hub, take: Take) -> None:
    jobs = [hub.create() for _ in range(3)]
    reader = Reader(take(hub, jobs))
    await reader.until(("status", jobs[2], None))
    hub.drain()
    await reader.rest()
    seen = parsed([reader.raw])
    assert [event.name for event in seen.events] == 3 * ["status"]
    assert len(seen.retry) == 2
    assert 1000 <= seen.retry[1] <= 5000
    assert hub.streams == 0


async def test_a_client_that_reads_nothing_gets_it_all_later(hub: Hub) -> None:
    jobs = [hub.create(name) for name in ("one", "two")]
    held = [hub.job(job_id).__enter__() for job_id in jobs]
    query = "job=one&job=two"
    async with Exchange(app_of(hub), "/stream", query=query) as exchange:
        exchange.hold()
        for percent in range(1, 9):
            for job in held:
                job.update(percent)
            await asyncio.sleep(0)
        exchange.release()
        for job in held:
            job.__exit__(None, None, None)
        await exchange.end()
    for job_id in jobs:
        seen = [event for event in exchange.events if event.state["job_id"] == job_id]
        assert [event.state["progress"] for event in seen] == [None, *range(1, 9), 100]


async def test_nothing_is_left_where_one_of_the_jobs_is_unknown(hub: Hub) -> None:
    job_id = hub.create()
    with pytest.raises(JobNotFound):
        hub.stream([job_id, "unknown"])
    with pytest.raises(JobNotFound):
        hub.astream([job_id, "unknown"])
    assert hub.streams == 0
    assert hub.broker._jobs[job_id].wakes == ()  # type: ignore[attr-defined]


async def test_streams_of_the_same_jobs_share_a_watch_and_give_it_back(hub: Hub) -> None:
    jobs = [hub.create() for _ in range(3)]
    wakes = lambda: [len(hub.broker._jobs[job_id].wakes) for job_id in jobs]  # type: ignore[attr-defined] # noqa: E731
    streams = [hub.astream(jobs) for _ in range(4)]
    threads = [hub.stream(jobs) for _ in range(4)]
    assert wakes() == [2, 2, 2]
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]
    for thread in threads:
        thread.close()  # type: ignore[attr-defined]
    assert wakes() == [0, 0, 0]


async def test_many_publishers_at_once_lose_nothing(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=0, conflate_after=None)
    jobs = [hub.create(f"job-{n}") for n in range(8)]

    def work(job_id: str) -> None:
        with hub.job(job_id) as job:
            for percent in range(100):
                job.update(percent)

    readers = [Reader(take(hub, jobs)) for take in (by_asgi, by_coroutine, by_thread)]
    for reader in readers:
        await reader.until(("status", jobs[-1], None))
    threads = [threading.Thread(target=work, args=[job_id]) for job_id in jobs]
    for thread in threads:
        thread.start()
    for reader in readers:
        await reader.rest()
        for job_id in jobs:
            assert [progress for _, progress in reader.of(job_id)] == [None, None, *range(101)]
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize(
    ("jobs", "options", "text"),
    [
        ([], {}, "one job or more"),
        (["a"], {"last_event_id": "e-1"}, "begins with their newest states"),
        (["a"], {"from_start": True}, "begins with their newest states"),
    ],
)
def test_what_can_not_be_asked_for_is_refused(
    hub: Hub, jobs: Iterable[str], options: dict[str, object], text: str
) -> None:
    hub.create("a")
    with pytest.raises(ValueError, match=text):
        hub.stream(list(jobs), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("job=a&job=b", 200),
        ("job=a", 200),
        ("job=a&job=a&heartbeat=event", 200),
        ("&".join(["job=a", *(f"job=j{n}" for n in range(MOST_JOBS - 1))]), 200),
        ("&".join(["job=a", *(f"job=j{n}" for n in range(MOST_JOBS))]), 400),
        ("", 400),
        ("job=", 400),
        ("jobs=a", 400),
        ("job=a&job=%00", 400),
        ("job=stream", 400),
        ("job=a&from=start", 400),
        ("job=a&last_event_id=e-1", 400),
        ("job=a&heartbeat=loud", 400),
        ("job=a&job=unknown", 404),
    ],
)
async def test_a_request_for_many_jobs(hub: Hub, query: str, status: int) -> None:
    for name in ("a", "b", *(f"j{n}" for n in range(MOST_JOBS))):
        hub.create(name)
    answer = await fetch(app_of(hub), "/stream", query=query, method="HEAD")
    assert answer.status == status


async def test_only_get_and_head_are_for_streams(hub: Hub) -> None:
    answer = await fetch(app_of(hub), "/stream", query="job=a", method="POST")
    assert answer.status == 405


async def test_a_cursor_in_a_header_means_nothing(hub: Hub) -> None:
    job_id = hub.create()
    hub.cancel(job_id)
    epoch, newest = hub.broker.newest(job_id)
    for cursor in (f"{epoch}-{newest.seq}", "garbage"):
        headers = {"Last-Event-ID": cursor}
        answer = await fetch(app_of(hub), "/stream", query=f"job={job_id}", headers=headers)
        assert answer.status == 200
        assert [event.name for event in answer.events] == ["status", "error"]
