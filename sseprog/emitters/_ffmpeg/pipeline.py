"""The job itself: its stages in order, from a source to a folder that was checked."""

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from ...errors import JobFailed
from ...progress import Progress
from . import report as stages
from .command import KEY_FRAME, MP4, PLAYLIST, POSTER, SPRITE, Commands
from .failure import DISK_FULL, failed
from .ladder import Rung, choose_rungs
from .playlist import NotWhole, Stream, read_master, read_rung, write_master
from .probe import Media, describe, duration_of, probe
from .report import Report
from .run import Beat, Ended, run
from .source import Source
from .thumbnails import plan_sprite
from .verify import (
    check_frames,
    check_jpeg,
    check_not_shorter,
    check_same_length,
    cut_short,
    is_shorter,
    not_whole,
    tolerance,
)
from .workspace import is_full, is_nearly_full, make_folder, publish, workspace, write_text

_log: Final = logging.getLogger("sseprog.ffmpeg")

MASTER: Final = "master.m3u8"
VTT: Final = "thumbnails.vtt"

_SAY_WAITING: Final = 1 / 6  # of the stall timeout: after 10 s by default
_POSTER_AT: Final = 0.1  # of the duration: past a black beginning
_POSTER_FIRST: Final = 2.0  # seconds: of what is shorter, the first frame, since seeking may miss
_SILENT_RUN: Final = 10  # runs that tell nothing until they end get so many stall timeouts

_MAY_BE_THE_DISK: Final = frozenset({"transcode_failed", "output_invalid", "input_invalid"})

