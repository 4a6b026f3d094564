"""A job as its emitter sees it: report, be throttled, be cancelled, end exactly once."""

import asyncio
import logging
import threading
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

from ._ending import INTERRUPTED, Ending, ending_by, fitting
from ._event import Event
from ._reports import Reports
from ._track import Track
from .errors import JobCancelled, JobEnded
from .progress import Progress, check_details, check_eta, check_percent, check_text, rfc3339

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Job"]

T = TypeVar("T")

logger = logging.getLogger("sseprog")

_TOO_LATE: Final = "job %s ended as %s too late: it had ended before, or was taken over"


class Job:
    """Report a job's progress, inside ``with hub.job(job_id) as job:`` or ``async with``.

    Entering makes the job ``running``; leaving ends it: ``complete`` in the ordinary way, else
    ``error``. The text of `JobFailed` is shown to whoever watches; any other exception's is
    replaced by "The job failed." and a reference, ``details.reference``, that is in the log too.
    Exceptions pass through.

    Its methods may be called from any thread, and never block.
    """

    def __init__(
        self, hub: "Hub", job_id: str, *, resume: bool = False, owner: str | None = None
    ) -> None:
        self.id = job_id
        self._hub = hub
        self._resume = resume
        self._owner = owner
        self._token: str | None = None
        # Reentrant: a publish may run a stream's send(), and that the application's code.
        self._lock = threading.RLock()
        self._stop: str = ""  # why the work is to stop, as details.code says it
        self._on_stop: Callable[[], object] | None = None
        self._postponed = False
        self._tracks: list[Track] = []  # the loops that are being tracked, innermost last
        self._reports = Reports(
            job_id,
            self._append,
            lock=self._lock,
            timer=hub.timer,
            throttle=hub.settings.throttle,
        )

    def __repr__(self) -> str:
        return f"<Job {self.id!r}>"

    @property
    def state(self) -> Progress:
        """The newest state that was published. Raises `JobEnded` before the job has begun."""
        published = self._reports.published
        if published is None:
            raise self._not_begun()
        return published.progress

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
        if stage is not UNSET and stage is not self._reports.stage:  # as it is in most loops
            stage = check_text("stage", stage)
        if message is not UNSET:
            message = check_text("message", message)
        if details is not UNSET:
            details = check_details(details)
        if eta is not None:
            eta = check_eta(eta)
        with self._lock:
            self._check()
            reports = self._reports
            if reports.counting is not None:
                reports.read(reports.counting)  # what is said now is newer
            if stage is not UNSET:
                reports.begin_stage(stage)
            if message is not UNSET:
                reports.set_message(message)
            if details is not UNSET:
                reports.details = details
            if progress is not UNSET:
                reports.set_progress(progress)
            if eta is not None or progress is not UNSET or stage is not UNSET:
                reports.eta = eta
            reports.submit()

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
        span: tuple[float, float] | None = ...,
    ) -> Iterator[T]: ...
    @overload
    def track(
        self,
        iterable: AsyncIterable[T],
        *,
        stage: str | UnsetType = ...,
        total: int | None = ...,
        span: tuple[float, float] | None = ...,
    ) -> AsyncIterator[T]: ...
    def track(
        self,
        iterable: Iterable[T] | AsyncIterable[T],
        *,
        stage: str | UnsetType = UNSET,
        total: int | None = None,
        span: tuple[float, float] | None = None,
    ) -> Iterator[T] | AsyncIterator[T]:
        """Pass on the items of ``iterable`` and report how many are done, as ``tqdm`` does.

        An item counts when the next is asked for. ``total`` is taken from ``len()`` where there
        is one; without it the progress is unknown. ``span`` is the share of the whole job, in
        percent, that the items make up: the whole by default, and in a loop inside a tracked one
        the share of the outer one's item. ``details`` gets ``n``, ``total`` and ``rate`` (items a
        second); the message is ``n of total`` unless the loop sets one of its own.
        """
        if span is not None:
            low, high = span = (check_percent(span[0]), check_percent(span[1]))
            if low > high:
                raise ValueError(f"span {span!r} ends before it begins")
        if total is None and isinstance(iterable, Sized):
            with suppress(TypeError, ValueError, OverflowError):  # some can't tell, and say so
                total = len(iterable)
        if total is not None and (isinstance(total, bool) or not isinstance(total, int)):
            raise TypeError(f"total is a whole number or None, not {total!r}")
        if total is not None and total < 0:
            raise ValueError(f"total {total!r} is below 0")
        if stage is not UNSET:
            stage = check_text("stage", stage)
        track = Track(self, stage=stage, total=total, span=span)
        if isinstance(iterable, AsyncIterable):
            return track.over_async(iterable)
        return track.over(iterable)

    def _begin_track(self, track: Track, stage: str | UnsetType) -> None:
        with self._lock:
            self._check()
            self._reports.read(self._reports.counting)
            if stage is not UNSET:
                self._reports.begin_stage(stage)
            self._tracks.append(track)
            self._reports.read(track)
            self._reports.submit()

    def _count(self, track: Track) -> None:
        with self._lock:
            self._check()
            self._reports.counting = track
            self._reports.submit()

    def _end_track(self, track: Track, *, complete: bool) -> None:
        """Note that a loop is over: at its end, or left half-way, and then maybe long ago."""
        with self._lock:
            if track not in self._tracks or self._reports.ended:
                return
            self._tracks.remove(track)
            if complete:
                self._check()
                self._reports.read(track)
                self._reports.submit()
            elif self._reports.counting is track:
                self._reports.read(track)
                self._reports.submit_later()

    def _check(self) -> None:
        if self._stop or self._reports.ended or self._token is None:
            raise self._refusal()

    def _refusal(self) -> JobEnded | JobCancelled:
        if self._reports.ended:
            return JobEnded(f"job {self.id!r} has ended, or was taken over")
        if self._token is None:
            return self._not_begun()
        if self._stop == "ended":
            return JobEnded(f"job {self.id!r} has ended, or was taken over")
        return JobCancelled(f"job {self.id!r} was cancelled")

    def _not_begun(self) -> JobEnded:
        return JobEnded(f"job {self.id!r} has not begun: use it in a with block")

    def _append(self, event: Event) -> None:
        # A pending job is nobody's: `postpone` gives it back.
        release = event.state.status == "pending"
        self._hub.publish(event, token=self._token, release=release)

    def _request_stop(self, code: str) -> None:
        """Have the next report raise, and wake an emitter that can be woken. Any thread."""
        if self._stop:
            return  # the first reason counts, and who cleans up is left in peace
        self._stop = code
        self._reports.counting = None  # so that the next item looks
        wake = self._on_stop  # read once: the emitter's thread may be taking it away
        if wake is not None:
            wake()

    def _interrupt(self) -> None:
        """End the job, whose process ends, though its own code hasn't come to that. Any thread."""
        with self._lock:
            if not self._reports.ended:
                self._end(INTERRUPTED)

    def __enter__(self) -> Self:
        if self._token is not None:
            raise JobEnded(f"job {self.id!r}: a Job is used once; call hub.job() again")
        hold = self._hub.hold(self, resume=self._resume)
        self._token = hold.token
        try:
            with self._lock:
                self._reports.started_at = rfc3339(datetime.now(UTC))
                if self._resume:
                    self._reports.attempt = hold.attempt
                if hold.newest is not None and not (self._resume and hold.attempt > 1):
                    before = Progress.from_json(hold.newest)  # of whom this one takes over from
                    self._reports.set_progress(before.progress)
                    self._reports.started_at = (
                        rfc3339(before.started_at) or self._reports.started_at
                    )
                self._reports.publish("running")
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
        try:
            with self._lock:
                if self._stop == "ended":
                    self._reports.ended = True
                if isinstance(error, JobEnded) and self._reports.ended:
                    return  # told by this very error
                self._end(ending_by(self.id, error, interrupted=self._stop == "interrupted"))
            self._hub.flush(self.id)
        finally:
            self._hub.release(self)

    async def __aenter__(self) -> Self:
        if self._hub.broker.shared:  # which may have to be waited for
            return await self._enter_in_a_thread()
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._hub.broker.shared:
            leaving = asyncio.to_thread(self.__exit__, kind, error, traceback)
            await asyncio.shield(leaving)
        else:
            self.__exit__(kind, error, traceback)

    async def _enter_in_a_thread(self) -> Self:
        entering = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError as error:
            # The thread goes on, and takes hold of the job, which nobody would let go of then.
            await asyncio.wait([entering])
            if entering.exception() is None:
                await asyncio.to_thread(self.__exit__, type(error), error, None)
            raise

    def _end(self, ending: Ending) -> None:
        reports = self._reports
        if self._postponed:
            return
        if reports.ended:
            logger.warning(_TOO_LATE, self.id, ending.status)
            return
        reports.read(reports.counting)
        if ending.status == "completed":
            reports.set_progress(100.0)
        if ending.message is not None:
            reports.set_message(ending.message)
        # Too much together: why it ended matters more than where it was.
        reports.details = fitting({**reports.details, **ending.details}, ending.details)
        reports.eta = None
        try:
            reports.publish(ending.status)
        except JobEnded:
            logger.warning(_TOO_LATE, self.id, ending.status)
        except Exception:  # of the broker's; the work is done, and not to blame
            logger.exception("job %s: its end, %s, can't be published", self.id, ending.status)
        reports.ended = True

    def postpone(self, message: str = "") -> None:
        """Give the job back, pending, to be taken up again with ``resume=True``.

        For work that is tried again later: the job has not ended, but nobody holds it any more,
        so that neither its end nor its silence counts. Leave its block after that.
        """
        message = check_text("message", message)
        with self._lock:
            self._check()
            self._reports.counting = None
            self._reports.set_message(message)
            self._reports.eta = None
            self._reports.publish("pending")
            self._reports.ended = self._postponed = True
        self._hub.flush(self.id)

    def _complete_with(self, details: Mapping[str, Any]) -> None:
        """Make ``details`` those of the end; what an emitter returns."""
        with self._lock:
            self._reports.counting = None
            self._reports.details = fitting(details, self._reports.details)
