"""What events and streams cost, in commands and jobs, which a busy machine doesn't change."""

from collections.abc import Iterator
from typing import Any

import pytest

from sseprog import Hub
from sseprog._settings import Settings
from sseprog.brokers.redis import RedisBroker, RedisStore

from .redis_server import RedisServer, server

EVENTS = 50


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def hubs(redis_server: RedisServer) -> Iterator[tuple[Hub, Hub]]:
    """A hub that reports and one that streams, in which nothing is done because time passes."""
    made = [Hub(redis_server.url, throttle=0, heartbeat=None, lease=None) for _ in range(2)]
    yield made[0], made[1]
    for hub in made:
        hub.close()


@pytest.mark.parametrize("subscribers", [0, 1, 100])
def test_an_event_costs_one_command_however_many_streams_watch(
    redis_server: RedisServer, hubs: tuple[Hub, Hub], subscribers: int
) -> None:
    reporting, streaming = hubs
    with redis_server.client() as client, reporting.job(reporting.create()) as job:
        assert reporting.broker.flush(job.id, 10)
        streams = [streaming.stream(job.id) for _ in range(subscribers)]
        for stream in streams:
            next(stream)
        client.config_resetstat()
        for _ in range(EVENTS):
            job.update()
            assert reporting.broker.flush(job.id, 10)  # lest it share a command with the next
            for stream in streams:
                next(stream)
        commands = client.info("commandstats")
    # What is rarer than events comes of the hubs' beginnings.
    costs = {name[8:]: each["calls"] // EVENTS for name, each in commands.items()}
    inside = {"time": 1, "hmget": 1, "hset": 1, "xadd": 1, "pexpireat": 2, "spublish": 1}
    assert {name: calls for name, calls in costs.items() if calls} == {"evalsha": 1, **inside}


class _Counting:
    """A listener, and how many jobs it has handed over."""

    def __init__(self, listener: Any) -> None:
        self._listener = listener
        self.handed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def changes(self) -> Any:
        changes = self._listener.changes()
        self.handed += sum(map(len, changes))
        return changes


class _CountingStore(RedisStore):
    def listen(self, listener: Any) -> None:
        self.counting = _Counting(listener)
        super().listen(self.counting)


class _CountingBroker(RedisBroker):
    store_type = _CountingStore


def test_one_more_stream_looks_at_its_own_job_however_many_are_watched(
    redis_server: RedisServer, hubs: tuple[Hub, Hub]
) -> None:
    reporting, _ = hubs
    broker = _CountingBroker(redis_server.url, Settings(lease=None))
    streaming = Hub(broker)
    ids = [reporting.create() for _ in range(300)]
    streams = [streaming.stream(job_id) for job_id in ids]
    for stream in streams:
        next(stream)
    counting = broker._store.counting
    assert counting.handed == 300
    for number in range(1, 11):
        stream = streaming.stream(reporting.create())
        next(stream)
        streams.append(stream)
        assert counting.handed == 300 + number
    with streaming.job(ids[0]):  # whose stop is listened for, until it ends
        assert broker.flush(ids[0], 10)
        assert counting.handed <= 311
    streaming.close()
