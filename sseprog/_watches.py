"""The watches of jobs, each shared by all who look at that job from one place."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ._log import JobLog

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Watches"]


class Watch(Protocol):
    """What is woken when a job's log grows."""

    job_id: str
    log: JobLog
    users: int

    def wake(self) -> None:
        """Note that the log has grown. Any thread."""


W = TypeVar("W", bound=Watch)


class Watches(Generic[W]):
    """Make a watch of a job at its first user, and give it back with its last.

    The caller keeps calls apart: by the event loop that they all come from, or by a lock.
    """

    def __init__(self, hub: "Hub", make: Callable[[str], W]) -> None:
        self._hub = hub
        self._make = make
        self._by_job: dict[str, W] = {}
        self.used: set[W] = set()  # also those of jobs that have ended, and begun anew since
        self.forgotten: deque[W] = deque()

    def watch(self, job_id: str) -> W:
        """Share one watch of a job. Raises `JobNotFound`."""
        self.tidy()
        watch = self._by_job.get(job_id)
        if watch is None or watch.log.ended or watch.log.cut:
            watch = self._by_job[job_id] = self._make(job_id)
            self.used.add(watch)
        watch.users += 1
        return watch

    def unwatch(self, watch: W) -> None:
        """Give back what `watch` gave."""
        watch.users -= 1
        if watch.users == 0:
            self.used.discard(watch)
            self._hub.broker.unwatch(watch.job_id, watch.wake)
            if self._by_job.get(watch.job_id) is watch:
                del self._by_job[watch.job_id]

    def forget(self, watch: W) -> None:
        """Give back what `watch` gave, later. For finalisers: any thread, amid any statement."""
        self.forgotten.append(watch)

    def tidy(self) -> None:
        """Give back what was forgotten."""
        while self.forgotten:
            self.unwatch(self.forgotten.popleft())
