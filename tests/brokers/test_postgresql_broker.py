"""The broker in PostgreSQL keeps the contract."""

from collections.abc import Iterator
from itertools import count

import pytest

from sseprog._settings import Settings
from sseprog.broker import Broker
from sseprog.brokers.postgresql import PostgreSQLBroker
from sseprog.testing import BrokerContract

from .postgresql_server import PostgreSQL

_tables = (f"contract{number}" for number in count())


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    yield server
    server.remove()


class TestPostgreSQLBroker(BrokerContract):
    @pytest.fixture
    def broker(self, settings: Settings, server: PostgreSQL) -> Iterator[Broker]:
        broker = PostgreSQLBroker(f"{server.url}?table={next(_tables)}", settings)
        yield broker
        broker.close()
