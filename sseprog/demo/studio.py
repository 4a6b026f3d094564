"""The videos of one demo: what people sent, the jobs made of it, and where the files are."""

import contextlib
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from .._event import Event
from ..errors import JobNotFound
from ..hookspecs import hookimpl
from ..hub import Hub
from ..progress import clean_text
from . import test_clip

__all__ = ["LADDER", "Studio", "Video"]

LADDER: Final = (1080, 720, 480, 360)
"""The rungs that the page offers."""

_LONGEST_NAME: Final = 200  # characters; file systems allow 255 bytes


@dataclass(frozen=True, slots=True)
class Video:
    """One job: ``name`` is the file's as its owner calls it, to be shown and nothing else.

    ``size`` is that of the original, in bytes, ``None`` for the test clip.
    """

    job_id: str
    name: str
    size: int | None
    ladder: tuple[int, ...]
    created_at: datetime
    upload: Path | None = None


class Studio:
    """Start jobs and list them; keep what they make in ``output``, each in a folder by its id.

    An upload is removed when its job has ended, whichever way.
    """

    def __init__(self, hub: Hub, output: Path) -> None:
        self.hub = hub
        self.output = output
        self._uploads = output / ".uploads"
        self._uploads.mkdir(parents=True, exist_ok=True)
        self._videos: dict[str, Video] = {}
        self._lock = threading.Lock()
        hub.plugins.register(test_clip, "the demo's test clip")
        hub.plugins.register(self, "the demo's studio")

    def new_upload(self) -> tuple[str, Path]:
        """Return the id for a new job, and where its original is to be written."""
        job_id = _new_id()
        self._uploads.mkdir(exist_ok=True)  # another demo may have removed it at its end
        return job_id, self._uploads / job_id

    def start_upload(self, job_id: str, name: str, upload: Path, ladder: Sequence[int]) -> Video:
        """Transcode what was written to ``upload``, and remove it afterwards."""
        size = upload.stat().st_size
        video = self._note(job_id, name, size, ladder, upload)
        return self._start(video, "ffmpeg", source=upload, format="mp4")

    def start_file(self, source: Path, ladder: Sequence[int]) -> Video:
        """Transcode a file of the person who started the demo; it stays as it is."""
        video = self._note(_new_id(), source.name, source.stat().st_size, ladder, None)
        return self._start(video, "ffmpeg", source=source, format="mp4")

    def start_test_clip(self, ladder: Sequence[int]) -> Video:
        """Make a clip and transcode it."""
        name = f"Test clip, {test_clip.SECONDS} seconds"
        return self._start(self._note(_new_id(), name, None, ladder, None), "test clip")

    def videos(self) -> list[dict[str, Any]]:
        """Describe all videos, the newest first, each with the state of its job."""
        with self._lock:
            videos = list(self._videos.values())
        described = []
        for video in reversed(videos):
            with contextlib.suppress(JobNotFound):  # it made room for a new one, at max_jobs
                job = self.hub.snapshot(video.job_id).to_json()
                described.append(
                    {
                        "name": video.name,
                        "size": video.size,
                        "ladder": video.ladder,
                        "created_at": video.created_at,
                        "job": msgspec.Raw(job),
                    }
                )
        return described

    def has(self, job_id: str) -> bool:
        """Tell whether the job was started here."""
        return job_id in self._videos

    def finished_file(self, job_id: str, name: str) -> Path | None:
        """Find a file that a job has made; ``None`` for all that is not inside its folder."""
        if not self.has(job_id):
            return None
        folder = (self.output / job_id).resolve()
        try:
            path = (folder / name).resolve()
            return path if path.is_relative_to(folder) and path.is_file() else None
        except (OSError, ValueError):  # too long, or with a NUL
            return None

    def close(self) -> None:
        """Remove the originals that are left; to be called when no job runs any more."""
        for video in self._videos.values():
            if video.upload is not None:
                video.upload.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another demo's are in it, or none ever was made
            self._uploads.rmdir()

    @hookimpl
    def sseprog_event(self, job_id: str, event: Event) -> None:
        """Remove a job's original with its end."""
        video = self._videos.get(job_id)
        if event.progress.ended and video is not None and video.upload is not None:
            video.upload.unlink(missing_ok=True)

    def _note(
        self, job_id: str, name: str, size: int | None, ladder: Sequence[int], upload: Path | None
    ) -> Video:
        shown = " ".join(clean_text(name).split())[:_LONGEST_NAME] or "Unnamed video"
        return Video(job_id, shown, size, tuple(ladder), datetime.now(UTC), upload)

    def _start(self, video: Video, emitter: str, **options: Any) -> Video:
        target = self.output / video.job_id
        with self._lock:
            # Listed before it runs, so that its end finds it; both or none.
            self._videos[video.job_id] = video
            try:
                self.hub.create(video.job_id)
            except BaseException:
                del self._videos[video.job_id]
                raise
        self.hub.start(emitter, job_id=video.job_id, target=target, ladder=video.ladder, **options)
        return video


def _new_id() -> str:
    return secrets.token_urlsafe(16)
