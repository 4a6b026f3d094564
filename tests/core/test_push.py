"""The push driver: sends that wait, fail or publish, amid ends and jobs that begin anew."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from sseprog import Hub, Progress, _subscription
from sseprog._event import Event

from .asgi_exchange import Exchange, Message, app_of, fetch
from .conftest import MakeHub

Send = Callable[[Message], Awaitable[None]]


class Server:
    """A server's ``send``, of which no two may be open at once; ``does`` is what it does first."""

    def __init__(self) -> None:
        self.does: Callable[[bytes], Awaitable[object] | None] | None = None
        self.open = self.most = 0

    def __call__(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            self.open += 1
            self.most = max(self.most, self.open)
            try:
                if self.does and (waits := self.does(message.get("body", b""))) is not None:
                    await waits
                await send(message)
            finally:
                self.open -= 1

        return sending


@pytest.fixture
def hub(make_hub: MakeHub) -> Hub:
    return hub_of(make_hub)


def hub_of(make_hub: MakeHub, **settings: Any) -> Hub:
    """Make a hub whose every report is an event, and whose streams have nothing else to do."""
    quiet = {"heartbeat": 1000, "max_stream_age": None, "conflate_after": None, "drain": 0}
    return make_hub(throttle=0, **quiet | settings)


def publish(hub: Hub, status: Any = "running") -> None:
    hub.publish(Event.of(Progress(status=status, job_id="j")), token=None)


@asynccontextmanager
async def opened(hub: Hub, number: int) -> AsyncIterator[tuple[list[Server], list[Exchange]]]:
    """Open streams of the job ``j``, and bring them in step, which they are after an event."""
    servers = [Server() for _ in range(number)]
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(Exchange(app_of(hub), "/j/stream", around_send=server))
            for server in servers
        ]
        await asyncio.sleep(0)
        publish(hub)
        await asyncio.sleep(0)
        yield servers, streams


def gapless(stream: Exchange) -> bool:
    seqs = [event.seq for event in stream.events]
    return seqs == list(range(seqs[0], seqs[0] + len(seqs)))


class Lock:
    """A lock that a thread has first, once, which does something with it."""

    def __init__(self, lock: Any, does: Callable[[], None]) -> None:
        self._lock = lock
        self._threads = [threading.Thread(target=does)]

    def __enter__(self) -> None:
        if self._threads:
            thread = self._threads.pop()
            thread.start()
            thread.join()
        self._lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(*error)


