"""The watches of jobs, each shared by all who look at the same jobs from one place."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from ._log import JobLog

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["BaseWatch", "Watches"]


class BaseWatch:
    """Be woken when the log of a job, or of one of several, grows."""

    __slots__ = ("_hub", "job_ids", "logs", "users")

    def __init__(self, hub: "Hub", job_ids: tuple[str, ...]) -> None:
        self._hub = hub
        self.job_ids = job_ids
        self.users = 0
        self.logs: tuple[JobLog, ...] = ()
        try:
            for job_id in job_ids:
                self.logs += (hub.broker.watch(job_id, self.wake),)
        except BaseException:
            self.close()
            raise

    @property
    def over(self) -> bool:
        """Tell whether a job's log grows no more: the job of that name may be another by now."""
        for log in self.logs:  # noqa: SIM110 - a generator would cost as much as all the rest
            if log.ended or log.cut:
                return True
        return False

    def wake(self) -> None:
        """Note that a log has grown. Any thread."""
        raise NotImplementedError

    def close(self) -> None:
        """Be woken no more."""
        for job_id, _ in zip(self.job_ids, self.logs, strict=False):
            self._hub.broker.unwatch(job_id, self.wake)


W = TypeVar("W", bound=BaseWatch)


class Watches(Generic[W]):
    """Make a watch at its first user, and give it back with its last.

    The caller keeps calls apart: by the event loop that they all come from, or by a lock.
    """

    def __init__(self, make: Callable[[tuple[str, ...]], W]) -> None:
        self._make = make
        self._by_jobs: dict[tuple[str, ...], W] = {}
        self.used: set[W] = set()  # also those of jobs that have ended, and begun anew since
        self.forgotten: deque[W] = deque()

    def watch(self, jobs: str | tuple[str, ...]) -> W:
        """Share one watch of a job, or of several. Raises `JobNotFound`."""
        self.tidy()
        job_ids = (jobs,) if isinstance(jobs, str) else jobs
        watch = self._by_jobs.get(job_ids)
        if watch is None or watch.over:
            watch = self._by_jobs[job_ids] = self._make(job_ids)
            self.used.add(watch)
        watch.users += 1
        return watch

    def unwatch(self, watch: W) -> None:
        """Give back what `watch` gave."""
        watch.users -= 1
        if watch.users == 0:
            self.used.discard(watch)
            watch.close()
            if self._by_jobs.get(watch.job_ids) is watch:
                del self._by_jobs[watch.job_ids]

    def forget(self, watch: W) -> None:
        """Give back what `watch` gave, later. For finalisers: any thread, amid any statement."""
        self.forgotten.append(watch)

    def tidy(self) -> None:
        """Give back what was forgotten."""
        while self.forgotten:
            self.unwatch(self.forgotten.popleft())
