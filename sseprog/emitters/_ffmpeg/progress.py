"""Read what ``ffmpeg -progress`` writes, with all its odd values, in any slices."""

import math
from dataclasses import dataclass, replace
from typing import Final

_LONGEST_LINE: Final = 1024  # bytes; ffmpeg's own lines have 40
_NO_VALUE: Final = 9e18  # microseconds: ffmpeg 6 writes -2**63 for "none"


@dataclass(frozen=True, slots=True)
class Reading:
    """The best that is known of a run: ``seconds``, ``frame`` and ``size`` never go back.

    ``seconds`` is the time reached in the output, ``size`` the bytes of its first file, ``speed``
    a multiple of real time, ``None`` what was never told. ``ended`` says that ffmpeg wrote
    ``progress=end``, which it also does after a signal or on a full disk: it is no success.
    """

    seconds: float | None = None
    frame: int | None = None
    size: int | None = None
    fps: float | None = None
    speed: float | None = None
    ended: bool = False

    @property
    def signs(self) -> tuple[float | None, int | None, int | None]:
        """Give what changes as long as ffmpeg gets on: fps and speed change in a stall too."""
        return self.seconds, self.frame, self.size


class ProgressParser:
    """Turn bytes into `Reading`; it raises for nothing that a program may write."""

    def __init__(self) -> None:
        self.reading = Reading()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take in the next bytes; whole lines among them change ``reading``."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            key, _, value = line.partition(b"=")
            self._take(key.strip(), value.strip().decode("ascii", "replace"))
        # No line of ours is that long: cut it, so that a program gone mad costs no memory.
        self._rest = self._rest[:_LONGEST_LINE]

    def _take(self, key: bytes, value: str) -> None:
        now = self.reading
        match key:
            # The same number under two names: out_time_ms is in microseconds too.
            case b"out_time_us" | b"out_time_ms" if (us := _number(value)) is not None:
                self.reading = replace(now, seconds=max(now.seconds or 0.0, us / 1e6))
            case b"frame" if (frame := _number(value)) is not None:
                self.reading = replace(now, frame=max(now.frame or 0, int(frame)))
            case b"total_size" if (size := _number(value)) is not None:
                self.reading = replace(now, size=max(now.size or 0, int(size)))
            case b"fps":
                self.reading = replace(now, fps=_number(value) or now.fps)
            case b"speed":
                self.reading = replace(now, speed=_number(value.removesuffix("x")) or now.speed)
            case b"progress":
                self.reading = replace(now, ended=value == "end")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number < _NO_VALUE else None
