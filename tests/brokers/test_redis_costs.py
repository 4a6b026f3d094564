"""What events cost a Redis, in commands, which a busy machine doesn't change."""

from collections.abc import Iterator

import pytest

from sseprog import Hub

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
