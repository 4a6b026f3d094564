"""What the tests of a broker's contract have in common."""

# ruff: noqa: S101 - these are tests, which pytest runs

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from .._event import Event
from .._log import JobLog
from ..broker import Broker
from ..errors import JobEnded
from ..progress import Progress, Status

__all__ = ["GRACE", "PATIENCE", "Asked", "Watcher", "append", "event_of", "eventually", "refuses"]

PATIENCE = 10.0
"""Seconds within which a broker tells what it has to tell; a right one takes milliseconds."""

GRACE = 0.2
"""Seconds that a test waits to see that nothing comes."""


def event_of(
    job_id: str, progress: float | None = None, status: Status = "running", stage: str = ""
) -> Event:
    """Make an event as a hub does."""
    now = datetime.now(UTC)
    return Event.of(Progress(progress, stage=stage, status=status, job_id=job_id, updated_at=now))


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until ``condition`` holds, which nobody announces; fail with ``what`` if it doesn't."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def append(
    broker: Broker, job_id: str, event: Event, token: str | None, *, release: bool = False
) -> None:
    """Append an event and wait until the broker has it."""
    broker.append(job_id, event, token=token, release=release)
    assert broker.flush(job_id, PATIENCE), "what was appended is still on its way"


def refuses(broker: Broker, job_id: str, event: Event, token: str | None) -> bool:
    """Append what must not be taken; tell whether it was refused then and there."""
    try:
        append(broker, job_id, event, token)
    except JobEnded:
        return True
    return False


class Asked:
    """A ``stop`` that can be waited for."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self._called = threading.Condition()

    def __call__(self, reason: str) -> None:
        with self._called:
            self.reasons.append(reason)
            self._called.notify_all()

    def to(self, reason: str, seconds: float | None = None) -> bool:
        """Wait until it is called with ``reason``."""
        with self._called:
            seconds = PATIENCE if seconds is None else seconds
            return self._called.wait_for(lambda: reason in self.reasons, seconds)


class Watcher:
    """Somebody who watches a job, as a stream does."""

    def __init__(self, broker: Broker, job_id: str) -> None:
        self.calls = 0
        self._called = threading.Condition()
        self._lock = broker.lock
        broker.newest(job_id)  # which may have to be read, with no lock held
        with broker.lock:
            self.log: JobLog = broker.watch(job_id, self.wake)

    def wake(self) -> None:
        with self._called:
            self.calls += 1
            self._called.notify_all()

    def sees(self, condition: Callable[[JobLog], bool]) -> bool:
        """Wait until the log is as it should be, looking again at each wake only."""

        def look() -> bool:
            with self._lock:
                return condition(self.log)

        with self._called:
            before = look()
            return before or self._called.wait_for(look, PATIENCE)

    def has(self, seq: int) -> bool:
        """Wait until the log has the event ``seq``."""
        return self.sees(lambda log: log.newest.seq >= seq)

    def numbers(self, first: int, last: int) -> list[bytes]:
        """Return the ids of a run of events, as their frames have them."""
        with self._lock:
            return [self.log.status(seq).partition(b"\n")[0] for seq in range(first, last + 1)]

    def woken(self) -> bool:
        with self._called:
            return self._called.wait_for(lambda: self.calls > 0, PATIENCE)

    def left_alone(self) -> bool:
        with self._called:
            return not self._called.wait_for(lambda: self.calls > 0, GRACE)
