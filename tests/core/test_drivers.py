"""The three drivers give the same bytes: they carry out what one subscription decides."""

import asyncio
import random
import threading
from collections.abc import Callable

import pytest

from sseprog import Hub

from .asgi_exchange import Exchange, app_of, fetch
from .conftest import MakeHub
from .event_stream import parsed


class Readers:
    """One stream of a job by each driver."""

    def __init__(self, hub: Hub, job_id: str, query: str, **options: object) -> None:
        self._exchange = Exchange(app_of(hub), f"/{job_id}/stream", query=query)
        self.asynchronous: list[bytes] = []
        self.synchronous: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._grown = asyncio.Event()
        random.seed(7)  # the spread of retry:
        self._threads_stream = hub.stream(job_id, **options)  # type: ignore[arg-type]
        random.seed(7)
        self._coroutines_stream = hub.astream(job_id, **options)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self._read, daemon=True)

    async def __aenter__(self) -> "Readers":
        self._thread.start()
        self._task = asyncio.create_task(self._read_async())
        random.seed(7)
        await self._exchange.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exchange.end()
        await self._exchange.__aexit__(None, None, None)
        await self._task
        await asyncio.to_thread(self._thread.join, 10)

    def _read(self) -> None:
        for chunk in self._threads_stream:
            self.synchronous.append(chunk)
            self._loop.call_soon_threadsafe(self._grown.set)

    async def _read_async(self) -> None:
        async for chunk in self._coroutines_stream:
            self.asynchronous.append(chunk)
            self._grown.set()

    async def all_have(self, count: int) -> None:
        """Wait until each has so many events, so that none is conflated or merged with another."""
        async with asyncio.timeout(10):
            await self._exchange.until(lambda: len(self._exchange.events) >= count)
            while min(len(parsed(s).events) for s in (self.asynchronous, self.synchronous)) < count:
                await self._grown.wait()
                self._grown.clear()

    @property
    def streams(self) -> tuple[bytes, bytes, bytes]:
        pushed = self._exchange.body
        return pushed, b"".join(self.asynchronous), b"".join(self.synchronous)


def cut_between(job_id: str, hub: Hub) -> str:
    epoch, newest = hub.broker.newest(job_id)
    return f"{epoch}-{newest.seq - 2}"


@pytest.mark.parametrize(
    ("query", "options"),
    [
        (lambda cursor: "", lambda cursor: {}),
        (lambda cursor: "from=start", lambda cursor: {"from_start": True}),
        (lambda cursor: f"last_event_id={cursor}", lambda cursor: {"last_event_id": cursor}),
        (lambda cursor: "last_event_id=gone-3", lambda cursor: {"last_event_id": "gone-3"}),
    ],
    ids=["from now on", "from the start", "resumed", "after a gap"],
)
@pytest.mark.parametrize("ending", ["complete", "error"])
async def test_three_drivers_write_the_same_bytes(
    hub: Hub,
    query: Callable[[str], str],
    options: Callable[[str], dict[str, object]],
    ending: str,
) -> None:
    job_id = hub.create()
    job = hub.job(job_id).__enter__()
    for count in range(5):
        job.update(count, stage="before", message=f"{count} ü\n")
    cursor = cut_between(job_id, hub)
    async with Readers(hub, job_id, query(cursor), **options(cursor)) as readers:
        await readers.all_have(1)
        before = len(parsed(readers.synchronous).events)
        for count in range(5):
            job.update(50 + count, stage="after")
            await readers.all_have(before + count + 1)
        if ending == "complete":
            job.__exit__(None, None, None)
        else:
            job.__exit__(ValueError, ValueError("secret"), None)
    pushed, asynchronous, synchronous = readers.streams
    assert pushed == asynchronous == synchronous
    assert parsed([pushed]).events[-1].name == ending
    assert b"secret" not in pushed


async def test_three_drivers_send_the_same_heartbeat_and_the_same_end(make_hub: MakeHub) -> None:
    hub = make_hub(heartbeat=0.05, max_stream_age=None)
    job_id = hub.create()
    async with Readers(hub, job_id, "heartbeat=event", heartbeat_event=True) as readers:
        await readers.all_have(3)
        random.seed(7)
        hub.drain()
    for stream in readers.streams:
        seen = parsed([stream])
        assert [event.name for event in seen.events][:3] == ["status", "heartbeat", "heartbeat"]
        assert len(seen.retry) == 2


async def test_a_stream_ends_at_its_age_however_rare_its_heartbeats_are(make_hub: MakeHub) -> None:
    hub = make_hub(heartbeat=1600, max_stream_age=0.1)
    job_id = hub.create()
    async with asyncio.timeout(5), Exchange(app_of(hub), f"/{job_id}/stream") as exchange:
        await exchange.end()
    assert exchange.complete
    assert len(exchange.parsed.retry) == 2


async def test_a_mount_is_cut_off_the_path_at_a_slash_only(hub: Hub) -> None:
    hub.create("a1b2")
    app = app_of(hub)
    assert (await fetch(app, "/a1b2", root_path="/a")).status == 200
    for path, root_path in (("1b2", "/a"), ("/a1b2", "")):  # both are /a1b2 to the application
        exchange = await fetch(app, path, root_path=root_path)
        assert exchange.status == 200
        assert b'"job_id":"a1b2"' in exchange.body


@pytest.mark.parametrize("start", ["nothing", "one event"])
async def test_iterators_are_closed_while_others_wait_in_them(hub: Hub, start: str) -> None:
    job_id = hub.create()
    synchronous, asynchronous = hub.stream(job_id), hub.astream(job_id)
    reading = threading.Thread(target=lambda: list(synchronous), daemon=True)
    reading.start()

    async def read() -> None:
        async for _ in asynchronous:
            pass

    task = asyncio.create_task(read())
    if start == "one event":
        with hub.job(job_id) as job:
            job.update(1)
            synchronous.close()  # type: ignore[attr-defined]
            await asynchronous.aclose()  # type: ignore[attr-defined]
    else:
        await asyncio.sleep(0)
        synchronous.close()  # type: ignore[attr-defined]
        await asynchronous.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(task, 10)
    await asyncio.to_thread(reading.join, 10)
    assert not reading.is_alive()
    assert hub.streams == 0


@pytest.mark.parametrize("cursor", ["garbage", "e" * 10_240])
async def test_a_bad_cursor_is_refused_and_nothing_is_left_of_the_stream(
    hub: Hub, cursor: str
) -> None:
    job_id = hub.create()
    with pytest.raises(ValueError, match="last event id"):
        hub.stream(job_id, last_event_id=cursor)
    with pytest.raises(ValueError, match="last event id"):
        hub.astream(job_id, last_event_id=cursor)
    assert hub.streams == 0
    assert hub.broker._jobs[job_id].wakes == ()  # type: ignore[attr-defined]
