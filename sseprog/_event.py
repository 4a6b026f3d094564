"""Events and their bytes: the frames of WHATWG HTML, section 9.2.6, as protocol.md limits them."""

import random
import re
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from .progress import TERMINAL, Progress, WireState

__all__ = ["HEARTBEAT", "HEARTBEAT_EVENT", "Cursor", "Event", "busy", "last_retry", "retry"]

HEARTBEAT: Final = b": heartbeat\n\n"
HEARTBEAT_EVENT: Final = b"event: heartbeat\ndata: {}\n\n"

_CURSOR: Final = re.compile(r"([A-Za-z0-9_-]{1,64})-(0|[1-9][0-9]{0,17})")


class Event(msgspec.Struct, frozen=True, dict=True):
    """One change of a job's state, serialised: what is appended to a log, and what observers see.

    ``name`` is ``progress``, ``complete`` or ``error``; ``data`` is ``state`` as JSON.
    """

    name: str
    state: WireState
    data: bytes

    @classmethod
    def of(cls, progress: Progress) -> "Event":
        """Serialise a state."""
        return cls.carrying(progress.wire())

    @classmethod
    def carrying(cls, state: WireState) -> "Event":
        """Serialise a state, the only time that this is done."""
        if state.status == "completed":
            name = "complete"
        elif state.status in TERMINAL:
            name = "error"
        else:
            name = "progress"
        return cls(name, state, state.to_json())

    @cached_property
    def progress(self) -> Progress:
        """The state, for those who look at it: to make one takes longer than to serialise it."""
        return Progress.from_json(self.data)


class Cursor(NamedTuple):
    """A place in a log: ``epoch`` names the log's incarnation, ``seq`` the event last seen."""

    epoch: str
    seq: int

    @classmethod
    def parse(cls, last_event_id: str) -> "Cursor | None":
        """Read a ``Last-Event-ID``; none or an empty one is no cursor. Raises `ValueError`."""
        if not last_event_id:
            return None
        # The length first: an error must not repeat, nor a pattern search, ten kilobytes.
        match = _CURSOR.fullmatch(last_event_id) if len(last_event_id) <= 84 else None
        if match is None:
            shown = last_event_id[:40]
            raise ValueError(f"last event id {shown!r} is not of the form <epoch>-<number>")
        return cls(match[1], int(match[2]))


def retry(seconds: float) -> bytes:
    """Tell the browser when to come back, spread by 25 % either way."""
    return b"retry: %d\n\n" % round(1000 * seconds * random.uniform(0.75, 1.25))  # noqa: S311


def last_retry() -> bytes:
    """Spread the clients of a server that stops over one to five seconds."""
    return b"retry: %d\n\n" % random.randint(1000, 5000)  # noqa: S311


def busy() -> bytes:
    """Say *come back later* so that ``EventSource`` does: a 503 would end it for good."""
    return b"retry: %d\n: busy\n\n" % random.randint(1000, 5000)  # noqa: S311
