"""The sprite: one picture of many small ones, and the WebVTT that says which is which."""

import math
from dataclasses import dataclass
from typing import Final

_LONG_SIDE: Final = 160  # pixels of one thumbnail
_MOST: Final = 100
_COLUMNS: Final = 10


@dataclass(frozen=True, slots=True)
class Sprite:
    """A grid of ``count`` pictures, each ``interval`` seconds: of every ``every``-th key frame."""

    count: int
    every: int
    interval: float
    width: int
    height: int
    duration: float

    @property
    def columns(self) -> int:
        """Say how many pictures lie side by side."""
        return min(self.count, _COLUMNS)

    @property
    def rows(self) -> int:
        """Say how many rows of pictures there are."""
        return math.ceil(self.count / self.columns)

    def to_vtt(self, picture: str) -> str:
        """Write the WebVTT: a cue for each picture, its place as ``#xywh=``."""
        cues = ["WEBVTT"]
        for n in range(self.count):
            left, top = n % self.columns * self.width, n // self.columns * self.height
            until = self.duration if n + 1 == self.count else (n + 1) * self.interval
            cues.append(
                f"{_timestamp(n * self.interval)} --> {_timestamp(until)}\n"
                f"{picture}#xywh={left},{top},{self.width},{self.height}"
            )
        return "\n\n".join(cues) + "\n"


def plan_sprite(width: int, height: int, duration: float, key_frame: float) -> Sprite:
    """Lay out the thumbnails of a video: one per key frame, or fewer, but never over 100."""
    key_frames = max(1, math.ceil(duration / key_frame - 0.01))
    every = math.ceil(key_frames / _MOST)
    scale = _LONG_SIDE / max(width, height)
    return Sprite(
        math.ceil(key_frames / every),
        every,
        every * key_frame,
        max(2, round(width * scale / 2) * 2),
        max(2, round(height * scale / 2) * 2),
        duration,
    )


def _timestamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