async def test_a_job_that_ends_while_a_flush_waits_for_the_lock_ends_its_streams(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create("j")
    async with opened(hub, 5) as (_, streams):
        publish(hub)  # too many streams to flush at once
        lock = Lock(hub.broker.lock, lambda: publish(hub, "completed"))
        monkeypatch.setattr(hub.broker, "lock", lock)
        for stream in streams:
            await stream.end()
            assert stream.complete
            assert stream.events[-1].name == "complete"


@pytest.mark.parametrize("number", [1, 3, 5])  # up to three are written to by the publisher
async def test_what_a_send_publishes_is_sent_after_it_and_lets_the_loop_turn(
    hub: Hub, number: int
) -> None:
    hub.create("j")
    left = 10

    def publishes(body: bytes) -> None:
        nonlocal left
        if left:
            left -= 1
            publish(hub)

    async with opened(hub, number) as (servers, streams):
        servers[0].does = publishes
        before = len(streams[-1].writes)
        publish(hub)
        for turn in range(1, 11):
            await asyncio.sleep(0)
            assert len(streams[-1].writes) <= before + 1 + turn
        await streams[-1].until(lambda: len(streams[-1].events) == 2 + 11)
        assert all(gapless(stream) for stream in streams)
        assert [server.most for server in servers] == [1] * number


@pytest.mark.parametrize("lives", [1, 4])  # in heartbeats: at 1, an end is due with the heartbeat
async def test_nothing_is_sent_while_a_heartbeat_has_to_wait(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch, lives: int
) -> None:
    unspread = SimpleNamespace(uniform=lambda low, high: 1.0)
    monkeypatch.setattr(_subscription, "random", unspread)
    hub = hub_of(make_hub, heartbeat=0.05, max_stream_age=lives * 0.05)
    hub.create("j")
    room = asyncio.Event()
    servers = [Server() for _ in range(20)]
    async with AsyncExitStack() as stack:
        streams = []
        for server in servers:
            server.does = lambda body: room.wait() if body.startswith(b":") else None
            exchange = Exchange(app_of(hub), "/j/stream", around_send=server)
            streams.append(await stack.enter_async_context(exchange))
        await fetch(app_of(hub), "/j/stream")  # which is past the others' ends
        assert {server.most for server in servers} == {1}
        publish(hub)
        await asyncio.sleep(0)
        room.set()
        for stream in streams:
            await stream.end()
        assert {server.most for server in servers} == {1}


async def test_a_stream_that_has_left_is_not_written_to_though_its_send_goes_on(hub: Hub) -> None:
    async def goes_on() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    hub.create("j")
    async with opened(hub, 2) as (servers, (left, other)):
        servers[0].does = lambda body: goes_on()
        publish(hub)
        left.leave()
        await left.end()
        await asyncio.sleep(0)  # in which the send takes no notice of being cancelled
        await asyncio.sleep(0)
        servers[0].does = None
        before = len(left.writes)
        publish(hub)
        await other.until(lambda: len(other.events) == 2 + 2)
        assert len(left.writes) == before


async def test_a_send_that_its_server_cancels_ends_the_stream(hub: Hub) -> None:
    hub.create("j")
    async with opened(hub, 1) as ([server], [stream]):
        waits = asyncio.get_running_loop().create_future()
        server.does = lambda body: waits
        publish(hub)
        await asyncio.sleep(0)
        waits.cancel()
        await stream.end()


async def test_a_drain_ends_streams_whose_job_was_begun_anew_while_a_page_opened(hub: Hub) -> None:
    hub.create("j")
    async with opened(hub, 5) as (_, streams):
        with hub.job("j"):
            pass
        page = hub.astream("j")  # gets the watch that those to come share
        with hub.job("j", resume=True) as job:
            job.update(3)
            await streams[0].until(lambda: streams[0].events[-1].state.get("progress") == 3)
            hub.drain()
            for stream in streams:
                await stream.end()
                assert stream.complete
        await page.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(1, 5))
async def test_streams_that_wait_fail_leave_and_publish_miss_nothing_and_end(
    make_hub: MakeHub, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    hub = hub_of(make_hub, heartbeat=0.02, retention=None, drain=chance.choice([0, 0.05]))
    hub.create("j")
    done: list[tuple[Server, Exchange]] = []
    cut = set()

    async def watch(number: int) -> None:
        def does(body: bytes) -> Awaitable[object] | None:
            luck = chance.random()
            if luck < 0.02:
                cut.add(stream)
                raise OSError("the client has left")
            if luck < 0.05 and not reporting.done():
                publish(hub)
            return asyncio.sleep(chance.choice([0, 0.001, 0.05])) if luck > 0.85 else None

        server = Server()
        async with Exchange(app_of(hub), "/j/stream", around_send=server) as stream:
            server.does = does
            if number % 3 == 0:
                await asyncio.wait([stream.task], timeout=chance.random() / 5)
                cut.add(stream)
                stream.leave()
            await stream.end()
        done.append((server, stream))

    def report() -> None:
        for number in range(100):
            publish(hub)
            threading.Event().wait((number * seed) % 8 / 1500)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        reporting = group.create_task(asyncio.to_thread(report))
        while not reporting.done():
            for _ in range(chance.choice([0, 0, 1, 5])):
                publish(hub)
            if chance.random() < 0.3:
                group.create_task(watch(chance.randrange(3)))
            await asyncio.sleep(chance.choice([0, 0.001, 0.004]))
        hub.drain() if seed % 2 else publish(hub, "completed")
    for server, stream in done:
        assert gapless(stream)
        assert server.most == 1
        assert stream.complete or stream in cut
    assert hub.streams == 0
