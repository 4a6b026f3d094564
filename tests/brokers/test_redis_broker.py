"""The broker in Redis keeps the contract, by itself and in a cluster."""

from collections.abc import Iterator

import pytest

from sseprog._settings import Settings
from sseprog.broker import Broker
from sseprog.brokers.redis import RedisBroker
from sseprog.testing import BrokerContract

from .redis_server import RedisServer, cluster, server


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


class TestRedisBroker(BrokerContract):
    @pytest.fixture
    def broker(self, settings: Settings, alone: RedisServer) -> Iterator[Broker]:
        with alone.client() as client:
            client.flushall()
        broker = RedisBroker(alone.url, settings)
        yield broker
        broker.close()


class TestRedisBrokerInACluster(BrokerContract):
    @pytest.fixture
    def broker(self, settings: Settings, nodes: list[RedisServer]) -> Iterator[Broker]:
        for node in nodes:
            with node.client() as client:
                client.flushall()
        places = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        broker = RedisBroker(f"redis+cluster://{places}", settings)
        yield broker
        broker.close()
