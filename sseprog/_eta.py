"""How long is left: a smoothed, coarse estimate from the rate of the last few seconds."""

from typing import Final

__all__ = ["EtaEstimator"]

HALF_LIFE: Final = 12.0
"""Seconds after which a rate counts half: short enough to notice a slower stage, long enough not
to jump with each key frame."""

_SETTLE: Final = 3.0  # seconds: caches, probing and start-up make the first ones untypical
_SETTLE_FRACTION: Final = 0.02
_LEAST: Final = 1e-9  # less is noise, and dividing by it would overflow
_PATIENCE: Final = 30.0  # a very long job gets an estimate before its first 2 % too

# (below this many seconds, round to so many): as fine as the estimate can be trusted.
_STEPS: Final = ((10.0, 1.0), (60.0, 5.0), (600.0, 15.0), (3600.0, 60.0), (36000.0, 300.0))
_COARSEST: Final = 1800.0


class EtaEstimator:
    """Estimate the seconds left from a fraction that grows; it holds no clock of its own."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._at = 0.0
        self._fraction = 0.0
        self._rate = 0.0  # decayed sum of rates, and of their weights: no bias at the start
        self._weight = 0.0
        self._eta: float | None = None

    def observe(self, now: float, fraction: float) -> float | None:
        """Take in that ``fraction`` (0 to 1) is done at ``now`` (seconds); return the seconds left.

        ``None`` until enough was seen to tell (3 s and 2 %, or 30 s). While nothing advances the
        last answer stays: what has stalled is said by the status, not by a growing estimate. A
        fraction or a clock that goes backwards is ignored.
        """
        if self._started is None:
            self._started = self._at = now
            self._fraction = fraction
            return None
        if fraction >= 1.0:
            return 0.0
        elapsed, advance = now - self._at, fraction - self._fraction
        if elapsed <= 0 or advance < _LEAST:
            return self._eta
        keep = 0.5 ** (elapsed / HALF_LIFE)
        self._rate = self._rate * keep + (advance / elapsed) * (1 - keep)
        self._weight = self._weight * keep + (1 - keep)
        self._at, self._fraction = now, fraction
        running = now - self._started
        if running >= _SETTLE and (fraction >= _SETTLE_FRACTION or running >= _PATIENCE):
            self._eta = _coarse((1 - fraction) * self._weight / self._rate)
        return self._eta


def _coarse(seconds: float) -> float:
    """Round to a step that fits, and never down to 0 while something is left."""
    step = next((step for below, step in _STEPS if seconds < below), _COARSEST)
    return max(step, round(seconds / step) * step)
