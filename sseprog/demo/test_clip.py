"""The emitter ``"test clip"``: film something, then transcode it, as one job.

It shows how emitters compose: they are generators, and one may go through another's.
"""

import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from ..emitters._ffmpeg.binary import find_ffmpeg
from ..emitters._ffmpeg.run import run
from ..emitters.ffmpeg import transcode
from ..errors import JobFailed
from ..hookspecs import RegisterEmitter, hookimpl
from ..progress import Progress

__all__ = ["SECONDS", "film_and_transcode"]

SECONDS: Final = 20
STAGE: Final = "making a test clip"

_SHARE: Final = 0.2  # of the whole; measured: 3 s of 16
_STALL_TIMEOUT: Final = 60.0

# Slow colours behind, and ffmpeg's test picture with its clock in front, so that one sees where
# one is. The colours are drawn small: they are smooth, and cost a third of the time.
_PICTURE: Final = (
    "gradients=size=320x180:rate=30:seed=3:speed=0.02:nb_colors=4"
    ":c0=0x2b2f77:c1=0x1b8a6b:c2=0x7a4fd6:c3=0x0d1b3d,scale=1280:720:flags=bicubic[back];"
    "testsrc2=size=640x360:rate=30[front];"
    "[back][front]overlay=(W-w)/2:(H-h)/2"
)


@hookimpl
def sseprog_register_emitters(register: RegisterEmitter) -> None:
    """Register `film_and_transcode` as ``"test clip"``."""
    register("test clip", film_and_transcode)


def film_and_transcode(
    target: Path, *, ladder: Sequence[int]
) -> Generator[Progress, None, dict[str, Any]]:
    """Make a clip of `SECONDS` beside the folder ``target``, then transcode it into that folder.

    Otherwise as the emitter ``"ffmpeg"``, the details included; the clip itself is not kept.
    """
    with tempfile.TemporaryDirectory(prefix=".clip-", dir=target.parent) as folder:
        clip = Path(folder, "clip.mp4")
        yield from _film(clip)
        work = transcode(clip, target, ladder=ladder, format="mp4")
        try:
            while True:
                yield _second_part(next(work))
        except StopIteration as end:
            return {**end.value, "stages": [_stage(100), *end.value["stages"]]}
        finally:
            work.close()


def _film(clip: Path) -> Generator[Progress, None, None]:
    filming = run(_command(clip), cwd=str(clip.parent), stall_timeout=_STALL_TIMEOUT)
    yield Progress(0, stage=STAGE, details={"stages": [_stage(0)]})
    while True:
        try:
            beat = next(filming)
        except StopIteration as end:
            if end.value.returncode:
                raise JobFailed("The test clip could not be made.", code="clip_failed") from None
            return
        done = min(1.0, (beat.reading.seconds or 0.0) / SECONDS)
        details = {
            "stages": [_stage(100 * done)],
            "speed": beat.reading.speed,
            "fps": beat.reading.fps,
            "size": beat.reading.size,
        }
        yield Progress(100 * _SHARE * done, stage=STAGE, details=details)


def _command(clip: Path) -> list[str]:
    return [
        *(find_ffmpeg(None), "-nostdin", "-nostats", "-v", "error", "-progress", "pipe:1"),
        *("-f", "lavfi", "-i", _PICTURE),
        *("-f", "lavfi", "-i", "sine=frequency=220:beep_factor=4:sample_rate=48000,volume=0.4"),
        *("-t", str(SECONDS), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", "-ac", "2", "-y", f"file:{clip}"),
    ]


def _second_part(inner: Progress) -> Progress:
    """Make the progress of the transcoding that of the whole job."""
    progress = inner.progress
    if progress is not None:
        progress = 100 * _SHARE + progress * (1 - _SHARE)
    stages = [_stage(100), *inner.details["stages"]]
    return msgspec.structs.replace(
        inner, progress=progress, details={**inner.details, "stages": stages}
    )


def _stage(percent: float) -> dict[str, Any]:
    return {"name": STAGE, "progress": round(percent, 1)}
