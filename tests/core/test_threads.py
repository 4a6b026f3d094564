"""What waking the streams of threads costs, in counts, and that no stream is left to sleep."""

import gc
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sseprog import Hub, _threads
from sseprog._connection import Connection
from sseprog._streams import SyncStream

from .conftest import MakeHub

STREAMS = 20
EVENTS = 10


class Counted(threading.Event):
    """An event that is counted."""

    sets = 0
    waits: list[float | None] = []  # noqa: RUF012 - one list for all of them

    def set(self) -> None:
        Counted.sets += 1
        super().set()

    def wait(self, timeout: float | None = None) -> bool:
        Counted.waits.append(timeout)
        return super().wait(timeout)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    Counted.sets = 0
    Counted.waits = []
    monkeypatch.setattr(_threads, "threading", SimpleNamespace(Event=Counted))


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    pairs = [socket.socketpair() for _ in range(STREAMS)]
    yield pairs
    for client, server in pairs:
        client.close()
        server.close()


class Reader:
    """A thread that reads a stream to its end, and tells how far it is."""

    def __init__(self, hub: Hub, server: socket.socket | None = None, **environ: Any) -> None:
        if server is not None:
            environ["gunicorn.socket"] = server
        connection = Connection(environ)
        stream = hub.stream("j", connection=connection)
        assert isinstance(stream, SyncStream)
        self.stream = stream
        self.chunks: list[bytes] = []
        self.grown = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.has(1)

    def _read(self) -> None:
        for chunk in self.stream:
            with self.grown:
                self.chunks.append(chunk)
                self.grown.notify()

    def has(self, count: int) -> None:
        with self.grown:
            assert self.grown.wait_for(lambda: len(self.chunks) >= count, 10)

    @property
    def reading(self) -> bool:
        return self._thread.is_alive()

    def ended(self, within: float = 10) -> bool:
        self._thread.join(within)
        return not self._thread.is_alive()


def wait_until_all_wait(count: int) -> None:
    """Wait until each of ``count`` streams is at its event again."""
    end = time.monotonic() + 10
    while len(Counted.waits) < count:
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.usefixtures("counted")
def test_news_costs_one_set_and_no_timer_whatever_the_number_of_streams(
    make_hub: MakeHub, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    hub = make_hub(throttle=0, heartbeat=1000, max_stream_age=None)
    with hub.job("j") as job:
        readers = [Reader(hub, server) for _, server in pairs]
        assert len(hub.broker._jobs["j"].wakes) == 1  # type: ignore[attr-defined]
        wait_until_all_wait(STREAMS)
        before = Counted.sets
        for count in range(EVENTS):
            job.update(count)
            for reader in readers:
                reader.has(2 + count)
            wait_until_all_wait(STREAMS * (2 + count))
        # All have the same deadline but for the moments that they were opened at.
        assert Counted.sets - before <= 2 * EVENTS
        assert Counted.waits == [None] * (STREAMS * (1 + EVENTS))
    assert all(reader.ended() for reader in readers)
    assert hub.streams == 0


def test_clients_that_leave_end_their_streams_and_wake_nobody_for_long(
    make_hub: MakeHub, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    hub = make_hub()
    with hub.job("j") as job:
        readers = [Reader(hub, server) for _, server in pairs]
        for client, _ in pairs[::2]:
            client.close()
        assert all(reader.ended(5) for reader in readers[::2])
        assert hub.streams == STREAMS // 2
        job.update(50)
        for reader in readers[1::2]:
            reader.has(2)
    assert all(reader.ended() for reader in readers)


def test_a_server_that_closes_the_socket_itself_ends_the_stream(
    make_hub: MakeHub, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    hub = make_hub()
    hub.create("j")
    reader = Reader(hub, pairs[0][1])
    pairs[0][1].close()
    assert reader.ended(5)


def test_two_streams_of_one_connection_both_end_with_it(
    make_hub: MakeHub, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    hub = make_hub()
    hub.create("j")
    client, server = pairs[0]
    readers = [Reader(hub, server), Reader(hub, server)]
    client.close()
    assert all(reader.ended(5) for reader in readers)


def test_a_heartbeat_is_on_time_though_its_stream_waits_without_a_timeout(
    make_hub: MakeHub, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    hub = make_hub(heartbeat=2.2)
    hub.create("j")
    before = time.monotonic()
    reader = Reader(hub, pairs[0][1])
    reader.has(2)
    assert reader.chunks[1] == b": heartbeat\n\n"
    assert 2.2 <= time.monotonic() - before < 4
    reader.stream.close()
    assert reader.ended()


def test_a_hub_that_is_closed_ends_its_streams_over_the_drain_period(
    make_hub: MakeHub, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    hub = make_hub(drain=3.0)
    hub.create("j")
    readers = [Reader(hub, server) for _, server in pairs]
    hub.close()  # and its timer with it
    assert all(reader.ended(6) for reader in readers)


def test_a_job_of_the_same_id_is_watched_anew(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=0)
    with hub.job("j"):
        pass
    late = hub.stream("j")
    hub.create("j")
    stream = hub.stream("j")
    next(stream)
    with hub.job("j") as job:
        job.update(7)
    assert b'"progress":7' in b"".join(stream)
    assert b"event: complete" in b"".join(late)


def test_heartbeats_go_on_for_a_job_that_was_begun_anew_while_a_page_opened(
    make_hub: MakeHub, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    hub = make_hub(throttle=0, heartbeat=2.2)
    hub.create("j")
    reader = Reader(hub, pairs[0][1])
    with hub.broker.lock:  # so that the reader sees nothing of the end
        with hub.job("j"):
            pass
        page = hub.stream("j")  # gets the watch that those to come share
        job = hub.job("j", resume=True).__enter__()
        job.update(3)
    reader.has(3)
    assert reader.chunks[2] == b": heartbeat\n\n"
    page.close()  # type: ignore[attr-defined]
    job.__exit__(None, None, None)
    assert reader.ended()


def test_streams_that_were_forgotten_are_given_back_at_the_next_news(hub: Hub) -> None:
    with hub.job("j") as job:
        streams = [hub.stream("j") for _ in range(3)]
        for stream in streams:
            next(stream)
        del streams, stream
        gc.collect()
        assert hub.streams == 0
        job.update(1)
        assert hub.broker._jobs["j"].wakes == ()  # type: ignore[attr-defined]
