"""A request's connection, as far as a WSGI server gives a way to it, and to its worker."""

import select
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from ._gevent import is_patched
from ._signals import handler_of_server

__all__ = ["Connection", "gone", "gunicorn_worker", "waitress_channel"]

T = TypeVar("T")

# Linux and FreeBSD; the others tell of a half-closed connection with POLLHUP at best.
_HANG_UP: Final = getattr(select, "POLLRDHUP", 0)


class Connection:
    """What a stream in a thread asks while it waits, and does to a connection of its own."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        # gunicorn's is blocking, or gevent's; the other servers' are their event loop's.
        self._own: socket.socket | None = environ.get("gunicorn.socket")
        self._socket: socket.socket | None = (
            self._own
            or environ.get("werkzeug.socket")
            or getattr(waitress_channel(environ), "socket", None)
        )
        self._worker = gunicorn_worker()

    @property
    def tells(self) -> bool:
        """Whether it knows that the client has left, before a write fails."""
        return self._socket is not None

    @property
    def number(self) -> int | None:
        """The number of its socket, -1 if the server has closed that, ``None`` if it is unknown."""
        return None if self._socket is None else self._socket.fileno()

    def stopping(self) -> bool:
        """Tell whether the worker waits for its streams to end.

        Its signal handler is out of reach with ``--preload``, and not called with
        ``--max-requests``.
        """
        return self._worker is not None and not self._worker.alive

    def limit_writes(self, seconds: float | None) -> None:
        """Let a write take so long at most."""
        if self._own is not None:
            self._own.settimeout(seconds)

    def hang_up(self) -> None:
        """Read no other request: a worker that stops would wait for one (gunicorn: 2 s)."""
        # Shutting TLS down would send the last of the answer in the clear.
        if self._own is not None and not hasattr(self._own, "cipher"):
            with suppress(OSError):  # the client was faster
                self._own.shutdown(socket.SHUT_RD)


def gone(connected: Iterable[tuple[T, Connection]]) -> list[T]:
    """Return whose other end has closed, of any things and their connections.

    The kernel is asked once for all; reading is the server's business.
    """
    asking = _poll()
    by_number: dict[int, list[T]] = {-1: []}
    for each, connection in connected:
        number = connection.number
        if number is None:
            continue
        by_number.setdefault(number, []).append(each)  # HTTP/2 has several on one
        if number >= 0:
            asking.register(number, _HANG_UP)
    left = [-1, *(number for number, _ in asking.poll(0))]
    return [each for number in left for each in by_number[number]]


def gunicorn_worker() -> Any:
    """Return the worker that this process is, whose method is the server's signal handler."""
    worker = getattr(handler_of_server(signal.SIGTERM), "__self__", None)
    return worker if type(worker).__module__.startswith("gunicorn.") else None


def waitress_channel(environ: Mapping[str, Any]) -> Any:
    """Return waitress's side of the connection, whose method it gives to applications."""
    return getattr(environ.get("waitress.client_disconnected"), "__self__", None)


def _poll() -> "select.poll":
    """Return a real poll object: gevent's stand-in knows nothing of a hang-up."""
    if is_patched("select"):
        original: type[select.poll] = sys.modules["gevent.monkey"].get_original("select", "poll")
        return original()
    return select.poll()
