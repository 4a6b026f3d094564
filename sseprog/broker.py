"""The contract of a broker: where the logs of jobs live, and who is told when they grow."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from ._event import Event
from ._log import Entry, JobLog
from ._settings import Settings

__all__ = ["Broker", "Hold"]


class Hold(NamedTuple):
    """What `Broker.begin` gives to who holds a job from now on.

    ``attempt`` counts from 1; ``newest`` is the state that the job was found in, as JSON, where
    that could be learned in time.
    """

    token: str
    attempt: int
    newest: bytes | None


class Broker(ABC):
    """Keep jobs: their owner, their log, who holds them, and who wants them cancelled.

    Made by a `Hub` as ``SomeBroker(url, settings)``. Every method may be called from any thread,
    and is atomic: no other call, in this process or another, sees half of it. One that can't be
    reached in time raises `BrokerUnavailable`, but never to who reports: `create`, `begin` and
    `append` are carried out later then.

    **Logs.** `watch` gives a `JobLog`, the job as this process sees it. The log only ever grows,
    by appending, under `lock`; whoever reads it holds `lock` too. After each growth, and not
    before, the broker calls each ``wake`` that `watch` was given, without holding `lock`; a
    ``wake`` returns at once and does not raise. A log that has lost events, or whose job begins
    anew, is restarted under another epoch; one that can't be kept up to date any more is cut.

    **Holding.** `begin` hands out a token, and the newest token wins: what is appended with an
    older one is refused. So a process that was asleep while another took over can do no harm.
    Where processes share a broker, the holder's process renews a lease; a job whose lease is
    overdue becomes ``stalled``, and after a second lease ``lost``, once, whoever sees it first.

    **Ends.** After a terminal event a job accepts nothing: every method that would change it
    raises `JobEnded`. It is kept for ``settings.ttl`` seconds by the broker's clock, then unknown.

    Methods that are given an unknown job raise `JobNotFound`.
    """

    shared: ClassVar[bool]
    """Do other processes see what is appended here?"""

    lock: "threading.RLock"
    """Held while a log grows and while it is read. Reentrant, since the garbage collector may
    end a forgotten stream in the middle of any call."""

    @property
    def patience(self) -> float:
        """Seconds after which a job that `load` has not brought is not to be waited for."""
        return 0.0

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
        """Return the job's epoch and its newest event, as this process knows it."""

    @abstractmethod
    def recent(self, limit: int) -> list[tuple[str | None, Entry]]:
        """Return the owners and newest events of the ``limit`` jobs made last, newest first."""

    @abstractmethod
    def load(self, job_id: str, loaded: Callable[[bool | None], None]) -> None:
        """Get a job, so that `owner`, `newest` and `watch` need not wait for a while (seconds).

        Does not wait; calls ``loaded``, in any thread, with whether there is such a job, or with
        ``None`` if that can't be learned.
        """

    @abstractmethod
    def begin(
        self,
        job_id: str,
        stop: Callable[[str], None],
        *,
        resume: bool = False,
        owner: str | None = None,
    ) -> Hold:
        """Take hold of a job.

        ``stop`` is called with ``cancelled`` if `cancel` is, and with ``ended`` when the job is
        found to be another's, or over. ``resume``: an ended job too, unless it was
        cancelled; one that has been begun before starts a new attempt, with a new log. ``owner``
        is whose it is, where that is known and the job may have to be made anew, since it was lost.
        """

    @abstractmethod
    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        """Add an event to the job's log, numbered one above its newest.

        ``token=None`` speaks for a job that nobody holds yet, and is refused if one does.
        ``release``: hold the job no longer, though it has not ended.

        Raises `JobEnded` if that is known to be refused. Where processes share the broker that
        may be learned later, of which `begin`'s ``stop`` tells; nothing waits for it here.
        """

    @abstractmethod
    def flush(self, job_id: str, timeout: float) -> bool:
        """Wait until nothing that was appended to a job here is on its way; tell whether so."""

    @abstractmethod
    def cancel(self, job_id: str, event: Event) -> bool:
        """Ask the job's holder to stop; if nobody holds it, append ``event`` (terminal) instead.

        Return whether it was appended.
        """

    @abstractmethod
    def watch(self, job_id: str, wake: Callable[[], None]) -> JobLog:
        """Return the job's log, kept up to date from now on; call ``wake`` when it grows.

        `newest` or `load` has come before: nothing is waited for here, and `lock` may be held.
        """

    @abstractmethod
    def unwatch(self, job_id: str, wake: Callable[[], None]) -> None:
        """Stop calling ``wake``, which `watch` was given; an unknown one or job is no mistake."""

    @abstractmethod
    def close(self) -> None:
        """Give up connections and threads. Calling it again does nothing."""

    @abstractmethod
    def abandon(self) -> None:
        """Start anew in a process that was forked: connections and threads are its parent's."""
