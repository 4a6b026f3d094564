"""The broker for one process: everything in memory, nothing to run."""

import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

from sseprog._event import Event
from sseprog._log import Entry, JobLog
from sseprog._settings import Settings
from sseprog.broker import Broker, Hold
from sseprog.errors import JobEnded, JobNotFound, TooManyJobs
from sseprog.progress import Progress
from sseprog.store import REPLAY_AFTER_END, Line

__all__ = ["MemoryBroker"]


class _Job:
    """What the broker knows of one job."""

    __slots__ = ("asked", "attempt", "ended_at", "log", "owner", "stop", "token", "wakes")

    def __init__(self, owner: str | None, log: JobLog) -> None:
        self.owner = owner
        self.log = log
        self.token: str | None = None
        self.stop: Callable[[str], None] | None = None
        self.attempt = 0
        self.asked = False  # to stop, by whoever has cancelled it
        self.ended_at = 0.0
        # Replaced, never changed, so that it can be walked through without the lock.
        self.wakes: tuple[Callable[[], None], ...] = ()


class MemoryBroker(Broker):
    """Keep jobs in this process; the broker's log is the very log that streams read."""

    shared = False

    def __init__(self, url: str, settings: Settings) -> None:
        if url not in {"memory:", "memory://"}:
            raise ValueError(f"broker {url!r} takes nothing after memory://")
        self.lock = threading.RLock()
        self._settings = settings
        self._jobs: dict[str, _Job] = {}
        # Both in the order of ending, so that the next one due is always the first.
        self._whole: dict[str, _Job] = {}
        self._ended: dict[str, _Job] = {}

    def create(self, job_id: str, owner: str | None, first: Event) -> None:
        with self.lock:
            self._sweep()
            known = self._jobs.get(job_id)
            if known is not None:
                if not known.log.ended:
                    raise ValueError(f"job {job_id!r} exists and has not ended: use hub.job(...)")
                self._forget(job_id)
            self._make_room()
            log = JobLog.of(secrets.token_hex(4), first, retention=self._settings.retention)
            self._jobs[job_id] = _Job(owner, log)

    def owner(self, job_id: str) -> str | None:
        with self.lock:
            return self._find(job_id).owner

    def newest(self, job_id: str) -> tuple[str, Entry]:
        with self.lock:
            log = self._find(job_id).log
            return log.epoch, log.newest

    def recent(self, limit: int) -> list[tuple[str | None, Entry]]:
        with self.lock:
            self._sweep()
            newest = islice(reversed(self._jobs.values()), limit)
            return [(job.owner, job.log.newest) for job in newest]

    def load(self, job_id: str, loaded: Callable[[bool | None], None]) -> None:
        with self.lock:
            self._sweep()
            found = job_id in self._jobs
        loaded(found)

    def begin(
        self,
        job_id: str,
        stop: Callable[[str], None],
        *,
        resume: bool = False,
        owner: str | None = None,
    ) -> Hold:
        with self.lock:
            job = self._find(job_id)
            if job.log.ended and (job.asked or not resume):
                raise JobEnded(f"job {job_id!r} has ended")
            wakes: tuple[Callable[[], None], ...] = ()
            again = resume and (job.attempt > 0 or job.log.ended)
            if again:
                self._ended.pop(job_id, None)
                self._whole.pop(job_id, None)
                waiting = Progress(status="pending", job_id=job_id, updated_at=datetime.now(UTC))
                job.log.restart(secrets.token_hex(4), 0, [Line("s", waiting.to_json())])
                wakes = job.wakes
            if again or job.attempt == 0:
                job.attempt += 1
            job.token = secrets.token_hex(8)
            replaced, job.stop = job.stop, stop
            hold = Hold(job.token, job.attempt, job.log.newest.data)
            asked = job.asked
        if replaced is not None:
            replaced("ended")
        if asked:
            stop("cancelled")
        for wake in wakes:
            wake()
        return hold

    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        with self.lock:
            job = self._find_live(job_id)
            if job.token != token:
                raise JobEnded(f"job {job_id!r} is held by another hub.job(...) now")
            wakes = self._append(job_id, job, event)
            if release:
                job.token = job.stop = None
        for wake in wakes:
            wake()

    def flush(self, job_id: str, timeout: float) -> bool:
        """Do nothing: what was appended is there."""
        return True

    def cancel(self, job_id: str, event: Event) -> bool:
        with self.lock:
            job = self._find_live(job_id)
            stop = job.stop
            job.asked = True
            wakes = self._append(job_id, job, event) if stop is None else ()
        if stop is not None:
            stop("cancelled")
            return False
        for wake in wakes:
            wake()
        return True

    def watch(self, job_id: str, wake: Callable[[], None]) -> JobLog:
        with self.lock:
            job = self._find(job_id)
            job.wakes = (*job.wakes, wake)
            return job.log

    def unwatch(self, job_id: str, wake: Callable[[], None]) -> None:
        with self.lock:
            job = self._jobs.get(job_id)
            if job is not None:
                job.wakes = tuple(other for other in job.wakes if other != wake)

    def close(self) -> None:
        """Do nothing: jobs can be read as long as the hub is there."""

    def abandon(self) -> None:
        """Keep the jobs of before the fork; what happens to them there is not seen here."""
        self.lock = threading.RLock()

    def _append(self, job_id: str, job: _Job, event: Event) -> tuple[Callable[[], None], ...]:
        if job.log.append(event).terminal:
            job.token = job.stop = None
            job.ended_at = time.monotonic()
            self._whole[job_id] = self._ended[job_id] = job
            self._sweep()
        return job.wakes

    def _find(self, job_id: str) -> _Job:
        if self._ended:
            self._sweep()
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFound(f"there is no job {job_id!r}") from None

    def _find_live(self, job_id: str) -> _Job:
        job = self._find(job_id)
        if job.log.ended:
            raise JobEnded(f"job {job_id!r} has ended")
        return job

    def _forget(self, job_id: str) -> None:
        del self._jobs[job_id]
        self._ended.pop(job_id, None)
        self._whole.pop(job_id, None)

    def _make_room(self) -> None:
        limit = self._settings.max_jobs
        if limit is None or len(self._jobs) < limit:
            return
        oldest = next(iter(self._ended), None)
        if oldest is None:
            raise TooManyJobs(f"max_jobs={limit} jobs are pending or running")
        self._forget(oldest)

    def _sweep(self) -> None:
        """Let go of what is due; a call with nothing due costs two look-ups."""
        now = time.monotonic()
        while self._whole:
            job_id, job = next(iter(self._whole.items()))
            if now - job.ended_at < REPLAY_AFTER_END:
                break
            job.log.shrink()
            del self._whole[job_id]
        while self._settings.ttl is not None and self._ended:
            job_id, job = next(iter(self._ended.items()))
            if now - job.ended_at < self._settings.ttl:
                break
            self._forget(job_id)
