"""The suites that every broker and every adapter passes, for whoever writes one.

`BrokerContract` and `AdapterContract` are to be inherited; they need pytest. What an application
under test calls, `authorize_under_test` and `remote_control`, needs nothing.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Final

from ._control import authorize_under_test, remote_control

if TYPE_CHECKING:
    from ._adapter import AdapterContract
    from ._broker import BrokerContract, event_of

__all__ = [
    "AdapterContract",
    "BrokerContract",
    "authorize_under_test",
    "event_of",
    "remote_control",
]

_SUITES: Final = {
    "AdapterContract": "_adapter",
    "BrokerContract": "_broker",
    "event_of": "_broker",
}
_ASSERTING: Final = (
    "_broker",
    "_broker_holding",
    "_broker_jobs",
    "_broker_logs",
    "_broker_stores",
    "_client",
    "_of_access",
    "_of_connections",
    "_of_limits",
    "_of_requests",
    "_of_streams",
    "_server",
    "_serving",
    "_watcher",
)


def __getattr__(name: str) -> object:
    # Late, since a server that runs an application under test has no use for pytest.
    if name not in _SUITES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    # So that the failures of a suite say what they saw.
    rewritten = (f"{__name__}.{module}" for module in _ASSERTING)
    pytest.register_assert_rewrite(*(module for module in rewritten if module not in sys.modules))
    return getattr(importlib.import_module(f"{__name__}.{_SUITES[name]}"), name)
