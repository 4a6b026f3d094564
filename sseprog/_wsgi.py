"""A request out of a WSGI environment (PEP 3333), and what its server tells of threads."""

import sys
from collections.abc import Mapping
from typing import Any, Final

from ._connection import Connection, gunicorn_worker, waitress_channel
from ._http import Incoming

__all__ = ["incoming_of"]

UNKNOWN: Final = 8
"""Threads that streams may hold on a server that doesn't say how many it has."""


def incoming_of(environ: Mapping[str, Any], path: str) -> Incoming:
    """Read a request out of its WSGI environment; ``path`` is what follows the mount."""

    def header(name: str) -> str | None:
        value: str | None = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return value

    server = environ.get("SERVER_SOFTWARE", "")
    # What says neither is a framework's test client.
    served = bool(server or environ.get("wsgi.multithread") or "uwsgi.version" in environ)
    return Incoming(
        environ["REQUEST_METHOD"],
        path,
        environ.get("QUERY_STRING", ""),
        header,
        peer=environ.get("REMOTE_ADDR", ""),
        threads=_threads(environ, server) if served else None,
        # wsgiref says so whatever there is, and so do test clients.
        processes=served and bool(environ.get("wsgi.multiprocess")) and "WSGIServer" not in server,
        connection=Connection(environ) if served else None,
    )


def _threads(environ: Mapping[str, Any], server: str) -> int:
    """Return how many of the server's threads streams may hold: all but two, 0 for none at all."""
    if not environ.get("wsgi.multithread"):
        return 0
    total = (
        _gunicorn_threads()
        or _waitress_threads(environ)
        or (_granian_threads(environ) if server == "Granian" else None)
        or _uwsgi_threads()
    )
    return UNKNOWN if total is None else max(total - 2, total // 2)


def _gunicorn_threads() -> int | None:
    worker = gunicorn_worker()
    if worker is None:
        return None
    if type(worker).__module__ == "gunicorn.workers.gthread":
        return int(worker.cfg.threads)
    return int(worker.cfg.worker_connections)


def _waitress_threads(environ: Mapping[str, Any]) -> int | None:
    channel = waitress_channel(environ)
    if channel is None:
        return None
    # It accepts nobody any more above its limit of connections, whatever threads are free.
    return min(int(channel.server.adj.threads), int(channel.server.adj.connection_limit) // 2)


def _granian_threads(environ: Mapping[str, Any]) -> int | None:
    """Read it where the server did; it hands its application nothing of it."""
    for option, _, value in (argument.partition("=") for argument in sys.argv):
        if option == "--blocking-threads":
            value = value or sys.argv[sys.argv.index(option) + 1]
            return int(value)
    return (
        int(environ["GRANIAN_BLOCKING_THREADS"]) if "GRANIAN_BLOCKING_THREADS" in environ else None
    )


def _uwsgi_threads() -> int | None:
    uwsgi = sys.modules.get("uwsgi")  # which is there in its workers only
    return None if uwsgi is None else int(uwsgi.opt.get("threads", 0)) or None
