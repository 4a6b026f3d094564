"""Threads and coroutines at once: every reader has every event, in order, once, however cut."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator

import pytest

from sseprog import Hub, JobFailed

from .asgi_exchange import Exchange, app_of
from .conftest import MakeHub
from .event_stream import EventStreamParser, Seen

EVENTS = 400
READERS = 4
SEEDS = range(10)


@pytest.fixture
def hub(make_hub: MakeHub) -> Hub:
    """A hub that merges, conflates and trims nothing, so that any gap is a defect."""
    return make_hub(throttle=0, conflate_after=None, retention=None)


class Reader:
    """What one client has seen over all its connections."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311
        self.cursor = ""
        self.seqs: list[int] = []
        self.terminal = 0

    def connection(self) -> Callable[[bytes], bool]:
        """Return what takes the chunks of a new connection, and tells whether to cut it now."""
        parser = EventStreamParser(last_event_id=self.cursor, _id=self.cursor)
        first = True
        lifetime = self.chance.randint(1, 40)

        def take(chunk: bytes) -> bool:
            nonlocal first, lifetime
            before = len(parser.events)
            parser.feed(chunk)
            for seen in parser.events[before:]:
                self.see(seen, first)
                first = False
                lifetime -= 1
            return lifetime <= 0 or self.terminal > 0

        return take

    def see(self, seen: Seen, first: bool) -> None:
        assert (seen.name == "status") is first
        if first:
            assert seen.state.get("resumed") is (True if self.cursor else None)
            if not self.cursor:
                self.seqs.append(seen.seq)
            else:
                assert seen.last_event_id == self.cursor
        else:
            self.seqs.append(seen.seq)
        self.cursor = seen.last_event_id
        self.terminal += seen.name in {"complete", "error"}

    def check(self) -> None:
        assert self.terminal == 1
        assert self.seqs == list(range(self.seqs[0], self.seqs[-1] + 1))


def read_in_a_thread(hub: Hub, reader: Reader) -> None:
    while not reader.terminal:
        take = reader.connection()
        stream = hub.stream("j", last_event_id=reader.cursor)
        for chunk in stream:
            if take(chunk):
                break
        stream.close()  # type: ignore[attr-defined]


async def read_in_a_coroutine(hub: Hub, reader: Reader) -> None:
    while not reader.terminal:
        take = reader.connection()
        stream = hub.astream("j", last_event_id=reader.cursor)
        async for chunk in stream:
            if take(chunk):
                break
        await stream.aclose()  # type: ignore[attr-defined]


async def read_by_push(hub: Hub, reader: Reader) -> None:
    app = app_of(hub)
    while not reader.terminal:
        take = reader.connection()
        headers = {"Last-Event-ID": reader.cursor} if reader.cursor else {}
        async with Exchange(app, "/j/stream", headers=headers) as exchange:
            await exchange.until(_has_enough(exchange, take))


def _has_enough(exchange: Exchange, take: Callable[[bytes], bool]) -> Callable[[], bool]:
    taken = 0
    enough = False

    def look() -> bool:
        nonlocal taken, enough
        while not enough and taken < len(exchange.writes):
            taken += 1
            enough = take(exchange.writes[taken - 1])
        return enough

    return look


def emit(hub: Hub, seed: int, begun: threading.Event) -> None:
    chance = random.Random(seed)  # noqa: S311
    try:
        with hub.job("j") as job:
            begun.wait(10)
            for number in range(EVENTS):
                job.update(number / 4, stage=chance.choice("ab"), message=f"{number}")
                if not chance.randrange(8):
                    threading.Event().wait(chance.random() / 500)
            if chance.randrange(2):
                raise JobFailed("no")
    except JobFailed:
        pass


@pytest.fixture
def threads() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_reader_misses_an_event_or_has_one_twice(
    hub: Hub, threads: list[threading.Thread], seed: int
) -> None:
    hub.create("j")
    begun = threading.Event()
    readers = [[Reader(100 * seed + 10 * kind + n) for n in range(READERS)] for kind in range(3)]
    failures: list[BaseException] = []

    def read(reader: Reader) -> None:
        try:
            read_in_a_thread(hub, reader)
        except BaseException as error:
            failures.append(error)

    threads += [threading.Thread(target=read, args=[reader]) for reader in readers[0]]
    threads.append(threading.Thread(target=emit, args=[hub, seed, begun]))
    for thread in threads:
        thread.start()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for reader in readers[1]:
            group.create_task(read_in_a_coroutine(hub, reader))
        for reader in readers[2]:
            group.create_task(read_by_push(hub, reader))
        begun.set()
    for thread in threads:
        await asyncio.to_thread(thread.join, 20)
    assert not failures
    for reader in (each for kind in readers for each in kind):
        reader.check()
    assert hub.streams == 0
    assert hub.broker._jobs["j"].wakes == ()  # type: ignore[attr-defined]
