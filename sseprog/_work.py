"""Run emitters: drive a generator to its end, in this thread or in one of a bounded pool."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .errors import JobCancelled, JobEnded, JobFailed, JobNotFound
from .progress import Progress

if TYPE_CHECKING:
    from .hub import Hub
    from .job import Job

__all__ = ["Work", "Workers", "drive"]

logger = logging.getLogger("sseprog")

Work = Iterator[Progress] | AsyncGenerator[Progress, None]


def drive(job: "Job", work: Work) -> None:
    """Report all that an emitter yields; close it, whatever happens.

    What a generator returns, if it is a mapping, becomes the details of ``complete``.
    """
    if isinstance(work, AsyncGenerator):
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
        if isinstance(work, Generator):
            _close(job, work)


async def _drive_async(job: "Job", work: AsyncGenerator[Progress, None]) -> None:
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
        raise JobCancelled(f"job {job.id!r} was cancelled") from None
    finally:
        job._on_stop = None
        await _aclose(job, work)


async def _report_all(job: "Job", work: AsyncGenerator[Progress, None]) -> None:
    async for progress in work:
        job.report(progress)


def _close(job: "Job", work: Generator[Progress, Any, Any]) -> None:
    """Let a generator clean up; what goes wrong there must not hide why the job ended."""
    try:
        work.close()
    except Exception:
        logger.exception("job %s: its emitter failed while it was closed", job.id)


async def _aclose(job: "Job", work: AsyncGenerator[Progress, None]) -> None:
    try:
        await work.aclose()
    except Exception:
        logger.exception("job %s: its emitter failed while it was closed", job.id)


class Workers:
    """Threads that run jobs one after another, at most ``limit`` at a time.

    Threads are started when there is work and end when there is none. Jobs that wait are told
    their place in the queue.
    """

    def __init__(self, hub: "Hub", limit: int) -> None:
        self._hub = hub
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def submit(self, job_id: str, run: Callable[[], None]) -> None:
        """Run ``run`` as soon as a thread is free. Raises `RuntimeError` once closed."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the hub is closed: it starts no more jobs")
            self._waiting.append((job_id, run))
            if len(self._threads) < self._limit:
                # A daemon, so that the interpreter may end; hub.close() stops the work before.
                thread = threading.Thread(target=self._run, name="sseprog-worker", daemon=True)
                self._threads.add(thread)
                thread.start()
        self._tell_places()

    def discard(self, job_id: str) -> None:
        """Take a job that was cancelled out of the queue."""
        with self._lock:
            kept = deque(item for item in self._waiting if item[0] != job_id)
            if len(kept) == len(self._waiting):
                return
            self._waiting = kept
        self._tell_places()

    def close(self, timeout: float) -> list[str]:
        """Start nothing more, wait for what runs; return the ids of jobs that never started."""
        with self._lock:
            self._closed = True
            left = [job_id for job_id, _ in self._waiting]
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
                _, run = self._waiting.popleft()
            self._tell_places()
            run()

    def _tell_places(self) -> None:
        with self._lock:
            places = [job_id for job_id, _ in self._waiting]
        for place, job_id in enumerate(places, start=1):
            waiting = Progress(
                None,
                message=f"Waiting: number {place} in the queue",
                details={"queue_position": place},
                status="pending",
                job_id=job_id,
                updated_at=datetime.now(UTC),
            )
            try:
                self._hub.publish(waiting, token=None)
            except (JobEnded, JobNotFound):
                logger.debug("job %s left the queue meanwhile", job_id)


def run_and_log(job_id: str, run: Callable[[], object]) -> None:
    """Run a job in a worker: whoever watches it has its outcome, and nobody else waits for it."""
    try:
        run()
    except (JobCancelled, JobEnded, JobFailed) as error:
        logger.info("job %s: %s", job_id, type(error).__name__)
    except BaseException:  # a sys.exit() too: it may end the job, but not the worker
        logger.debug("job %s ended with an error that was logged", job_id)
