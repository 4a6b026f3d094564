"""One connection that has subscribed."""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as Mute

from .messages import Message, cut
from .nodes import Link

__all__ = ["PULSE", "Ear"]

PULSE: Final = 1.0
"""Seconds of silence after which the server is asked whether it is there."""
_MUTE: Final = 3.5
"""Seconds of silence after which it is not."""
_CHUNK: Final = 262_144
"""Bytes to read at once: some milliseconds of work, then others have their turn."""


class Ear:
    """A connection that is only read from when there is something to read."""

    def __init__(self, link: Link) -> None:
        self.link = link
        # redis-py shows its socket under no other name in all versions from 5 to 8.
        self._socket: Any = getattr(link.wire, "_sock")  # noqa: B009 - not to be renamed by mypy
        self._fd = int(self._socket.fileno())  # also when it has been closed
        self._timeout: float | None = self._socket.gettimeout()
        # What was asked and not acknowledged yet: a job may come and go and come meanwhile.
        self.coming: Counter[bytes] = Counter()
        self.going: Counter[bytes] = Counter()
        self._rest = b""
        self._heard_at = self._asked_at = time.monotonic()

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._fd

    def say(self, commands: Iterable[tuple[Any, ...]]) -> None:
        """Send commands, whose acknowledgements come among the messages."""
        self._socket.settimeout(self._timeout)
        wire = self.link.wire
        wire.send_packed_command(wire.pack_commands(commands))

    def take(self) -> tuple[list[Message], bool]:
        """Return what has come, and whether there may be more that ``select`` doesn't know of."""
        self._socket.settimeout(0)
        chunks = [self._rest]
        read = 0
        while read < _CHUNK:
            try:
                chunk = self._socket.recv(_CHUNK - read)
            except BlockingIOError:
                break
            except OSError as error:
                # TLS says in its own words that there is nothing yet.
                if type(error).__name__ in {"SSLWantReadError", "SSLWantWriteError"}:
                    break
                raise
            if not chunk:
                raise NoConnection(f"{self.link.node} has closed the connection")
            chunks.append(chunk)
            read += len(chunk)
        if read:
            self._heard_at = time.monotonic()
        messages, self._rest = cut(b"".join(chunks))
        return messages, read >= _CHUNK

    def check(self, now: float) -> None:
        """Ask a silent server whether it is there; raise if it has not been for a while."""
        if now - self._heard_at >= _MUTE:
            raise Mute(f"{self.link.node} says nothing any more")
        if now - max(self._heard_at, self._asked_at) >= PULSE:
            self._asked_at = now
            self.say([("PING",)])
