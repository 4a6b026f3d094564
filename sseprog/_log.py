"""The log of one job: its newest events as bytes, and the arithmetic of cursors into it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, Self

import msgspec

from ._event import Cursor, Event
from .store import Kind, Line

__all__ = ["Entry", "JobLog", "line_of"]

_KINDS: Final[Mapping[str, Kind]] = {"progress": "p", "complete": "c", "error": "e"}
_NAMES: Final[Mapping[Kind, bytes]] = {
    "p": b"progress",
    "s": b"progress",
    "c": b"complete",
    "e": b"error",
}


_NOTHING_JOINED: Final[tuple[int | None, bool, bool, bytes]] = (None, False, False, b"")


class Entry(msgspec.Struct, frozen=True, gc=False):  # one per event, and of no cycle
    """One event as the log keeps it: nothing but its bytes and what conflation has to know."""

    seq: int
    frame: bytes
    data_at: int
    opens_stage: bool
    terminal: bool

    @property
    def data(self) -> bytes:
        """The job's state at this event, as JSON."""
        return self.frame[self.data_at : -2]

    @property
    def line(self) -> Line:
        """The event as stores keep it."""
        if self.terminal:
            return Line(
                "c" if b"event: complete\n" in self.frame[: self.data_at] else "e", self.data
            )
        return Line("s" if self.opens_stage else "p", self.data)


class JobLog:
    """A bounded, gapless run of a job's events, each serialised once.

    Pure: no clock, no lock, no I/O. Whoever lets several threads at it holds a lock around every
    call. The event with ``seq`` 0 is the state at the job's creation; at least the newest event
    is always kept, and nothing follows a terminal one.

    ``retention``: how many events are kept; ``None`` keeps all. ``cut``: nobody adds to the log
    any more, though the job goes on; its streams end, and their clients come back.
    """

    __slots__ = ("_entries", "_head", "_joined", "_stage", "cut", "epoch", "newest", "retention")

    def __init__(
        self, epoch: str, seq: int, lines: Sequence[Line], *, retention: int | None
    ) -> None:
        """Start with one event or more, the last of which is number ``seq``."""
        self.retention = retention
        self.cut = False
        self.restart(epoch, seq, lines)

    @classmethod
    def of(cls, epoch: str, first: Event, *, retention: int | None) -> Self:
        """Make the log of a new job."""
        log = cls(epoch, 0, [line_of(first, None)], retention=retention)
        log._stage = first.state.stage
        return log

    def restart(self, epoch: str, seq: int, lines: Sequence[Line]) -> None:
        """Forget what there was; the last of ``lines`` is number ``seq``. Streams see a gap."""
        self.epoch = epoch
        self._head = f"id: {epoch}-".encode()
        self._entries: list[Entry] = []
        self._stage: str | None = None
        self._joined = _NOTHING_JOINED
        for number, line in enumerate(lines, start=seq + 1 - len(lines)):
            self.newest: Entry = self._add(number, line.kind, line.data)

    @property
    def ended(self) -> bool:
        """Tell whether the terminal event is here."""
        return self.newest.terminal

    @property
    def cursor(self) -> Cursor:
        """The cursor of the newest event."""
        return Cursor(self.epoch, self.newest.seq)

    @property
    def oldest_seq(self) -> int:
        """The number of the oldest event kept."""
        return self._entries[0].seq

    def append(self, event: Event) -> Entry:
        """Add an event; the oldest makes room."""
        kind = _kind_of(event, self._stage)
        self._stage = event.state.stage
        return self._append(kind, event.data)

    def append_line(self, line: Line) -> Entry:
        """Add an event as stores keep it; otherwise as `append`."""
        return self._append(line.kind, line.data)

    def _append(self, kind: Kind, data: bytes) -> Entry:
        if self.newest.terminal:
            raise AssertionError("a log that has ended was appended to")
        self.newest = self._add(self.newest.seq + 1, kind, data)
        self._joined = _NOTHING_JOINED
        if self.retention is not None and len(self._entries) > self.retention:
            del self._entries[0]
        return self.newest

    def shrink(self) -> None:
        """Forget all but the newest event."""
        del self._entries[:-1]
        self._joined = _NOTHING_JOINED

    def holds(self, cursor: Cursor) -> bool:
        """Tell whether the event at ``cursor`` is kept, so that nothing after it is missing."""
        return cursor.epoch == self.epoch and self.oldest_seq <= cursor.seq <= self.newest.seq

    def status(
        self,
        seq: int,
        *,
        resumed: bool | None = None,
        as_id: int | None = None,
        with_id: bool = True,
    ) -> bytes:
        """Return a ``status`` frame with the state at ``seq``.

        ``as_id`` is the number to resume from, where that is another one.
        """
        data = self._entries[seq - self.oldest_seq].data
        if resumed is not None:
            data = data[:-1] + (b',"resumed":true}' if resumed else b',"resumed":false}')
        frame = b"event: status\ndata: %b\n\n" % data
        if not with_id:
            return frame
        return b"%b%d\n%b" % (self._head, seq if as_id is None else as_id, frame)

    def since(self, seq: int, *, conflate: bool, with_ids: bool = True) -> bytes | None:
        """Return the frames after ``seq`` in one piece, or ``None`` if some of them are gone.

        The streams of a job nearly all ask from the same place, most of them for the newest event
        alone; any other answer is kept for the next that asks.
        """
        if with_ids and seq == self.newest.seq - 1:
            return self.newest.frame
        after, shortened, numbered, frames = self._joined
        if after == seq and shortened is conflate and numbered is with_ids:
            return frames
        start = seq + 1 - self.oldest_seq
        if start < 0:
            return None
        waiting: Sequence[Entry] = self._entries[start:]
        if conflate:
            waiting = conflated(waiting)
        if with_ids:
            frames = b"".join([entry.frame for entry in waiting])
        else:
            frames = b"".join([entry.frame[entry.frame.index(b"\n") + 1 :] for entry in waiting])
        self._joined = (seq, conflate, with_ids, frames)
        return frames

    def _add(self, seq: int, kind: Kind, data: bytes) -> Entry:
        head = b"%b%d\nevent: %b\ndata: " % (self._head, seq, _NAMES[kind])
        entry = Entry(seq, b"%b%b\n\n" % (head, data), len(head), kind == "s", kind in "ce")
        self._entries.append(entry)
        return entry


def line_of(event: Event, stage: str | None) -> Line:
    """Return an event as stores keep it; ``stage`` is that of the event before, if there is one."""
    return Line(_kind_of(event, stage), event.data)


def _kind_of(event: Event, stage: str | None) -> Kind:
    kind = _KINDS[event.name]
    return "s" if kind == "p" and event.state.stage != stage else kind


def conflated(entries: Sequence[Entry]) -> list[Entry]:
    """Keep of each stage its first event and its newest, and the terminal one."""
    kept = [
        entry
        for entry, following in pairwise(entries)
        if entry.opens_stage or following.opens_stage or following.terminal
    ]
    kept.extend(entries[-1:])
    return kept
