"""Tracking a loop: how many items of how many, how fast, how long still."""

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UnsetType

from ._eta import EtaEstimator

if TYPE_CHECKING:
    from .job import Job

__all__ = ["Track"]

T = TypeVar("T")


class Track:
    """One loop over items, and its count.

    ``span`` is the share of the whole job, in percent, that the items make up; ``None`` is that
    of the item that the loop around this one is at, or the whole.
    """

    def __init__(
        self,
        job: "Job",
        *,
        stage: str | UnsetType,
        total: int | None,
        span: tuple[float, float] | None,
    ) -> None:
        self.message = ""
        self.eta: float | None = None
        self._job = job
        self._stage = stage
        self._total = total
        self._span = span
        self._n = 0
        self._complete = False
        self._began = 0.0
        self._rate: float | None = None
        self._estimator = EtaEstimator()

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """Pass on the items of an iterable."""
        self._begin()
        try:
            for item in items:
                yield item
                self._n += 1
                # While a report is due it will read the count by itself: most items cost this.
                if self._job._reports.counting is not self:
                    self._job._count(self)
            self._complete = True
        finally:
            self._end()

    async def over_async(self, items: AsyncIterable[T]) -> AsyncIterator[T]:
        """Pass on the items of an async iterable."""
        self._begin()
        try:
            async for item in items:
                yield item
                self._n += 1
                if self._job._reports.counting is not self:
                    self._job._count(self)
            self._complete = True
        finally:
            self._end()

    def _begin(self) -> None:
        if self._span is None:
            around = self._job._tracks[-1:]
            self._span = around[0].span_of_item() if around else (0.0, 100.0)
        self._began = time.monotonic()
        self._job._begin_track(self, self._stage)

    def _end(self) -> None:
        if self._complete:
            self._total = self._n  # whatever it was said to be
        self._job._end_track(self, complete=self._complete)

    def span_of_item(self) -> tuple[float, float] | None:
        """Return the share of the whole job that the present item makes up, if that is known."""
        if self._span is None or not self._total:
            return None
        low, high = self._span
        share = (high - low) / self._total
        return min(low + share * self._n, high), min(low + share * (self._n + 1), high)

    @property
    def details(self) -> dict[str, Any]:
        """Return ``n``, ``total`` and ``rate``, the names that tqdm gave them."""
        rate = None if self._rate is None else float(f"{self._rate:.3g}")
        return {"n": self._n, "total": self._total, "rate": rate}

    def observe(self, now: float) -> float | None:
        """Take the count in at ``now``; return the percentage of the whole job."""
        elapsed = now - self._began
        self._rate = self._n / elapsed if self._n and elapsed > 0 else None
        total = self._total
        self.message = f"{self._n:,}" if total is None else f"{self._n:,} of {total:,}"
        if total is None or self._span is None:
            return None
        low, high = self._span
        share = min(1.0, self._n / total) if total else 1.0
        percent = round(low + (high - low) * share, 2)
        self.eta = self._estimator.observe(now, percent / 100)
        return percent
