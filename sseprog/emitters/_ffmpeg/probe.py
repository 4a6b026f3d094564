"""Learn what is in a video from ffmpeg alone: the imageio-ffmpeg wheel has no ffprobe."""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from ...errors import JobFailed
from .failure import NOT_A_VIDEO, failed
from .run import Beat, run
from .source import Source

_MAX_REPORT: Final = 1024 * 1024  # bytes: metadata come before the streams, and may be long
_DEFAULT_RATE: Final = 25.0  # frames per second, where ffmpeg names none

# ffmpeg indents what it says itself by two columns, and metadata, which a stranger wrote, by more.
_INPUT: Final = re.compile(r"^Input #0, (?P<format>[\w,]+), from ", re.MULTILINE)
_DURATION: Final = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)
_GUESSED: Final = "Estimating duration from bitrate"
# What states its length in a header, and so can turn out to be shorter; of the others ffmpeg says
# how long it found them to be.
_STATED: Final = frozenset({"mov", "matroska", "avi", "flv", "asf"})
_SOUND: Final = re.compile(r", [1-9]\d* Hz, (?!0 channels)")
_STREAM: Final = re.compile(
    r"^  Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?(?:\([^)\n]*\))?: "
    r"(?P<kind>Video|Audio): (?P<about>.*)$",
    re.MULTILINE,
)
_ANY_STREAM: Final = re.compile(r"^  Stream #0:(\d+)", re.MULTILINE)
_SIZE: Final = re.compile(r", (\d+)x(\d+)(?=[ ,\n]|$)")
_ASPECT: Final = re.compile(r"SAR (\d+):(\d+)")
_RATE: Final = re.compile(r"([\d.]+)(k?) (tbr|fps)\b")
_ROTATION: Final = re.compile(
    r"^ +(?:displaymatrix|Display Matrix): rotation of (-?[\d.]+) degrees", re.MULTILINE
)
_STREAM_DURATION: Final = re.compile(r"^    +DURATION +: (\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)
_INTERLACED: Final = re.compile(r"\b(?:top|bottom) (?:coded )?first\b")


@dataclass(frozen=True, slots=True)
class Media:
    """What is to be transcoded.

    ``width`` and ``height`` are as seen: after rotation, in square pixels. ``duration`` is in
    seconds, of the longest stream, ``None`` where the file doesn't say; ``promised`` tells that the
    file itself says it. ``video`` and ``audio`` are stream indexes, ``streams`` how many there are.
    """

    width: int
    height: int
    duration: float | None
    rate: float
    video: int
    audio: int | None
    interlaced: bool = False
    promised: bool = False
    streams: int = 1


def probe(
    ffmpeg: str, source: Source, *, cwd: str, stall_timeout: float
) -> Generator[Beat, None, Media]:
    """Open ``source`` and return what is in it.

    Raises `JobFailed` with code ``input_invalid`` or ``no_video``, or as `run` does.
    """
    source.check()
    report = yield from describe(
        ffmpeg,
        [word for key, value in source.options.items() for word in (f"-{key}", str(value))]
        + ["-i", source.name],
        cwd=cwd,
        stall_timeout=stall_timeout,
    )
    return parse(report)


def describe(
    ffmpeg: str, input_words: list[str], *, cwd: str, stall_timeout: float
) -> Generator[Beat, None, str]:
    """Return what ffmpeg says of an input; it always "fails", as it is given no output."""
    ended = yield from run(
        [ffmpeg, "-hide_banner", "-nostdin", *input_words],
        cwd=cwd,
        stall_timeout=stall_timeout,
        keep_stderr=_MAX_REPORT,
    )
    if ended.returncode < 0 or not _INPUT.search(ended.stderr):
        raise failed("probing", ended)
    return ended.stderr


def parse(report: str) -> Media:
    """Read ffmpeg's description of an input; raises `JobFailed` if it holds no video."""
    report = report[report.index("Input #0, ") :] if "Input #0, " in report else report
    streams = list(_STREAM.finditer(report))
    video = next((s for s in streams if s["kind"] == "Video" and not _is_cover(s)), None)
    if video is None:
        raise JobFailed("The file holds no video, only sound or pictures.", code="no_video")
    audio = next((s for s in streams if s["kind"] == "Audio" and _is_known(s)), None)
    if not (size := _SIZE.search(video["about"])):
        raise JobFailed(NOT_A_VIDEO, code="input_invalid")
    width, height = int(size[1]), int(size[2])
    if not width or not height:
        raise JobFailed(NOT_A_VIDEO, code="input_invalid")
    width = max(1, round(width * _pixel_aspect(video["about"])))
    if _is_quarter_turn(_notes(report, streams, video)):
        width, height = height, width
    return Media(
        width,
        height,
        _duration(report, streams, [video, audio] if audio else [video]),
        _frame_rate(video["about"]),
        int(video["index"]),
        int(audio["index"]) if audio else None,
        bool(_INTERLACED.search(video["about"])),
        promised=bool(_formats(report) & _STATED),
        streams=1 + max(int(index) for index in _ANY_STREAM.findall(report)),
    )


def _formats(report: str) -> set[str]:
    match = _INPUT.search(report)
    return set(match["format"].split(",")) if match else set()


def duration_of(report: str) -> float | None:
    """Return the seconds that a container says it lasts, or ``None`` if it doesn't."""
    return None if _GUESSED in report else _seconds(_DURATION.search(report))


def _is_cover(stream: re.Match[str]) -> bool:
    return "(attached pic)" in stream["about"]


def _is_known(stream: re.Match[str]) -> bool:
    """Phones add a sound track that only their maker can decode; dead microphones an empty one."""
    return not stream["about"].startswith("none") and bool(_SOUND.search(stream["about"]))


def _notes(report: str, streams: list[re.Match[str]], stream: re.Match[str]) -> str:
    """Return the metadata and side data under a stream's line."""
    after = [each.start() for each in streams if each.start() > stream.start()]
    return report[stream.end() : min(after, default=len(report))]


def _duration(report: str, streams: list[re.Match[str]], used: list[re.Match[str]]) -> float | None:
    """A Matroska's subtitles may outlast its film: its tags tell the length of each stream."""
    tags = [_seconds(_STREAM_DURATION.search(_notes(report, streams, each))) for each in used]
    known = [tag for tag in tags if tag]
    return max(known) if len(known) == len(used) else duration_of(report)


def _seconds(match: re.Match[str] | None) -> float | None:
    if match is None:
        return None
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) or None


def _pixel_aspect(about: str) -> float:
    pairs = [(int(a), int(b)) for a, b in _ASPECT.findall(about)]
    # Two are given where the container overrules the codec; ffmpeg believes the container, last.
    numerator, denominator = pairs[-1] if pairs else (1, 1)
    ratio = numerator / denominator if numerator and denominator else 1.0
    return ratio if 0.1 <= ratio <= 10 else 1.0


def _is_quarter_turn(notes: str) -> bool:
    rotation = _ROTATION.search(notes)
    return rotation is not None and abs(abs(float(rotation[1])) % 180 - 90) < 1


def _frame_rate(about: str) -> float:
    """Return the rate that ffmpeg will make constant: the base rate, and not the average."""
    rates = {
        unit: float(number) * (1000 if thousand else 1)
        for number, thousand, unit in _RATE.findall(about)
    }
    return rates.get("tbr") or rates.get("fps") or _DEFAULT_RATE
