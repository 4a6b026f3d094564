"""Say what went wrong: a code and a sentence for people, the details for the log only."""

import logging
import re
import signal
from collections.abc import Iterable
from typing import Final, NamedTuple

from ...errors import JobFailed
from .run import Ended

_log: Final = logging.getLogger("sseprog.ffmpeg")

MISSING: Final = "The video is not there, or can't be read."
DISK_FULL: Final = "The disk is full."
NOT_A_VIDEO: Final = "The file is not a video that can be read, or it is damaged."
NOT_WHOLE: Final = "ffmpeg said that it was done, but its output is not whole."
CUT_SHORT: Final = "The video is damaged or cut short"

_LOGGED: Final = 16 * 1024  # characters

_EXECUTABLE_MISSING: Final = frozenset({126, 127})  # of setpriv, which could not start ffmpeg
_SIGNALLED: Final = 255  # ffmpeg's own after SIGINT and SIGTERM
_DISK_FULL: Final = 228  # AVERROR(ENOSPC), low byte, from 7.0 on


class _Known(NamedTuple):
    pattern: re.Pattern[str]
    code: str
    sentence: str


# In order: the first that matches any line wins.
_KNOWN: Final = (
    _Known(re.compile(r"No space left on device|Disk quota exceeded"), "disk_full", DISK_FULL),
    _Known(
        re.compile(r"Cannot allocate memory"),
        "no_memory",
        "There was not enough memory for this video.",
    ),
    _Known(
        re.compile(r"Unknown encoder|Encoder not found|No such filter|Unknown decoder"),
        "codec_missing",
        "This server's ffmpeg lacks an encoder or a filter that is needed.",
    ),
    _Known(
        re.compile(r"no decoder found|Decoder \(codec .*\) not found|Decoder not found"),
        "codec_missing",
        "This server's ffmpeg can't decode this kind of video.",
    ),
    _Known(
        re.compile(r"No such file|Server returned [45]|HTTP error [45]|Connection|resolve host"),
        "input_missing",
        MISSING,
    ),
    _Known(
        re.compile(
            r"Invalid data found|moov atom not found|not on whitelist|partial file"
            r"|(?:INPUT|input): End of file|Error while decoding"
            r"|exceeds? (?:the )?max|Picture size .* is invalid"
        ),
        "input_invalid",
        NOT_A_VIDEO,
    ),
)


def failed(doing: str, ended: Ended, *, ours: bool = False) -> JobFailed:
    """Log how a run of ffmpeg failed, and return the error to raise.

    ``ours`` says that its input was made by us: then the input's fault is the output's.
    """
    # %a: one line of ASCII, so that what a video's own metadata holds can forge no log entry.
    _log.error("ffmpeg failed at %a with %d: %a", doing, ended.returncode, ended.stderr[:_LOGGED])
    code, sentence = _judge(ended)
    if ours and code.startswith("input_"):
        code, sentence = "output_invalid", NOT_WHOLE
    return JobFailed(sentence, code=code)


def broken(doing: str, why: str, error: JobFailed) -> JobFailed:
    """Log what a check found, and return the error to raise."""
    _log.error("check failed at %a: %a", doing, why)
    return error


def _judge(ended: Ended) -> tuple[str, str]:
    if ended.returncode < 0 or ended.returncode == _SIGNALLED:
        name = _signal_name(-ended.returncode) if ended.returncode < 0 else "a signal"
        return "killed", f"ffmpeg was ended from outside, or crashed ({name})."
    if ended.returncode in _EXECUTABLE_MISSING:
        return "ffmpeg_missing", "ffmpeg can't be started."
    if ended.returncode == _DISK_FULL:
        return "disk_full", DISK_FULL
    if known := _first(ended.stderr):
        return known.code, known.sentence
    return "transcode_failed", f"ffmpeg failed with exit code {ended.returncode}."


def _first(stderr: str, known: Iterable[_Known] = _KNOWN) -> _Known | None:
    return next((each for each in known if each.pattern.search(stderr)), None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
