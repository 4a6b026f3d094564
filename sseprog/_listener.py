"""What a store's `listen` tells a broker, and what it listens to."""

import socket
from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol

from .errors import BrokerUnavailable
from .store import Line

__all__ = ["Bell", "Changes", "Listener"]


class Changes(NamedTuple):
    """The jobs that have come and gone since they were asked for last."""

    watch: Collection[str]
    """Whose events are wanted from now on, ..."""
    unwatch: Collection[str]
    """... and no more."""
    hold: Collection[str]
    """Which this process holds from now on, and would be told to stop, ..."""
    let_go: Collection[str]
    """... and no more."""


class Listener(Protocol):
    """Whoever wants to know what happens to some jobs."""

    bell: "Bell"
    """Readable when there are `changes`, or it is `closed`, since it was last cleared."""

    @property
    def closed(self) -> bool:
        """Whether nobody listens any more: `Store.listen` returns soon."""

    def changes(self) -> Changes:
        """Return what came and went since the last call; in each `Store.listen` all is new.

        None comes twice, or goes without having come. What went and came back meanwhile, or the
        other way round, is not named.
        """

    def ready(self, job_ids: Iterable[str]) -> None:
        """Note that whatever happens to these jobs from now on is told.

        The store says so once each time that a job comes to be watched.
        """

    def unheard(self, job_ids: Iterable[str], error: BrokerUnavailable) -> None:
        """Note that what happens to some jobs is not told for now, until they are `ready` again.

        For stores that have several servers: where nothing is told any more, `Store.listen` raises.
        It is said of those that are watched, whether they were ready or not, once a second at
        least; those that go meanwhile are handed over as gone when they are ready.
        """

    def news(self, job_id: str, epoch: str, seq: int, line: Line) -> None:
        """Take an event. Of a job that nobody watches, or told before, it is dropped."""

    def changed(self, job_id: str) -> None:
        """Note that a job has changed, to be read: for stores that don't tell what is new."""

    def asked(self, job_id: str) -> None:
        """Note that a job is to stop: it is looked up who holds it."""


class Bell:
    """Wake a thread that waits in ``select`` for other things too."""

    def __init__(self) -> None:
        self._reads, self._writes = socket.socketpair()
        self._reads.setblocking(False)
        self._writes.setblocking(False)

    def fileno(self) -> int:
        """Return what to ``select`` for reading."""
        return self._reads.fileno()

    def ring(self) -> None:
        """Make it readable. Any thread."""
        try:
            self._writes.send(b"!")
        except OSError:  # it is, thousandfold; or nobody waits any more
            return

    def clear(self) -> None:
        """Make it silent, before looking at what has changed."""
        try:
            while self._reads.recv(4096):
                pass
        except OSError:  # there is no more
            return

    def close(self) -> None:
        """Give up its sockets."""
        self._reads.close()
        self._writes.close()
