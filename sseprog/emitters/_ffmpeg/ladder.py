"""The rungs of an adaptive stream: which sizes are made of a video, and at what bit rate."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# Rung: bits per second at the most, of H.264 at 25 to 60 frames per second. A still scene takes
# less: the encoder works by quality (CRF) under this limit.
_MAX_BIT_RATES: Final = {
    2160: 16_000_000,
    1440: 9_000_000,
    1080: 5_000_000,
    720: 2_800_000,
    480: 1_400_000,
    360: 800_000,
    240: 400_000,
    144: 200_000,
}

_MOST: Final = max(_MAX_BIT_RATES.values())

DEFAULT: Final = (1080, 720, 480, 360)


@dataclass(frozen=True, slots=True)
class Rung:
    """One size of the ladder; ``name`` (``"720p"``) is its folder too."""

    name: str
    width: int
    height: int
    max_bit_rate: int

    @property
    def megapixels(self) -> float:
        """Say how much there is to encode in one frame."""
        return self.width * self.height / 1e6


def check_ladder(ladder: Iterable[int] | None) -> tuple[int, ...]:
    """Return the wanted rungs, highest first, or raise `TypeError` or `ValueError`."""
    if ladder is None:
        return DEFAULT
    if isinstance(ladder, (str, bytes)) or not isinstance(ladder, Iterable):
        raise TypeError(f"ladder is an iterable of heights such as (720, 480), not {ladder!r}")
    wanted = list(ladder)
    known = ", ".join(map(str, _MAX_BIT_RATES))
    if not wanted:
        raise ValueError(f"ladder is empty; it needs at least one of {known}")
    for height in wanted:
        if isinstance(height, bool) or not isinstance(height, int):
            raise TypeError(f"ladder has {height!r}; a rung is an int, one of {known}")
        if height not in _MAX_BIT_RATES:
            raise ValueError(f"ladder has {height}; a rung is one of {known}")
    return tuple(sorted(set(wanted), reverse=True))


def choose_rungs(wanted: Iterable[int], width: int, height: int) -> list[Rung]:
    """Return the rungs for a video that is seen as ``width`` by ``height``, highest first.

    A rung's number counts the short side, as phones and video sites do: an upright 1080 x 1920 is
    "1080p" as well. Nothing is made larger than it was; a video that is smaller than each wanted
    rung gets one of its own size. Sides are even, since H.264 in 4:2:0 has no others.
    """
    short, long = sorted((width, height))
    rungs = []
    for side in [rung for rung in wanted if rung <= short] or [_even_below(short)]:
        other = min(max(2, round(long * side / short / 2) * 2), _even_below(long))
        shape = (other, side) if width >= height else (side, other)
        rungs.append(Rung(f"{side}p", *shape, _max_bit_rate(side)))
    return rungs


def _even_below(side: int) -> int:
    return max(2, side // 2 * 2)


def _max_bit_rate(short: int) -> int:
    return next((rate for rung, rate in reversed(_MAX_BIT_RATES.items()) if rung >= short), _MOST)
