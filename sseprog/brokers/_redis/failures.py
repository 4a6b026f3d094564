"""What is said of a server that can't, or doesn't."""

from typing import Final

from redis.exceptions import RedisClusterException, RedisError

from sseprog.errors import BrokerUnavailable

__all__ = ["FAILURES", "unavailable"]

FAILURES: Final = (RedisError, RedisClusterException, OSError)
"""What redis-py raises. An error of the script is among them: the log shows its text."""

# Of all other kinds the name says what redis-py has cut off the server's text.
_PLAIN: Final = frozenset({"ConnectionError", "TimeoutError", "ResponseError"})


def unavailable(name: str, error: BaseException) -> BrokerUnavailable:
    """Return what to raise from ``error``."""
    text = str(error).partition("\n")[0]
    kind = type(error).__name__
    if text and kind in _PLAIN:
        return BrokerUnavailable(f"{name}: {text}")
    return BrokerUnavailable(f"{name}: {kind}: {text}" if text else f"{name}: {kind}")
