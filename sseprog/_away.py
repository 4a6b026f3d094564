"""What a thread does while its store can't be reached: it pauses, and says so once."""

import logging
import math
import random
import time
from collections.abc import Callable
from typing import Final

from .errors import BrokerUnavailable
from .store import Store

__all__ = ["Away"]

_TRIED: Final = 10.0
"""Seconds within which who needs the store has tried again: a pause, and a try's own time-out."""

logger = logging.getLogger("sseprog")


class Away:
    """The pauses of a thread whose store can't be reached, and what its log says of that.

    ``concerns`` tells whether anybody is to be told: one warning for each cause is enough.
    """

    def __init__(self, store: Store, what: str, concerns: Callable[[], bool]) -> None:
        self._store = store
        self._what = what
        self._concerns = concerns
        self._level = logging.WARNING
        self._tries = 0
        self._failed_at = -math.inf
        self.since = math.inf
        self.cause = ""

    def pause(self, error: BrokerUnavailable) -> float:
        """Note a failure; return the seconds to wait: jittered, and a second at most."""
        name = self._store.name
        self.cause = str(error).removeprefix(f"{name}: ")
        if self.since == math.inf:
            self.since = time.monotonic()
            self._level = logging.WARNING if self._concerns() else logging.DEBUG
            logger.log(self._level, "%s can't be used; %s: %s", name, self._what, self.cause)
        self._tries += 1
        self._failed_at = time.monotonic()
        return random.uniform(0.5, 1.0) * min(1.0, 0.05 * 2.0 ** min(self._tries, 5))  # noqa: S311

    def over(self) -> float:
        """Note a success; return for how many seconds there was none, 0.0 if that is not news.

        Where nobody has tried for long, it may have been back for long: then that is hardly any.
        """
        if self.since == math.inf:
            return 0.0
        now = time.monotonic()
        seconds = now - self.since if now - self._failed_at < _TRIED else 0.001
        logger.log(self._level, "%s is back after %.1f s", self._store.name, seconds)
        self.since, self._tries, self.cause = math.inf, 0, ""
        return seconds
