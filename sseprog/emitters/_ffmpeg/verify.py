"""Decide whether an output is whole: ffmpeg returns 0 for half a video and for a full disk."""

import re
from pathlib import Path
from typing import Final

from ...errors import JobFailed
from .failure import CUT_SHORT, DISK_FULL, NOT_WHOLE, broken
from .playlist import NotWhole
from .workspace import is_full

_ENDS_TOO_SOON: Final = re.compile(r"partial file|File ended prematurely")  # MP4; Matroska


def tolerance(duration: float) -> float:
    """Return by how many seconds two lengths of one video may differ."""
    return max(1.0, 0.02 * duration)


def is_shorter(duration: float, promised: float, stderr: str) -> bool:
    """Say whether less came out of a source than it promised.

    More is no fault: fragmented files promise the first fragment only. Where ffmpeg has said that
    the file ends too soon, a quarter of a second counts.
    """
    allowed = 0.25 if _ENDS_TOO_SOON.search(stderr) else tolerance(promised)
    return promised - duration > allowed


def cut_short(duration: float, promised: float) -> JobFailed:
    """Return what to raise for a source that ends before it should."""
    read = f"{duration:.1f} of its {promised:.1f} seconds could be read"
    return broken("length", read, JobFailed(f"{CUT_SHORT}: {read}.", code="input_invalid"))


def check_same_length(what: str, duration: float | None, expected: float) -> None:
    """Raise `NotWhole` if a picture that we made is not as long as it should be."""
    if duration is None or abs(duration - expected) > tolerance(expected):
        raise NotWhole(f"{what} lasts {duration} s and not {expected} s")


def check_not_shorter(what: str, duration: float | None, expected: float) -> None:
    """Raise `NotWhole` if a file that we made is shorter than its picture; sound may outlast it."""
    if duration is None or duration < expected - tolerance(expected):
        raise NotWhole(f"{what} lasts {duration} s and not {expected} s")


def check_frames(what: str, read: int | None, encoded: int | None) -> None:
    """Raise `NotWhole` if frames that were encoded can't be read: a hole that no length shows.

    ffmpeg 7 doesn't count the frames that it copies: then there is nothing to compare.
    """
    if read is not None and encoded is not None and read < encoded:
        raise NotWhole(f"{what} has {read} of {encoded} frames")


def check_jpeg(path: Path) -> None:
    """Raise `NotWhole` if a picture has no beginning or no end."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotWhole(f"{path.name} is missing") from error
    if not (data.startswith(b"\xff\xd8") and data.rstrip(b"\0").endswith(b"\xff\xd9")):
        raise NotWhole(f"{path.name} is not a whole JPEG")


def not_whole(work: Path, error: NotWhole) -> JobFailed:
    """Return what to raise for an output with a hole: the full disk that made it, if it did."""
    if is_full(work):
        return broken("check", str(error), JobFailed(DISK_FULL, code="disk_full"))
    return broken(
        "check",
        str(error),
        JobFailed(NOT_WHOLE, code="output_invalid"),
    )
