"""How far a job is: stages weighed by what they cost, one percentage, one estimate."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..._eta import EtaEstimator
from ...progress import Progress
from .ladder import Rung

PROBING: Final = "probing"
PACKAGING: Final = "packaging"
THUMBNAILS: Final = "thumbnails"
VERIFYING: Final = "verifying"


def transcoding(rung: Rung) -> str:
    """Name the stage that makes a rung."""
    return f"transcoding {rung.name}"


def weigh(rungs: list[Rung], duration: float | None, *, mp4: bool) -> dict[str, float]:
    """Give each stage's cost, in seconds of the machine that it was measured on.

    Measured at 20 s clips of 240p to 1080p, preset veryfast: 0.9 s + 4.9 s per megapixel of a
    frame; packing 0.13 s, pictures 0.3 s, probing 0.1 s. Only the ratios matter, and they hold for
    other machines as well. Without a duration, a minute stands in until the first rung has told.
    """
    clips = (duration or 60.0) / 20
    return {
        PROBING: 0.1,
        **{transcoding(rung): clips * (0.9 + 4.9 * rung.megapixels) for rung in rungs},
        PACKAGING: 0.05 + (0.13 * clips if mp4 else 0.0),
        THUMBNAILS: 0.2 + 0.1 * clips,
        VERIFYING: 0.1 + 0.05 * clips * len(rungs),
    }


class Report:
    """Make each `Progress` of a job: whole, monotone, with the state of every stage."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._weights: Mapping[str, float] = {PROBING: 1.0}
        self._planned = False
        self._eta = EtaEstimator()
        self._best = 0.0
        self._best_in_stage: dict[str, float] = {}
        self._facts: dict[str, Any] = {"rung": None, "speed": None, "fps": None, "size": None}

    def plan(self, weights: Mapping[str, float]) -> None:
        """Take the stages, in order, with what each costs."""
        self._weights = weights
        self._planned = True

    def now(self, stage: str, fraction: float | None, message: str = "", **facts: Any) -> Progress:
        """Say that ``fraction`` (0 to 1, ``None`` if unknown) of ``stage`` is done.

        What is given as ``facts`` stays in the details until it is given anew.
        """
        self._facts |= facts
        if fraction is not None:
            fraction = max(min(fraction, 1.0), self._best_in_stage.get(stage, 0.0))
            self._best_in_stage[stage] = fraction
        overall = self._overall(stage, fraction)
        return Progress(
            overall,
            stage=stage,
            message=message,
            details=self.details(stage, fraction),
            eta=None if overall is None else self._eta.observe(self._clock(), overall / 100),
        )

    def details(self, stage: str | None = None, fraction: float | None = None) -> dict[str, Any]:
        """Give the facts and all stages; without a ``stage``, all of them are done."""
        names = list(self._weights)
        current = names.index(stage) if stage is not None else len(names)
        shares = [100.0] * current + [0.0] * (len(names) - current)
        stages: list[dict[str, Any]] = [
            {"name": name, "progress": share} for name, share in zip(names, shares, strict=True)
        ]
        if stage is not None:
            stages[current]["progress"] = None if fraction is None else round(100 * fraction, 1)
        return {"stages": stages, **self._facts}

    def _overall(self, stage: str, fraction: float | None) -> float | None:
        if not self._planned:
            return 0.0
        if fraction is None:
            return None
        names = list(self._weights)
        costs = list(self._weights.values())
        at = names.index(stage)
        done = (sum(costs[:at]) + costs[at] * fraction) / sum(costs)
        # 100 is for `complete`: until then something, if only a rename, is left to do.
        self._best = max(self._best, min(round(100 * done, 2), 99.99))
        return self._best
