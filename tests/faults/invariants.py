"""What has to hold for every client, whatever breaks: docs/protocol.md, sections 2, 4 and 6.

Pure: no clock, no socket. A client tells a `Witness` what it sees, which says what was wrong.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

__all__ = ["TERMINAL", "Frame", "Witness", "differences", "silence"]

TERMINAL: Final = frozenset({"completed", "failed", "cancelled", "lost"})
_SHOWN: Final = 20  # frames that a complaint quotes


class Seen(msgspec.Struct, frozen=True):
    """What of a job's state the rules are about."""

    status: str
    progress: float | None = None
    resumed: bool | None = None


class Frame(NamedTuple):
    """One event as it came."""

    name: str
    epoch: str
    seq: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.name} {self.epoch}-{self.seq}"


_decode: Final = msgspec.json.Decoder(Seen).decode


@dataclass(slots=True)
class Witness:
    """One client's view of one job, and in ``complaints`` each rule that it saw broken.

    ``retold``: terminal events after the first, each in another epoch: a store that has lost its
    log is told anew, and whoever comes back with a cursor of the old one can't be known to have
    seen the end.
    """

    job_id: str
    complaints: list[str] = field(default_factory=list)
    epoch: str = ""
    seq: int = -1
    progress: float = 0.0
    ended: bool = False
    retold: int = 0
    events: int = 0
    epochs: int = 0
    statuses: set[str] = field(default_factory=set)
    final: bytes = b""
    _highest: dict[str, int] = field(default_factory=dict)  # by epoch
    _cursor: str = ""
    _had_status: bool = False
    _over: bool = False
    recent: list[str] = field(default_factory=list)

    @property
    def cursor(self) -> str:
        """What goes into ``Last-Event-ID``."""
        return f"{self.epoch}-{self.seq}" if self.epoch else ""

    def connect(self) -> None:
        """Note that a stream begins, at the cursor."""
        self._cursor = self.cursor
        self._had_status = self._over = False
        self._note(f"connects at {self._cursor or 'no cursor'}")

    def see(self, frame: Frame) -> None:
        """Take the next event of the stream."""
        self.events += 1
        seen = _decode(frame.data)
        self._note(f"{frame} {seen.status} {seen.progress}")
        if self._over:
            self._complain("an event after the terminal one")
        if frame.name == "status":
            self._see_status(frame, seen)
        elif not self._had_status:
            self._complain("a stream that does not begin with status")
        elif frame.epoch != self.epoch:
            self._complain("another epoch without a status")
        elif frame.seq != self.seq + 1:
            what = "a gap" if frame.seq > self.seq + 1 else "a repetition"
            self._complain(f"{what} without a status: {self.seq} was the last")
        elif frame.seq <= self._highest.get(frame.epoch, -1):
            self._complain("a number that was another event's: an old epoch goes on")
        if frame.epoch != self.epoch:
            self.epochs += 1
            self.progress = 0.0  # what is lost may have been progress
        self._see_state(frame, seen)
        self.epoch, self.seq = frame.epoch, frame.seq
        self._highest[frame.epoch] = max(frame.seq, self._highest.get(frame.epoch, -1))
        self._had_status = True

    def _see_status(self, frame: Frame, seen: Seen) -> None:
        if self._had_status and frame.epoch == self.epoch and frame.seq == self.seq + 1:
            self._complain("a status where nothing was missing")
        if frame.epoch == self.epoch and frame.seq < self.seq:
            self._complain(f"a status that goes back: {self.seq} was the last")
        if seen.resumed and f"{frame.epoch}-{frame.seq}" != self._cursor:
            self._complain(f"a status that is resumed, but not at {self._cursor}")

    def _see_state(self, frame: Frame, seen: Seen) -> None:
        if seen.progress is not None:
            if seen.progress < self.progress:
                self._complain(f"progress went back from {self.progress}")
            self.progress = max(self.progress, seen.progress)
        self.statuses.add(seen.status)
        if frame.name in {"complete", "error"}:
            self._see_end(frame, seen)
        elif frame.name == "progress" and seen.status in TERMINAL:
            self._complain("a terminal state in a progress")
        elif frame.name not in {"progress", "status"}:
            self._complain("an unknown event")

    def _see_end(self, frame: Frame, seen: Seen) -> None:
        self._over = True
        if self.ended:
            if frame.epoch == self.epoch and self._cursor.startswith(f"{self.epoch}-"):
                self._complain("a second terminal event")
            self.retold += 1
            if not same_state(frame.data, self.final):
                self._complain("another end than before")
        self.ended = True
        self.final = frame.data
        if (frame.name == "complete") != (seen.status == "completed"):
            self._complain("a terminal event with the other one's status")
        if seen.status not in TERMINAL:
            self._complain("a terminal event whose status is not")
        if frame.name == "complete" and seen.progress != 100:
            self._complain("complete without 100 %")

    def _note(self, what: str) -> None:
        self.recent.append(what)
        if len(self.recent) > 2 * _SHOWN:
            del self.recent[:_SHOWN]

    def _complain(self, what: str) -> None:
        recent = "\n    ".join(self.recent[-_SHOWN:])
        self.complaints.append(f"{self.job_id}: {what}\n    {recent}")


def same_state(one: bytes, other: bytes) -> bool:
    """Tell whether two events carry the same state."""
    return not differences(json.loads(one), json.loads(other))


def differences(told: dict[str, Any], true: dict[str, Any]) -> list[str]:
    """Say in which fields of a job's state two differ, but for when it was written."""
    return [
        f"{name} is {told.get(name)!r}, not {true.get(name)!r}"
        for name in sorted({*told, *true} - {"updated_at", "resumed"})
        if told.get(name) != true.get(name)
    ]


def silence(last: float, now: float, calm_since: float) -> float:
    """Return how long nothing has come that should have; nothing need come while a fault lasts."""
    return now - max(last, calm_since)
