"""What a job has reported, merged until it is published: newest wins, and the last goes out."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ._ending import fitting
from ._event import Event
from ._timer import Timer
from ._track import Track
from .errors import JobEnded
from .progress import Status, WireState, check_details, rfc3339, shortest

__all__ = ["Reports"]


class Reports:
    """A job's state as it was reported, which may be newer than the state as it was published.

    The caller holds ``lock`` around every call. ``append`` puts an event into the job's log, and
    raises `JobEnded` if the job is another's now.
    """

    def __init__(
        self,
        job_id: str,
        append: Callable[[Event], None],
        *,
        lock: threading.RLock,
        timer: Timer,
        throttle: float | None,
    ) -> None:
        self.progress: float | None = None
        self.stage = ""
        self.message = ""
        self.details: dict[str, Any] = {}
        self.eta: float | None = None
        self.started_at: str | None = None  # as it is written
        self.counting: Track | None = None  # whose count is read when the next state is published
        self.ended = False
        self.attempt: int | None = None  # which one this is, where they are counted
        self._job_id = job_id
        self._append = append
        self._lock = lock
        self._timer = timer
        self._throttle = throttle or 0.0
        self._highest = 0.0
        self._message_of: Track | None = None  # who has set the message, if a track has
        self._changed = False
        self.published: Event | None = None
        self._published_at = 0.0
        self._flush_planned = False

    def set_progress(self, progress: float | None) -> None:
        """Take a percentage over; it never goes backwards."""
        if progress is not None:
            if progress > self._highest:
                self._highest = progress
            progress = self._highest
        self.progress = progress

    def set_message(self, message: str, *, by: Track | None = None) -> None:
        """Take a message over; a track's own does not replace what somebody has said."""
        if by is None or not self.message or self._message_of is not None:
            self.message, self._message_of = message, by

    def begin_stage(self, stage: str) -> None:
        """Take a stage over; a new one begins without a message."""
        if stage != self.stage:
            self.stage = stage
            self.message, self._message_of = "", None

    def read(self, track: Track | None) -> None:
        """Make a track's count the state."""
        self.counting = None
        if track is None:
            return
        self.set_progress(track.observe(time.monotonic()))
        self.set_message(track.message, by=track)
        with suppress(ValueError):  # what the loop's own details leave no room for is left out
            self.details = check_details({**self.details, **track.details})
        self.eta = track.eta

    def submit(self) -> None:
        """Publish what has changed: now, or when the throttle allows it."""
        self._changed = True
        before = self.published
        if (
            before is None
            or time.monotonic() - self._published_at >= self._throttle
            or self.stage != before.state.stage
            or (self.progress == 100 and before.state.progress != 100)
        ):
            self.publish("running")
        elif not self._flush_planned:
            self._plan_flush()

    def submit_later(self) -> None:
        """Publish what has changed when the throttle allows it, in the timer's thread."""
        self._changed = True
        self._plan_flush()

    def publish(self, status: Status) -> None:
        """Append the state to the job's log. Raises `JobEnded` if the job was taken over."""
        if self.counting is not None:
            self.read(self.counting)
        details = self.details
        if self.attempt is not None:
            details = fitting({**details, "attempt": self.attempt}, details)
        # Not a Progress, which would check anew what was checked when it was reported.
        state = WireState(
            self._job_id,
            status,
            self.stage,
            shortest(self.progress),
            self.message,
            details,
            shortest(self.eta),
            self.started_at,
            rfc3339(datetime.now(UTC)),
        )
        self._changed = False
        self.published = event = Event.carrying(state)
        self._published_at = time.monotonic()
        try:
            self._append(event)
        except JobEnded:
            self.ended = True
            raise

    def _plan_flush(self) -> None:
        if not self._flush_planned:
            self._flush_planned = True
            self._timer.at(self._published_at + self._throttle, self._flush)

    def _flush(self) -> None:
        with self._lock:
            self._flush_planned = False
            if not self._changed or self.ended:
                return
            if time.monotonic() < self._published_at + self._throttle:
                self._plan_flush()  # something that could not wait went out meanwhile
                return
            with suppress(JobEnded):  # the next update() says so
                self.publish("running")
