"""The broker in a file keeps the contract, and what is its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sseprog._settings import Settings
from sseprog.broker import Broker
from sseprog.brokers.sqlite import SQLiteBroker
from sseprog.testing import BrokerContract


class TestSQLiteBroker(BrokerContract):
    @pytest.fixture
    def broker(self, settings: Settings, tmp_path: Path) -> Iterator[Broker]:
        broker = SQLiteBroker(f"sqlite:///{tmp_path / 'jobs.db'}", settings)
        yield broker
        broker.close()
