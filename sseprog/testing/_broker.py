"""The suite that every broker passes, for whoever writes one. It needs pytest."""

from collections.abc import Iterator

import pytest

from .._settings import Settings
from ..broker import Broker
from ..shared import SharedBroker
from ._broker_holding import HoldingContract
from ._broker_jobs import JobsContract
from ._broker_logs import LogsContract
from ._broker_stores import StoresContract
from ._watcher import event_of

__all__ = ["BrokerContract", "event_of"]


class BrokerContract(JobsContract, LogsContract, HoldingContract, StoresContract):
    """What a broker must hold, test by test; `Broker` says it in words.

    Inherit, and say how to make a broker::

        class TestMyBroker(BrokerContract):
            @pytest.fixture
            def broker(self, settings: Settings) -> Iterator[Broker]:
                broker = MyBroker("mine://localhost", settings)
                yield broker
                broker.close()

    ``broker`` must start without jobs. ``settings`` is the contract's: some tests need their own.
    ``another`` is a broker as another process has it, on the same jobs; of a `SharedBroker` it is
    made from the same URL, and one that isn't shared is its own.
    """

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings()

    @pytest.fixture
    def another(self, broker: Broker, settings: Settings) -> Iterator[Broker]:
        if not isinstance(broker, SharedBroker):
            assert not broker.shared, "override `another`: a broker on the same jobs"  # noqa: S101
            yield broker
            return
        another = type(broker)(broker.url, settings)
        yield another
        another.close()
