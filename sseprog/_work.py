"""Run emitters: drive a generator to its end, in this thread or in one of a bounded pool."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ._event import Event
from .errors import JobCancelled, JobEnded, JobFailed, JobNotFound
from .progress import Progress

if TYPE_CHECKING:
    from .hub import Hub
    from .job import Job

__all__ = ["Work", "Workers", "drive"]

logger = logging.getLogger("sseprog")

Work = Iterator[Progress] | AsyncIterator[Progress]


def drive(job: "Job", work: Work) -> None:
    """Report all that an emitter yields; close it, whatever happens.

    What a generator returns, if it is a mapping, becomes the details of ``complete``.
    """
    if isinstance(work, AsyncIterator):
        asyncio.run(_drive_async(job, work))
        return
    try:
        while True:
            job.report(next(work))
    except StopIteration as end:
        if isinstance(end.value, Mapping):
            job._complete_with(end.value)
        elif end.value is not None:
            raise TypeError(f"an emitter returns a mapping or None, not {end.value!r}") from None
    finally:
        _close(job, work)


async def _drive_async(job: "Job", work: AsyncIterator[Progress]) -> None:
    loop = asyncio.get_running_loop()
    reading = asyncio.ensure_future(_report_all(job, work))

    def stop() -> None:
        with suppress(RuntimeError):  # the loop is closed: the work is over
            loop.call_soon_threadsafe(reading.cancel)

    job._on_stop = stop
    if job.cancelled:  # before there was anything to call
        stop()
    try:
        await reading
    except asyncio.CancelledError:
        if not job.cancelled:
            raise
        job._check()  # says why
        raise
    finally:
        job._on_stop = None
        await _aclose(job, work)


async def _report_all(job: "Job", work: AsyncIterator[Progress]) -> None:
    async for progress in work:
        job.report(progress)


def _close(job: "Job", work: Iterator[Progress]) -> None:
    """Let a generator clean up; what goes wrong there must not hide why the job ended."""
    try:
        if hasattr(work, "close"):
            work.close()
    except Exception:
        logger.exception("job %s: its emitter failed while it was closed", job.id)


async def _aclose(job: "Job", work: AsyncIterator[Progress]) -> None:
    try:
        if hasattr(work, "aclose"):
            await work.aclose()
    except Exception:
        logger.exception("job %s: its emitter failed while it was closed", job.id)


class Workers:
    """Threads that run jobs one after another, at most ``limit`` at a time.

    Threads are started when there is work and end when there is none. Jobs that wait are told
    their place in the queue: a new one at once, the others soon after the queue has moved.
    """

    def __init__(self, hub: "Hub", limit: int) -> None:
        self._hub = hub
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: dict[str, Callable[[], object]] = {}
        self._threads: set[threading.Thread] = set()
        self._closed = False
        # Held while places are looked up and told, so that no job is told an older one last.
        self._telling = threading.RLock()
        self._told: dict[str, int] = {}
        self._tell_planned = False

    def submit(self, job_id: str, run: Callable[[], object]) -> None:
        """Run ``run`` as soon as a thread is free.

        Raises `ValueError` for a job that waits already, `RuntimeError` once closed.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the hub is closed: it starts no more jobs")
            if job_id in self._waiting:
                raise ValueError(f"job {job_id!r} is in the queue already")
            self._waiting[job_id] = run
            # Not those of the process that this one was forked from.
            self._threads = {thread for thread in self._threads if thread.is_alive()}
            if len(self._threads) < self._limit:
                # A daemon, so that the interpreter may end; hub.close() stops the work before.
                thread = threading.Thread(target=self._run, name="sseprog-worker", daemon=True)
                thread.start()
                self._threads.add(thread)
                return
        with self._telling:
            if (place := self._places().get(job_id)) is not None:
                self._tell(job_id, place)

    def discard(self, job_id: str) -> None:
        """Take a job that was cancelled out of the queue."""
        with self._lock:
            moved = self._waiting.pop(job_id, None) is not None
        if moved:
            self._plan_telling()

    def close(self, timeout: float) -> list[str]:
        """Start nothing more, wait for what runs; return the ids of jobs that never started."""
        with self._lock:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            threads = [
                thread for thread in self._threads if thread is not threading.current_thread()
            ]
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return left

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads.discard(threading.current_thread())
                    return
                job_id = next(iter(self._waiting))
                run = self._waiting.pop(job_id)
                moved = bool(self._waiting)
            if moved:
                self._plan_telling()
            _run_and_log(job_id, run)

    def _plan_telling(self) -> None:
        """Have the places told once, however often the queue moves until then."""
        with self._lock:
            if self._tell_planned:
                return
            self._tell_planned = True
        self._hub.timer.at(time.monotonic() + (self._hub.settings.throttle or 0.0), self._tell_all)

    def _tell_all(self) -> None:
        with self._telling:
            with self._lock:
                self._tell_planned = False
            places = self._places()
            for job_id, place in places.items():
                if self._told.get(job_id) != place:
                    self._tell(job_id, place)
            self._told = places

    def _places(self) -> dict[str, int]:
        with self._lock:
            return {job_id: place for place, job_id in enumerate(self._waiting, start=1)}

    def _tell(self, job_id: str, place: int) -> None:
        waiting = Progress(
            message=f"Waiting: number {place} in the queue",
            details={"queue_position": place},
            status="pending",
            job_id=job_id,
            updated_at=datetime.now(UTC),
        )
        try:
            self._hub.publish(Event.of(waiting), token=None)
        except (JobEnded, JobNotFound):
            logger.debug("job %s left the queue meanwhile", job_id)


def _run_and_log(job_id: str, run: Callable[[], object]) -> None:
    """Run a job in a worker: whoever watches it has its outcome, and nobody else waits for it."""
    try:
        run()
    except (JobCancelled, JobEnded, JobFailed) as error:
        logger.info("job %s: %s", job_id, type(error).__name__)
    except BaseException:  # a sys.exit() too: it may end the job, but not the worker
        logger.debug("job %s ended with an error that was logged", job_id)
