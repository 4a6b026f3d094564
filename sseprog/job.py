"""A job as its emitter sees it: report, be throttled, be cancelled, end exactly once."""

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sized,
)
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, SupportsFloat, TypeVar, overload

from msgspec import UNSET, UnsetType

from ._track import Track
from .errors import JobCancelled, JobEnded, JobFailed
from .progress import (
    Progress,
    Status,
    check_details,
    check_eta,
    check_percent,
    check_text,
    clean_text,
)

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Job"]

T = TypeVar("T")

logger = logging.getLogger("sseprog")

FAILED: Final = "The job failed."
INTERRUPTED: Final = "The job was interrupted: its process was stopped."
CANCELLED: Final = "The job was cancelled."


class Job:
    """Report a job's progress, inside ``with hub.job(job_id) as job:`` or ``async with``.

    Entering makes the job ``running``; leaving ends it: ``complete`` in the ordinary way, else
    ``error``. The text of `JobFailed` is shown to whoever watches; any other exception's is
    replaced by "The job failed." and a reference, ``details.reference``, that is in the log too.
    Exceptions pass through.

    Its methods may be called from any thread, and never block.
    """

    def __init__(self, hub: "Hub", job_id: str) -> None:
        self.id = job_id
        self._hub = hub
        self._token: str | None = None
        # Reentrant: a publish may run a stream's send(), and that the application's code.
        self._lock = threading.RLock()
        self._started_at: datetime | None = None
        self._ended = False
        self._stop: str = ""  # why the work is to stop, as details.code says it
        self._on_stop: Callable[[], object] | None = None
        # The state as reported, which may be newer than the state as published.
        self._progress: float | None = None
        self._highest = 0.0
        self._stage = ""
        self._message = ""
        self._details: Mapping[str, Any] = {}
        self._eta: float | None = None
        self._changed = False
        self._published: Progress | None = None
        self._published_at = 0.0
        self._flush_planned = False
        self._track: Track | None = None  # whose count is to be published at the next flush

    def __repr__(self) -> str:
        return f"<Job {self.id!r}>"

    @property
    def cancelled(self) -> bool:
        """Tell whether the work is to stop: cancelled, or the process is ending."""
        return bool(self._stop)

    def update(
        self,
        progress: SupportsFloat | UnsetType | None = UNSET,
        *,
        stage: str | UnsetType = UNSET,
        message: str | UnsetType = UNSET,
        details: Mapping[str, Any] | UnsetType = UNSET,
        eta: SupportsFloat | None = None,
    ) -> None:
        """Report where the job is; what is not given stays as it was.

        ``progress`` is in percent of the whole job, 0 to 100, or ``None`` for *unknown*; a value
        below an earlier one counts as that one, since progress never goes backwards. A new
        ``stage`` begins with an empty message. ``eta``, in seconds, holds until a report gives a
        progress or a stage.

        Reports within ``throttle`` seconds of the last are merged, newest wins; a new stage and
        100 % go out at once. Raises `JobCancelled` if the job was cancelled, `JobEnded` if it has
        ended, and `TypeError` or `ValueError` for a value that can't be, which changes nothing.
        """
        if progress is not UNSET and progress is not None:
            progress = check_percent(progress)
        if stage is not UNSET:
            check_text("stage", stage)
        if message is not UNSET:
            check_text("message", message)
        if details is not UNSET:
            details = check_details(details)
        if eta is not None:
            eta = check_eta(eta)
        with self._lock:
            self._check()
            self._begin_stage(stage)
            if message is not UNSET:
                self._message = message
            if details is not UNSET:
                self._details = details
            if progress is not UNSET:
                self._set_progress(progress)
            if eta is not None or progress is not UNSET or stage is not UNSET:
                self._eta = eta
            self._report()

    def report(self, progress: object) -> None:
        """Report a whole state, the `Progress` that an emitter yields. Otherwise as `update`."""
        if not isinstance(progress, Progress):
            kind = type(progress).__name__
            raise TypeError(f"an emitter yields Progress(...), not {kind}: {progress!r}")
        self.update(
            progress.progress,
            stage=progress.stage,
            message=progress.message,
            details=progress.details,
            eta=progress.eta,
        )

    @overload
    def track(
        self,
        iterable: Iterable[T],
        *,
        stage: str | UnsetType = ...,
        total: int | None = ...,
        span: tuple[float, float] = ...,
    ) -> Iterator[T]: ...
    @overload
    def track(
        self,
        iterable: AsyncIterable[T],
        *,
        stage: str | UnsetType = ...,
        total: int | None = ...,
        span: tuple[float, float] = ...,
    ) -> AsyncIterator[T]: ...
    def track(
        self,
        iterable: Iterable[T] | AsyncIterable[T],
        *,
        stage: str | UnsetType = UNSET,
        total: int | None = None,
        span: tuple[float, float] = (0.0, 100.0),
    ) -> Iterator[T] | AsyncIterator[T]:
        """Pass on the items of ``iterable`` and report how many are done, as ``tqdm`` does.

        An item counts when the next is asked for. ``total`` is taken from ``len()`` where there
        is one; without it the progress is unknown. ``span`` is the share of the whole job, in
        percent, that the items make up. ``details`` gets ``n``, ``total`` and ``rate`` (items a
        second); the message is ``n of total`` unless the loop sets one of its own.
        """
        low, high = (check_percent(bound) for bound in span)
        if low > high:
            raise ValueError(f"span {span!r} ends before it begins")
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        if total is not None and (isinstance(total, bool) or not isinstance(total, int)):
            raise TypeError(f"total is a whole number or None, not {total!r}")
        if total is not None and total < 0:
            raise ValueError(f"total {total!r} is below 0")
        if stage is not UNSET:
            check_text("stage", stage)
        track = Track(total, low, high)
        if isinstance(iterable, AsyncIterable):
            return self._track_async(iterable, track, stage)
        return self._track_sync(iterable, track, stage)

    def _track_sync(
        self, iterable: Iterable[T], track: Track, stage: str | UnsetType
    ) -> Iterator[T]:
        self._begin_track(track, stage)
        for item in iterable:
            yield item
            track.n += 1
            # While a flush is planned it will read the count by itself: most items cost this line.
            if self._track is not track:
                self._count(track)
        self._end_track(track)

    async def _track_async(
        self, iterable: AsyncIterable[T], track: Track, stage: str | UnsetType
    ) -> AsyncIterator[T]:
        self._begin_track(track, stage)
        async for item in iterable:
            yield item
            track.n += 1
            if self._track is not track:
                self._count(track)
        self._end_track(track)

    def _begin_track(self, track: Track, stage: str | UnsetType) -> None:
        with self._lock:
            self._check()
            self._begin_stage(stage)
            self._apply(track)
            self._report()

    def _count(self, track: Track) -> None:
        with self._lock:
            self._check()
            self._track = track
            self._report()

    def _end_track(self, track: Track) -> None:
        with self._lock:
            self._check()
            track.done()
            self._apply(track)
            self._report()

    def _apply(self, track: Track) -> None:
        """Make a track's count the state."""
        self._track = None
        message_is_ours = self._message in {"", track.message}
        self._set_progress(track.observe(time.monotonic()))
        if message_is_ours:
            self._message = track.message
        with suppress(ValueError):  # what the loop's own details leave no room for is left out
            self._details = check_details({**self._details, **track.details})
        self._eta = track.eta

    def _begin_stage(self, stage: str | UnsetType) -> None:
        if stage is not UNSET and stage != self._stage:
            self._stage = stage
            self._message = ""

    def _set_progress(self, progress: float | None) -> None:
        if progress is not None:
            progress = self._highest = max(progress, self._highest)
        self._progress = progress

    def _check(self) -> None:
        if self._ended:
            raise JobEnded(f"job {self.id!r} has ended, or was taken over")
        if self._token is None:
            raise JobEnded(f"job {self.id!r} has not begun: use it in a with block")
        if self._stop:
            raise JobCancelled(f"job {self.id!r} was cancelled")

    def _report(self) -> None:
        """Publish what has changed, now or when the throttle allows it."""
        self._changed = True
        before = self._published
        throttle = self._hub.settings.throttle or 0.0
        now = time.monotonic()
        if (
            before is None
            or now - self._published_at >= throttle
            or self._stage != before.stage
            or (self._progress == 100 and before.progress != 100)
        ):
            self._publish("running")
        elif not self._flush_planned:
            self._flush_planned = True
            self._hub.timer.at(self._published_at + throttle, self._flush)

    def _flush(self) -> None:
        """Publish what the throttle held back. Called by the hub's timer."""
        with self._lock:
            self._flush_planned = False
            if self._changed and not self._ended:
                with suppress(JobEnded):  # the next update() says so
                    self._publish("running")

    def _publish(self, status: Status) -> None:
        if self._track is not None:
            self._apply(self._track)
        state = Progress(
            self._progress,
            stage=self._stage,
            message=self._message,
            details=dict(self._details),
            eta=self._eta,
            status=status,
            job_id=self.id,
            started_at=self._started_at,
            updated_at=datetime.now(UTC),
        )
        self._changed = False
        self._published = state
        self._published_at = time.monotonic()
        try:
            self._hub.publish(state, token=self._token)
        except JobEnded:  # it was taken over
            self._ended = True
            raise

    def _request_stop(self, code: str) -> None:
        """Have the next report raise, and wake an emitter that can be woken. Any thread."""
        self._stop = code
        self._track = None  # so that the next item looks
        wake = self._on_stop  # read once: the emitter's thread may be taking it away
        if wake is not None:
            wake()

    def __enter__(self) -> Self:
        if self._token is not None:
            raise JobEnded(f"job {self.id!r}: a Job is used once; call hub.job() again")
        self._token = self._hub.hold(self)
        try:
            with self._lock:
                self._started_at = datetime.now(UTC)
                self._publish("running")
        except BaseException:
            self._hub.release(self)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            if self._track is not None:
                self._apply(self._track)
            if error is None:
                self._end("completed", 100.0, self._message, self._details)
            elif isinstance(error, JobFailed):
                self._fail(error)
            elif self._stop == "interrupted" or isinstance(error, (KeyboardInterrupt, SystemExit)):
                self._end_badly("failed", INTERRUPTED, {"code": "interrupted"})
            elif isinstance(error, (JobCancelled, asyncio.CancelledError, GeneratorExit)):
                self._end_badly("cancelled", CANCELLED, {"code": "cancelled"})
            elif not (isinstance(error, JobEnded) and self._ended):
                self._fail_unexpectedly(error)
        self._hub.release(self)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _fail(self, error: JobFailed) -> None:
        try:
            more = {**check_details(error.details), "code": clean_text(str(error.code))}
        except (TypeError, ValueError):
            logger.exception("job %s: the details of JobFailed can't be shown", self.id)
            more = {"code": clean_text(str(error.code))}
        self._end_badly("failed", clean_text(str(error.message)) or FAILED, more)

    def _fail_unexpectedly(self, error: BaseException) -> None:
        reference = secrets.token_hex(4)
        logger.error("job %s failed; reference %s", self.id, reference, exc_info=error)
        self._end_badly("failed", FAILED, {"code": "unexpected", "reference": reference})

    def _end_badly(self, status: Status, message: str, more: dict[str, Any]) -> None:
        details = {**self._details, **more}
        try:
            check_details(details)
        except ValueError:  # too much together; why it failed matters more than where it was
            details = more
        self._end(status, self._progress, message, details)

    def _end(
        self, status: Status, progress: float | None, message: str, details: Mapping[str, Any]
    ) -> None:
        if self._ended:
            logger.warning("job %s ended as %s, but had ended before", self.id, status)
            return
        self._progress, self._message, self._details = progress, message, details
        self._eta = None
        self._ended = True
        try:
            self._publish(status)
        except JobEnded:
            logger.warning("job %s was taken over before it ended as %s", self.id, status)

    def _complete_with(self, details: Mapping[str, Any]) -> None:
        """Make ``details`` those of the end; what an emitter returns."""
        with self._lock:
            self._details = check_details(details)
