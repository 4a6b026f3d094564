"""HLS playlists (RFC 8216): read and check a rung's, write the master."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .ladder import Rung

_TS_PACKET: Final = 188
_EXTINF: Final = re.compile(r"#EXTINF:([\d.]+),.*")
_SEGMENT_NAME: Final = re.compile(r"\d+\.ts")
# A sequence parameter set of H.264 (ISO/IEC 14496-10, 7.3.1): start code, type 7, then the three
# bytes that RFC 6381 puts into "avc1.PPCCLL".
_SPS: Final = re.compile(rb"\x00\x00\x01[\x27\x47\x67](...)", re.DOTALL)
_AAC_LC: Final = "mp4a.40.2"
_SEARCHED: Final = 65536  # bytes: the parameter set is in front of the first picture


class NotWhole(ValueError):
    """A file that should be there is not, or not to its end; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A finished rung: what its playlist and its segments were found to be."""

    rung: Rung
    playlist: str
    duration: float
    segments: int
    size: int
    bandwidth: int
    average_bandwidth: int
    codecs: str
    frames: int | None

    def to_details(self) -> dict[str, object]:
        """Describe the rung for those who play or list it."""
        return {
            "name": self.rung.name,
            "width": self.rung.width,
            "height": self.rung.height,
            "playlist": self.playlist,
            "segments": self.segments,
            "size": self.size,
            "bandwidth": self.bandwidth,
            "codecs": self.codecs,
        }


def read_rung(work: Path, rung: Rung, name: str, *, frames: int | None, sound: bool) -> Stream:
    """Read the playlist ``name`` of a rung and look at each segment.

    ``frames`` is how many were encoded, if that is known, ``sound`` whether there is a sound track.

    Raises `NotWhole` if the playlist has no end, or a segment is missing, empty or cut in a packet.
    """
    folder = work / rung.name
    listed = list(_segments(folder / name))
    sizes = [_size(folder / segment) for segment, _ in listed]
    if not (duration := sum(seconds for _, seconds in listed)):
        raise NotWhole(f"{name} lasts no time at all")
    # RFC 8216, 4.3.4.2, leaves out what is shorter than half the target duration: the last one.
    least = max(seconds for _, seconds in listed) / 2
    average = 8 * sum(sizes) / duration
    rates = [
        8 * size / seconds
        for size, (_, seconds) in zip(sizes, listed, strict=True)
        if seconds >= least
    ]
    return Stream(
        rung,
        f"{rung.name}/{name}",
        duration,
        len(listed),
        sum(sizes),
        math.ceil(max(average, *rates)),
        math.ceil(average),
        _codecs(folder / listed[0][0], sound=sound),
        frames,
    )


def write_master(streams: Iterable[Stream]) -> str:
    """Write the master playlist, best rung first."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for stream in streams:
        rate = f",FRAME-RATE={stream.frames / stream.duration:.3f}" if stream.frames else ""
        lines += (
            f"#EXT-X-STREAM-INF:BANDWIDTH={stream.bandwidth},"
            f"AVERAGE-BANDWIDTH={stream.average_bandwidth},"
            f'CODECS="{stream.codecs}",'
            f"RESOLUTION={stream.rung.width}x{stream.rung.height}{rate}",
            stream.playlist,
        )
    return "\n".join(lines) + "\n"


def read_master(path: Path) -> list[str]:
    """Return the playlists that a master lists, in order."""
    return [line for line in _lines(path) if line and not line.startswith("#")]


def _segments(path: Path) -> Iterable[tuple[str, float]]:
    lines = _lines(path)
    if lines[:1] != ["#EXTM3U"] or lines[-1:] != ["#EXT-X-ENDLIST"]:
        raise NotWhole(f"{path.name} has no beginning or no #EXT-X-ENDLIST")
    seconds: float | None = None
    found = False
    for line in lines:
        if match := _EXTINF.fullmatch(line):
            seconds = float(match[1])
        elif line and not line.startswith("#"):
            if seconds is None or not _SEGMENT_NAME.fullmatch(line):
                raise NotWhole(f"{path.name} has a line that is no segment: {line!r}")
            yield line, seconds
            seconds, found = None, True
    if not found:
        raise NotWhole(f"{path.name} lists no segments")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NotWhole(f"{path.name} can't be read") from error


def _size(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise NotWhole(f"segment {path.name} is missing") from error
    if not size or size % _TS_PACKET:
        raise NotWhole(f"segment {path.name} has {size} bytes, which is no number of packets")
    return size


def _codecs(segment: Path, *, sound: bool) -> str:
    """Name the codecs as they really are in the stream, and not as they were asked for."""
    with segment.open("rb") as file:
        match = _SPS.search(file.read(_SEARCHED))
    if not match:
        raise NotWhole(f"segment {segment.name} has no H.264 parameter set")
    video = f"avc1.{match[1].hex()}"
    return f"{video},{_AAC_LC}" if sound else video
