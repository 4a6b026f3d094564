"""The contract of a store: where a broker that processes share keeps its jobs.

`SharedBroker` does everything else, in each process: it merges what waits, retries, wakes streams,
renews leases. A store writes, reads and listens, in one thread each; it blocks, and it raises
`BrokerUnavailable` when it can't. How to write one: docs/brokers.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from ._settings import Settings
from .errors import BrokerUnavailable

if TYPE_CHECKING:
    from ._listener import Listener

__all__ = [
    "REPLAY_AFTER_END",
    "Answer",
    "Append",
    "Begin",
    "BrokerUnavailable",
    "Cancel",
    "Create",
    "Expire",
    "Kind",
    "Line",
    "Rebase",
    "Renew",
    "Said",
    "Store",
    "View",
    "Want",
    "Write",
]

REPLAY_AFTER_END: Final = 60.0
"""Seconds that an ended job keeps its whole log, for browsers that are just reconnecting (they
back off by at most 30 s); then its terminal event is enough."""


Kind = Literal["p", "s", "c", "e"]

Said = Literal["ok", "asked", "unknown", "taken", "ended", "no"]


class Line(NamedTuple):
    """One event, as a store keeps it.

    ``kind``: ``p`` is a progress, ``s`` one that opens a stage, ``c`` complete, ``e`` an error.
    ``data``: the job's state as one line of JSON, which stores need not understand.
    """

    kind: Kind
    data: bytes

    @property
    def terminal(self) -> bool:
        """Tell whether nothing may follow."""
        return self.kind in {"c", "e"}


class Create(msgspec.Struct, frozen=True):
    """Make a job. ``ok``, or ``taken`` if there is one that has not ended."""

    job_id: str
    epoch: str
    owner: str | None
    line: Line


class Begin(msgspec.Struct, frozen=True):
    """Take hold of a job. ``ok``, ``unknown`` or ``ended``.

    ``resume``: an ended job too, unless somebody has cancelled it; and one that was begun before
    starts a new attempt: a new log, under ``epoch``, whose first event is ``line``.
    """

    job_id: str
    token: str
    epoch: str
    resume: bool
    line: Line


class Append(msgspec.Struct, frozen=True):
    """Add an event. ``ok``, ``unknown``, ``ended``, or ``taken`` if ``token`` holds no more.

    ``writer`` and ``number`` tell a repetition: it is not added again. ``seen`` is the number up
    to which ``epoch`` is known to have gone, where it is not ``""``: a log that is shorter, or of
    another epoch, has lost events, and goes on under the epoch ``spare``. ``release``: hold the
    job no longer.
    """

    job_id: str
    token: str | None
    writer: str
    number: int
    epoch: str
    seen: int
    spare: str
    line: Line
    release: bool = False


class Renew(msgspec.Struct, frozen=True):
    """Renew a lease. ``ok``, ``unknown``, ``ended``, or ``taken``."""

    job_id: str
    token: str


class Cancel(msgspec.Struct, frozen=True):
    """Tell the holder to stop: ``asked``; or where there is none that lives, add ``line``: ``ok``.

    Else ``unknown`` or ``ended``.
    """

    job_id: str
    line: Line


class Expire(msgspec.Struct, frozen=True):
    """Add ``line`` if the newest event is still ``seq``, and the holder's lease is overdue.

    By one lease for an error, once overdue for any other line. ``ok``, ``unknown`` or ``no``.
    """

    job_id: str
    epoch: str
    seq: int
    line: Line


class Rebase(msgspec.Struct, frozen=True):
    """Go on under the epoch ``spare``, from ``line``, if ``epoch`` has lost events that were seen.

    ``ok``, ``unknown`` or ``no``.
    """

    job_id: str
    epoch: str
    seen: int
    spare: str
    line: Line


Write = Create | Begin | Append | Renew | Cancel | Expire | Rebase


class Answer(NamedTuple):
    """What became of a `Write`; the rest is the job's after it, where there is one."""

    said: Said
    epoch: str = ""
    seq: int = -1
    attempt: int = 0
    cancel: bool = False
    stalled: bool = False


class Want(NamedTuple):
    """Which part of a log to read: what follows ``after``, if ``epoch`` is the job's; else all.

    ``newest``: the newest event only.
    """

    job_id: str
    epoch: str = ""
    after: int = -1
    newest: bool = False


class View(NamedTuple):
    """A job as it was read.

    ``lines`` are the events that were wanted and are kept: gapless, the last one is number
    ``seq``. ``lease``: seconds by the store's clock until the holder's lease is over, below 0 if
    it is overdue; ``None`` if nobody holds the job, or for ever.
    """

    job_id: str
    epoch: str
    seq: int
    owner: str | None
    lines: Sequence[Line]
    lease: float | None
    stalled: bool


class Store(ABC):
    """Keep jobs where several processes find them.

    `write` and `sweep` are called by one thread, `read` and `recent` by another, `listen` by a
    third; the three may run at once. All may raise `BrokerUnavailable`: they are called again,
    after a while.
    """

    @abstractmethod
    def __init__(self, url: str, settings: Settings) -> None:
        """Parse ``url``; raises `ValueError` naming what is wrong with it. Connect lazily."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The URL as logs may show it: without a password."""

    @abstractmethod
    def write(self, batch: Sequence[Write]) -> list[Answer]:
        """Carry out each of ``batch``, atomically and in order; return what became of each.

        What each does is written down once, in `sseprog._record.decide`: a store calls it within
        a transaction, or does the same in its own language. If it raises, any part of the batch
        may have been carried out, but of each job no write without those before it; the batch is
        repeated whole. Events that `listen` tells of, in any
        process, are there to be read.
        """

    @abstractmethod
    def read(self, wants: Sequence[Want]) -> list[View | None]:
        """Return what is kept of each wanted job, or ``None`` if there is none of that id."""

    @abstractmethod
    def recent(self, limit: int) -> list[str]:
        """Return the ids of the ``limit`` jobs made last, the newest first."""

    @abstractmethod
    def listen(self, listener: "Listener") -> None:
        """Tell ``listener`` what happens to its jobs, until it is closed.

        Raises `BrokerUnavailable` as soon as something may have been missed, which is within a
        few seconds also when the other end is mute. Where it is one of several servers, the store
        may name the jobs that are `unheard` and go on telling of the others.
        """

    @abstractmethod
    def sweep(self) -> None:
        """Let go of what is due to be forgotten; called by the writing thread, once a minute."""

    @abstractmethod
    def abandon(self) -> None:
        """Forget all connections, in a process that was forked: they are its parent's.

        Say nothing on them, and take no lock that another thread may have held.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up connections. Nothing else is called any more."""
