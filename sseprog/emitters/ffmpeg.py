"""Transcode a video into an adaptive HLS stream, with its progress: the emitter ``"ffmpeg"``.

It needs the extra ``ffmpeg`` and an ffmpeg of version 4.4 or newer on a POSIX system.
"""

import math
import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, Final

from ..hookspecs import RegisterEmitter, hookimpl
from ..progress import Progress
from ._ffmpeg.binary import find_ffmpeg, graph_builder
from ._ffmpeg.ladder import check_ladder
from ._ffmpeg.pipeline import Pipeline, Request
from ._ffmpeg.source import make_source

__all__ = ["transcode"]

_FORMATS: Final = ("hls", "mp4")


@hookimpl
def sseprog_register_emitters(register: RegisterEmitter) -> None:
    """Register `transcode` as ``"ffmpeg"``."""
    register("ffmpeg", transcode)


def transcode(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    ladder: Iterable[int] | None = None,
    format: str = "hls",
    ffmpeg: str | os.PathLike[str] | None = None,
    allow_urls: bool = False,
    stall_timeout: float = 60.0,
) -> Generator[Progress, None, dict[str, Any]]:
    """Transcode ``source`` into the new folder ``target``; yield `Progress` twice a second or more.

    The folder gets ``master.m3u8``, a folder with an HLS playlist per rung, ``poster.jpg``,
    ``thumbnails.jpg`` and ``thumbnails.vtt``; it appears in one step, after all was checked.

    ``source``: the path of a video; a URL (http, https) only with ``allow_urls``, and then it is
    for the caller to see that it leads to no place it shouldn't.
    ``target``: the path of a folder that doesn't exist yet.
    ``ladder``: heights, such as ``(720, 480)``; 1080, 720, 480 and 360 by default. What is larger
    than the video is left out; a smaller video gets one rung of its own size. An upright video's
    heights are its widths.
    ``format``: ``"hls"``, or ``"mp4"`` for a ``video.mp4`` of the top rung *besides* the HLS.
    ``ffmpeg``: the program; by default ``SSEPROG_FFMPEG``, PATH's, or the imageio-ffmpeg wheel's.
    ``stall_timeout``: seconds without any progress after which ffmpeg is stopped.

    Closing the generator cancels: ffmpeg is ended, by force after 5 s, and nothing is left. Raises
    `TypeError`, `ValueError` or `MissingExtra` at once; while it runs, `JobFailed` with a code:
    ``input_missing``, ``input_invalid``, ``no_video``, ``disk_full``, ``codec_missing``,
    ``no_memory``, ``stalled``, ``killed``, ``target_exists``, ``target_unwritable``,
    ``ffmpeg_missing``, ``transcode_failed``, ``output_invalid``. Returns what becomes the
    details of ``complete``: ``master``, ``rungs``, ``duration``, ``poster``, ``sprite``,
    ``thumbnails``, ``mp4``, and ``files``, all names relative to ``target``.
    """
    if format not in _FORMATS:
        raise ValueError(f"format {format!r} is not one of {', '.join(_FORMATS)}")
    request = Request(
        make_source(source, allow_urls=allow_urls),
        _check_target(target),
        check_ladder(ladder),
        format == "mp4",
        _check_timeout(stall_timeout),
    )
    return Pipeline(find_ffmpeg(ffmpeg), graph_builder(), request).run()


def _check_target(target: str | os.PathLike[str]) -> Path:
    text = os.fspath(target)
    if not isinstance(text, str):
        raise TypeError(f"target is a str or a path of str, not {type(text).__name__}: {text!r}")
    if not text or "\0" in text:
        raise ValueError(f"target {text!r} is not a path: it is empty or holds a NUL")
    return Path(os.getcwd(), text)


def _check_timeout(seconds: float) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"stall_timeout is a number of seconds, not {seconds!r}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"stall_timeout {seconds!r} is not a finite number above 0 (seconds)")
    return float(seconds)
