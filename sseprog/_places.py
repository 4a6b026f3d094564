"""How many streams may be open: in this process, and for one client."""

from collections import Counter

from ._settings import Settings

__all__ = ["Places"]


class Places:
    """Count the open streams. The caller holds the broker's lock.

    A client is a user, or an address, as the adapter names it; "" is nobody in particular.
    """

    def __init__(self, settings: Settings) -> None:
        self.taken = 0
        self._limit = settings.max_streams
        self._limit_per_client = settings.max_streams_per_client
        self._by_client: Counter[str] = Counter()

    def free(self, client: str, threads: int | None = None) -> bool:
        """Tell whether there is one more place, where each takes one of ``threads``."""
        limit = self._limit if self._limit is not None and threads != 0 else threads
        if limit is not None and self.taken >= limit:
            return False
        if self._limit_per_client is None or not client:
            return True
        return self._by_client[client] < self._limit_per_client

    def take(self, client: str) -> None:
        """Take a place."""
        self.taken += 1
        if self._limit_per_client is not None:
            self._by_client[client] += 1

    def give_back(self, client: str) -> None:
        """Give back what `take` took."""
        self.taken -= 1
        if self._limit_per_client is not None:
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
