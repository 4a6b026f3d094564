"""The count of `Job.track`: how many of how many, how fast, how long still."""

import time
from typing import Any

from ._eta import EtaEstimator

__all__ = ["Track"]


class Track:
    """What is known of one loop over items. ``n`` is counted up from outside."""

    def __init__(self, total: int | None, low: float, high: float) -> None:
        self.n = 0
        self.eta: float | None = None
        self.message = ""
        self._total = total
        self._low = low
        self._high = high
        self._began = time.monotonic()
        self._estimator = EtaEstimator()
        self._rate: float | None = None

    @property
    def details(self) -> dict[str, Any]:
        """Return ``n``, ``total`` and ``rate``, the names that tqdm gave them."""
        rate = None if self._rate is None else float(f"{self._rate:.3g}")
        return {"n": self.n, "total": self._total, "rate": rate}

    def observe(self, now: float) -> float | None:
        """Take the count in at ``now``; return the percentage of the whole job."""
        elapsed = now - self._began
        self._rate = self.n / elapsed if self.n and elapsed > 0 else None
        if self._total is None:
            self.message = f"{self.n:,}"
            return None
        self.message = f"{self.n:,} of {self._total:,}"
        share = min(1.0, self.n / self._total) if self._total else 1.0
        percent = round(self._low + (self._high - self._low) * share, 2)
        self.eta = self._estimator.observe(now, percent / 100)
        return percent

    def done(self) -> None:
        """Note that there are no more items, whatever ``total`` said."""
        self._total = self.n
