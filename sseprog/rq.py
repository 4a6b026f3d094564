"""Show the progress of RQ's jobs: each has a job of sseprog's too, of the same id.

    class ShownJob(ProgressJob):
        hub = Hub("redis://localhost:6379/0")

    queue = Queue(connection=redis, job_class=ShownJob)

    $ rq worker --job-class my_module.ShownJob

See docs/queues.md.
"""

from contextlib import suppress
from typing import Any, ClassVar, Final, Self, cast

from . import _queues
from ._ending import CANCELLED, FAILED
from ._meta import report
from ._queues import current_job, owned_by, run_emitter
from .errors import JobCancelled, JobEnded, JobFailed, JobNotFound, MissingExtra
from .hub import Hub

try:
    from rq.job import Job, JobStatus, Retry
    from rq.timeouts import JobTimeoutException
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"redis", "rq"}:
        raise
    raise MissingExtra('sseprog.rq needs RQ: pip install "sseprog[rq]"') from error

__all__ = ["OWNER_META", "ProgressJob", "current_job", "owned_by", "run_emitter"]

OWNER_META: Final = "sseprog_owner"
"""The key of an RQ job's ``meta`` that says whom it is for."""


class ProgressJob(Job):
    """An RQ job that is shown. Subclass it with a ``hub``, and give that to queues and workers.

    Pending from before it is enqueued; what the function stores by ``save_meta()`` is shown too.
    Cancelled by ``hub.cancel(id)``, in mid-run as well, or RQ's own ``cancel()``.
    """

    hub: ClassVar[Hub]
    """Where the jobs are shown."""

    _given_back = False

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Self:
        job = super().create(*args, **kwargs)
        owner = job.meta.get(OWNER_META)
        if owner is None and (owner := _queues.owner_here()) is not None:
            job.meta[OWNER_META] = owner
        _queues.create(cls.hub, job.id, owner)
        return cast(Self, job)

    def perform(self) -> Any:
        run = _queues.begin(self.hub, self.id, self.meta.get(OWNER_META), self)
        try:
            if run.refused:
                raise JobCancelled(f"job {self.id!r} was cancelled before it began")
            result = super().perform()
        except BaseException as error:
            if isinstance(error, (JobCancelled, JobEnded)):
                self.retries_left = 0  # somebody wants it to end, or another attempt goes on
            if self.should_retry:
                self._given_back = True
                _queues.postpone(run)
            elif isinstance(error, JobTimeoutException):
                _queues.finish(run, _queues.timed_out())
            else:
                _queues.finish(run, error)
            raise
        if isinstance(result, Retry) and (self.number_of_retries or 0) < result.max:
            _queues.postpone(run)
        else:
            _queues.finish(run, JobFailed(FAILED) if isinstance(result, Retry) else None)
        return result

    def save_meta(self) -> None:
        super().save_meta()  # type: ignore[no-untyped-call]
        run = _queues.current_run()
        if run is not None and run.task is self:
            report(
                run.job, {name: value for name, value in self.meta.items() if name != OWNER_META}
            )

    def cancel(self, *args: Any, **kwargs: Any) -> Any:
        cancelled = super().cancel(*args, **kwargs)
        with suppress(JobEnded, JobNotFound, ValueError):
            self.hub.cancel(self.id)
        return cancelled

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        if not self._given_back:  # by its own process, which is dead then; this is the worker
            _queues.give_back(self.hub, self.id)
        return super().retry(*args, **kwargs)

    def _handle_failure(self, exc_string: str, *args: Any, **kwargs: Any) -> None:
        super()._handle_failure(exc_string, *args, **kwargs)
        # An end that the job's own process has told stays; else that process is dead.
        stopped = self.get_status(refresh=False) == JobStatus.STOPPED
        _queues.end(self.hub, self.id, CANCELLED if stopped else _queues.LOST)
