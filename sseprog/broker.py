"""The contract of a broker: where the logs of jobs live, and who is told when they grow."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar

from ._event import Event
from ._log import Entry, JobLog
from ._settings import Settings

__all__ = ["Broker"]


class Broker(ABC):
    """Keep jobs: their owner, their log, who holds them, and who wants them cancelled.

    Made by a `Hub` as ``SomeBroker(url, settings)``. Every method may be called from any thread,
    and is atomic: no other call, in this process or another, sees half of it.

    **Logs.** `watch` gives a `JobLog`, the job as this process sees it. The log only ever grows,
    by appending, under `lock`; whoever reads it holds `lock` too. After each growth, and not
    before, the broker calls each ``wake`` that `watch` was given, without holding `lock`; a
    ``wake`` returns at once and does not raise.

    **Holding.** `begin` hands out a token, and the newest token wins: `append` with an older one
    raises `JobEnded`. So a process that was asleep while another took over can do no harm.

    **Ends.** After a terminal event a job accepts nothing: every method that would change it
    raises `JobEnded`. It is kept for ``settings.ttl`` seconds by the broker's clock, then unknown.

    Methods that are given an unknown job raise `JobNotFound`.
    """

    shared: ClassVar[bool]
    """Do other processes see what is appended here?"""

    lock: "threading.RLock"
    """Held while a log grows and while it is read. Reentrant, since the garbage collector may
    end a forgotten stream in the middle of any call."""

    @abstractmethod
    def __init__(self, url: str, settings: Settings) -> None:
        """Parse ``url``; raises `ValueError` naming what is wrong with it. Connect lazily."""

    @abstractmethod
    def create(self, job_id: str, owner: str | None, first: Event) -> None:
        """Make a job whose log starts with ``first``, under a new epoch.

        An ended job of that id is replaced; `ValueError` if there is one that has not ended.
        `TooManyJobs` if ``settings.max_jobs`` are kept and none of them has ended.
        """

    @abstractmethod
    def owner(self, job_id: str) -> str | None:
        """Return whom the job was created for."""

    @abstractmethod
    def newest(self, job_id: str) -> tuple[str, Entry]:
        """Return the job's epoch and its newest event."""

    @abstractmethod
    def recent(self, limit: int) -> list[Entry]:
        """Return the newest event of each of the ``limit`` jobs made last, the newest job first."""

    @abstractmethod
    def begin(self, job_id: str, cancelled: Callable[[], None]) -> str:
        """Take hold of a job and return a new token; ``cancelled`` is called if `cancel` is."""

    @abstractmethod
    def append(self, job_id: str, event: Event, *, token: str | None) -> None:
        """Add an event to the job's log, numbered one above its newest.

        ``token=None`` speaks for a job that nobody holds yet, and raises `JobEnded` if one does.
        """

    @abstractmethod
    def renew(self, tokens: Iterable[tuple[str, str]]) -> list[str]:
        """Renew the leases of (job id, token) pairs; return the ids of those that are no more."""

    @abstractmethod
    def cancel(self, job_id: str, event: Event) -> bool:
        """Ask the job's holder to stop; if nobody holds it, append ``event`` (terminal) instead.

        Return whether it was appended.
        """

    @abstractmethod
    def watch(self, job_id: str, wake: Callable[[], None]) -> JobLog:
        """Return the job's log, kept up to date from now on; call ``wake`` when it grows."""

    @abstractmethod
    def unwatch(self, job_id: str, wake: Callable[[], None]) -> None:
        """Stop calling ``wake``, which `watch` was given; an unknown one or job is no mistake."""

    @abstractmethod
    def close(self) -> None:
        """Give up connections and threads. Calling it again does nothing."""