Result = TypeVar("Result")
Steps = Generator[Progress, None, None]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, checked."""

    source: Source
    target: Path
    ladder: tuple[int, ...]
    mp4: bool
    stall_timeout: float


class Pipeline:
    """One job, to be iterated once: ``yield from pipeline.run()``."""

    def __init__(self, ffmpeg: str, builder: ModuleType, request: Request) -> None:
        self._ffmpeg = ffmpeg
        self._commands = Commands(ffmpeg, builder)
        self._request = request
        self._report = Report(time.monotonic)
        self._streams: list[Stream] = []
        self._made = 0  # bytes of the finished rungs

    def run(self) -> Generator[Progress, None, dict[str, Any]]:
        """Yield the progress of each stage; return the details of `complete`."""
        with workspace(self._request.target) as work:
            try:
                details = yield from self._stages(work)
            except NotWhole as error:
                raise not_whole(work, error) from error
            except JobFailed as error:
                _log.error("%a was not transcoded: %s", self._request.source.shown, error.code)
                if error.code in _MAY_BE_THE_DISK and is_full(work):
                    raise JobFailed(DISK_FULL, code="disk_full") from error
                raise
            publish(work, self._request.target)
        return details

    def _stages(self, work: Path) -> Generator[Progress, None, dict[str, Any]]:
        media = yield from self._probe(work)
        rungs = choose_rungs(self._request.ladder, media.width, media.height)
        self._plan(rungs, media.duration)
        for rung in rungs:
            yield from self._transcode(work, media, rung)
            if rung is rungs[0] and media.duration is None:
                self._plan(rungs, self._duration)
        yield from self._package(work)
        yield from self._draw(work)
        yield from self._verify(work, rungs)
        return self._details()

    @property
    def _duration(self) -> float:
        return self._streams[0].duration

    def _plan(self, rungs: list[Rung], duration: float | None) -> None:
        self._report.plan(stages.weigh(rungs, duration, mp4=self._request.mp4))

    def _probe(self, work: Path) -> Generator[Progress, None, Media]:
        yield self._report.now(stages.PROBING, 0.0)
        probing = probe(
            self._ffmpeg,
            self._request.source,
            cwd=str(work),
            stall_timeout=self._request.stall_timeout,
        )
        return (yield from _telling(probing, self._teller(stages.PROBING)))

    def _transcode(self, work: Path, media: Media, rung: Rung) -> Steps:
        name = stages.transcoding(rung)
        folder = work / rung.name
        make_folder(folder)
        expected = self._duration if self._streams else media.duration

        def tell(beat: Beat) -> Progress:
            if is_nearly_full(folder) and is_full(folder):
                raise JobFailed(DISK_FULL, code="disk_full")
            at = beat.reading.seconds or 0.0
            # Joined recordings say how long the first is: then nobody knows how long they all are.
            whole = expected if expected and at <= expected + tolerance(expected) else None
            return self._report.now(
                name,
                at / whole if whole else None,
                self._waiting(beat) or _position(at, whole),
                speed=beat.reading.speed,
                fps=beat.reading.fps,
                size=self._made + _size(folder),
            )

        yield self._report.now(
            name, 0.0 if expected else None, rung=rung.name, speed=None, fps=None
        )
        ended = yield from self._run(
            name, self._commands.transcode(self._request.source, media, rung), folder, tell
        )
        stream = read_rung(
            work, rung, PLAYLIST, frames=ended.reading.frame, sound=media.audio is not None
        )
        if (
            media.promised
            and expected is not None
            and is_shorter(stream.duration, expected, ended.stderr)
        ):
            yield from self._check_end(work, media, stream, expected, ended.stderr)
        self._streams.append(stream)
        self._made += stream.size
        length = stream.duration
        yield self._report.now(name, 1.0, _position(length, length), size=self._made)

    def _check_end(
        self, work: Path, media: Media, stream: Stream, promised: float, stderr: str
    ) -> Steps:
        """See whether the source is cut, or has a stream that is not used and lasts longer."""
        name = stages.transcoding(stream.rung)
        for index in range(media.streams):
            command = self._commands.read_stream(self._request.source, index)
            patience = _SILENT_RUN * self._request.stall_timeout
            ended = yield from _telling(
                run(command, cwd=str(work), stall_timeout=patience),
                lambda beat: self._report.now(name, 1.0, self._waiting(beat)),
            )
            if not is_shorter(ended.reading.seconds or 0.0, promised, stderr + ended.stderr):
                return
        raise cut_short(stream.duration, promised)

    def _package(self, work: Path) -> Steps:
        name = stages.PACKAGING
        yield self._report.now(name, 0.0, rung=None, speed=None, fps=None)
        write_text(work / MASTER, write_master(self._streams))
        if self._request.mp4:
            remux = self._commands.remux(self._streams[0].rung)
            yield from self._run(name, remux, work, self._teller(name, share=1.0))

    def _draw(self, work: Path) -> Steps:
        name = stages.THUMBNAILS
        yield self._report.now(name, 0.0)
        top, least = self._streams[0].rung, self._streams[-1].rung
        at = self._duration * _POSTER_AT if self._duration >= _POSTER_FIRST else 0.0
        poster = self._commands.poster(top, at)
        yield from self._run(name, poster, work, self._teller(name))
        sprite = plan_sprite(least.width, least.height, self._duration, KEY_FRAME)
        drawing = self._commands.sprite(least, sprite)
        yield from self._run(name, drawing, work, self._teller(name, start=0.3))
        write_text(work / VTT, sprite.to_vtt(SPRITE))

    def _verify(self, work: Path, rungs: Sequence[Rung]) -> Steps:
        name = stages.VERIFYING
        yield self._report.now(name, 0.0)
        if read_master(work / MASTER) != [f"{rung.name}/{PLAYLIST}" for rung in rungs]:
            raise NotWhole("the master playlist doesn't list every rung")
        share = 1 / len(rungs)
        for done, stream in enumerate(self._streams):
            tell = self._teller(name, start=done * share, share=share)
            reading = self._commands.read_all(stream.rung)
            ended = yield from self._run(name, reading, work, tell)
            check_same_length(stream.playlist, ended.reading.seconds, self._duration)
            check_frames(stream.playlist, ended.reading.frame, stream.frames)
        if self._request.mp4:
            describing = describe(
                self._ffmpeg,
                self._commands.describe(MP4),
                cwd=str(work),
                stall_timeout=self._request.stall_timeout,
            )
            report = yield from _telling(describing, self._teller(name, start=1.0))
            check_not_shorter(MP4, duration_of(report), self._duration)
        check_jpeg(work / POSTER)
        check_jpeg(work / SPRITE)
        yield self._report.now(name, 1.0)

    def _run(
        self, doing: str, command: list[str], cwd: Path, tell: Callable[[Beat], Progress]
    ) -> Generator[Progress, None, Ended]:
        patience = 1 if doing.startswith("transcoding") else _SILENT_RUN
        ended = yield from _telling(
            run(command, cwd=str(cwd), stall_timeout=patience * self._request.stall_timeout), tell
        )
        if ended.returncode:
            raise failed(doing, ended, ours=not doing.startswith("transcoding"))
        return ended

    def _teller(
        self, stage: str, *, start: float = 0.0, share: float = 0.0
    ) -> Callable[[Beat], Progress]:
        """Tell a stage's progress by a run that is ``share`` of it, from ``start`` on."""

        def tell(beat: Beat) -> Progress:
            done = share and share * min(1.0, (beat.reading.seconds or 0.0) / self._duration)
            return self._report.now(stage, start + done, self._waiting(beat))

        return tell

    def _waiting(self, beat: Beat) -> str:
        if beat.quiet < _SAY_WAITING * self._request.stall_timeout:
            return ""
        return f"waiting for ffmpeg: no progress for {beat.quiet:.0f} s"

    def _details(self) -> dict[str, Any]:
        """Name what a page needs; segments, of which there may be thousands, are only counted."""
        mp4 = {"mp4": MP4} if self._request.mp4 else {}
        return self._report.details() | {
            "files": [
                MASTER,
                *(stream.playlist for stream in self._streams),
                *mp4.values(),
                POSTER,
                SPRITE,
                VTT,
            ],
            "master": MASTER,
            "rungs": [stream.to_details() for stream in self._streams],
            "duration": round(self._duration, 3),
            "poster": POSTER,
            "sprite": SPRITE,
            "thumbnails": VTT,
            **mp4,
        }


def _telling(
    running: Generator[Beat, None, Result], tell: Callable[[Beat], Progress]
) -> Generator[Progress, None, Result]:
    """Yield a `Progress` for each `Beat`; return what the run returns, end it if we are ended."""
    with contextlib.closing(running):
        while True:
            try:
                beat = next(running)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            yield tell(beat)


def _position(at: float, expected: float | None) -> str:
    return f"{_clock(min(at, expected))} of {_clock(expected)}" if expected else _clock(at)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _size(folder: Path) -> int:
    total = 0
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # ffmpeg has renamed it just now
            total += file.stat().st_size
    return total
