"""What a WSGI server tells, or hides, of a request's thread and its connection (PEP 3333)."""

import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from ._http import Incoming
from ._signals import handler_of_server

__all__ = ["incoming_of"]

UNKNOWN: Final = 8
"""Threads that streams may hold on a server that doesn't say how many it has."""

# Linux and FreeBSD; the others tell of a half-closed connection with POLLHUP at best.
_HANG_UP: Final = getattr(select, "POLLRDHUP", 0)


def incoming_of(environ: Mapping[str, Any], path: str) -> Incoming:
    """Read a request out of its WSGI environment; ``path`` is what follows the mount."""

    def header(name: str) -> str | None:
        value: str | None = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return value

    server = environ.get("SERVER_SOFTWARE", "")
    connection = _connection(environ)
    worker = _gunicorn_worker()
    return Incoming(
        environ["REQUEST_METHOD"],
        path,
        environ.get("QUERY_STRING", ""),
        header,
        peer=environ.get("REMOTE_ADDR", ""),
        threads=_threads(environ),
        # wsgiref says so whatever there is.
        processes=bool(environ.get("wsgi.multiprocess")) and "WSGIServer" not in server,
        gone=None if connection is None else _gone(connection),
        # Also where its signal handler is out of reach, as with --preload, and with --max-requests.
        stopping=None if worker is None else lambda: not worker.alive,
        limit_writes=getattr(environ.get("gunicorn.socket"), "settimeout", None),
    )


def _threads(environ: Mapping[str, Any]) -> int | None:
    """Return how many of the server's threads streams may hold: all but two, 0 for none at all.

    ``None`` where there is no server, as in a framework's own test client.
    """
    if "SERVER_SOFTWARE" not in environ:
        return None
    if not environ.get("wsgi.multithread"):
        return 0
    total = _gunicorn_threads() or _waitress_threads(environ) or _granian_threads(environ)
    return UNKNOWN if total is None else max(total - 2, total // 2)


def _gunicorn_worker() -> Any:
    """Return the worker that this process is, whose method is the server's signal handler."""
    worker = getattr(handler_of_server(signal.SIGTERM), "__self__", None)
    return worker if type(worker).__module__.startswith("gunicorn.") else None


def _gunicorn_threads() -> int | None:
    worker = _gunicorn_worker()
    if worker is None:
        return None
    if type(worker).__module__ == "gunicorn.workers.gthread":
        return int(worker.cfg.threads)
    return int(worker.cfg.worker_connections)


def _waitress_threads(environ: Mapping[str, Any]) -> int | None:
    channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    return None if channel is None else int(channel.server.adj.threads)


def _granian_threads(environ: Mapping[str, Any]) -> int | None:
    """Read it where the server did; it hands its application nothing of it."""
    if environ["SERVER_SOFTWARE"] != "Granian":
        return None
    for option, _, value in (argument.partition("=") for argument in sys.argv):
        if option == "--blocking-threads":
            value = value or sys.argv[sys.argv.index(option) + 1]
            return int(value)
    return (
        int(environ["GRANIAN_BLOCKING_THREADS"]) if "GRANIAN_BLOCKING_THREADS" in environ else None
    )


def _connection(environ: Mapping[str, Any]) -> socket.socket | None:
    """Return the connection's socket, where the server gives a way to it."""
    for key in ("gunicorn.socket", "werkzeug.socket"):
        if key in environ:
            found: socket.socket = environ[key]
            return found
    channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    return getattr(channel, "socket", None)


def _gone(connection: socket.socket) -> Callable[[], bool]:
    """Ask the kernel whether the other end has closed; reading is the server's business."""

    def gone() -> bool:
        number = connection.fileno()
        if number < 0:
            return True
        asking = _poll()
        asking.register(number, _HANG_UP)
        return bool(asking.poll(0))

    return gone


def _poll() -> "select.poll":
    """Return a real poll object: gevent's stand-in knows nothing of a hang-up."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("select"):
        original: type[select.poll] = monkey.get_original("select", "poll")
        return original()
    return select.poll()
