"""Streams of one job, and those of them that are in step: what is due to one is due to all."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from ._step import Left, Send, step_each
from ._subscription import Subscription

if TYPE_CHECKING:
    from ._pump import Watch

__all__ = ["Group", "Stream", "write_each"]


class Stream(Protocol):
    """What a pump moves: it writes to some, and wakes whoever reads the others."""

    subscription: Subscription
    watch: "Watch"
    tick: int

    @property
    def send(self) -> Send | None:
        """What to write with, if that is the pump's to do."""

    def take(self, now: float) -> bytes:
        """Return what the pump is to write now. The broker's lock is held."""

    def write(self, chunk: bytes) -> None:
        """Write what was taken. Called in the loop; must not wait, must not raise."""

    def finish(self, left: Left | BaseException) -> None:
        """See to a ``send`` that is not through, or has raised."""


class Group:
    """Streams whose last write is through, which have all that there was, and beat alike.

    They share one position, so that an event or a heartbeat costs each its ``send`` and nothing
    else: no look at the stream, whose memory would have to be fetched.
    """

    __slots__ = ("_sends", "tick")

    def __init__(self) -> None:
        self._sends: dict[Stream, Send] = {}
        self.tick = 0

    def __len__(self) -> int:
        return len(self._sends)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._sends)

    @property
    def first(self) -> Subscription:
        """Any of them, to speak for all."""
        return next(iter(self._sends)).subscription

    def admit(self, stream: Stream, send: Send) -> bool:
        """Take ``stream`` in, if it is where the others are."""
        if self._sends and not stream.subscription.is_level_with(self.first):
            return False
        stream.subscription.share(self.first.at if self._sends else stream.subscription.at)
        self._sends[stream] = send
        return True

    def dismiss(self, stream: Stream) -> bool:
        """Let ``stream`` go, with a position of its own; tell whether it was here."""
        if self._sends.pop(stream, None) is None:
            return False
        stream.subscription.part()
        return True

    def write(self, chunk: bytes) -> None:
        """Write the same to all."""
        unfinished = step_each(list(self._sends.values()), chunk, more=True)
        if unfinished:
            streams = list(self._sends)
            for place, left in unfinished:
                streams[place].finish(left)


def write_each(chunks: Mapping[Stream, bytes]) -> None:
    """Write to each what was taken for it."""
    for stream, chunk in chunks.items():
        if chunk:
            stream.write(chunk)
