"""A connection to PostgreSQL that never waits for ever, and what is heard on one."""

import os
import selectors
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus
from psycopg.waiting import Ready

if TYPE_CHECKING:
    from sseprog._listener import Listener

__all__ = ["Link", "hear"]

_T = TypeVar("_T")
_CONNECTING: Final = 2
"""Seconds that an address may take to accept a connection, if the URI has no connect_timeout: the
least that libpq can wait, so that the two addresses of a localhost take less than five."""
_SILENCE: Final = 2.0
"""Seconds without a word after which the server is asked whether it is there."""
_PATIENCE: Final = 2.5
"""Seconds that its answer may take; with the silence before, less than five."""


class Link(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose statements raise `psycopg.OperationalError` at a ``deadline``.

    The server's own timeouts are of no use where the server is what is stuck, and the kernel's
    neither: it acknowledges what a stopped process doesn't read. After that it has to be closed.
    """

    deadline = 0.0  # of time.monotonic()

    @classmethod
    def open(cls, conninfo: str, deadline: float) -> Self:
        """Connect. Statements are not prepared, so that a pooler may come between."""
        left = int(deadline - time.monotonic())
        if left < _CONNECTING:
            raise psycopg.OperationalError("the server has not answered in time")
        given = str(conninfo_to_dict(conninfo).get("connect_timeout") or "")
        wanted = int(given) if given.isdecimal() else 0
        link = cls.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=min(left, wanted or _CONNECTING),
            client_encoding="UTF8",  # whatever the database's is
            fallback_application_name="sseprog",
        )
        link.deadline = deadline
        return link

    def wait(self, gen: PQGen[_T], interval: float = 0.0, timeout: float | None = None) -> _T:
        """Drive what psycopg does, as its own method would, but until the deadline only.

        That one can't be told when to give up in every version. It would also cancel a statement
        on Ctrl-C, which does no good to a connection that is closed after it.
        """
        with selectors.PollSelector() as selector:
            selector.register(self.fileno(), selectors.EVENT_READ)
            try:
                events = next(gen)
                while True:
                    selector.modify(self.fileno(), events)
                    if not (keys := selector.select(max(0.0, self.deadline - time.monotonic()))):
                        raise psycopg.OperationalError("the server has not answered in time")
                    events = gen.send(Ready(keys[0][1]))
            except StopIteration as stop:
                result: _T = stop.value
                return result

    def __del__(self, *_: object) -> None:
        """Say nothing: psycopg would warn of those that a forked child leaves to its parent.

        The socket is closed by what lies beneath, in the process that opened it.
        """

    def gone(self) -> bool:
        """Tell whether the other end has spoken unasked: that it ends the connection, mostly."""
        with selectors.PollSelector() as selector:
            selector.register(self.fileno(), selectors.EVENT_READ)
            return bool(selector.select(0))

    def pooled(self) -> bool:
        """Tell whether it is a pooler that was connected to, which makes up its own number."""
        row = self.execute("SELECT pg_backend_pid()").fetchone()
        return row != (self.info.backend_pid,)

    def abandon(self) -> None:
        """Let go of it in a forked child, so that the parent's conversation goes on."""
        with suppress(psycopg.Error, OSError):
            os.close(self.pgconn.socket)


def hear(link: Link, channel: str, listener: "Listener") -> None:
    """Tell ``listener`` what comes on a channel, until it is closed.

    Raises `psycopg.OperationalError` when the link is lost, or silent for too long. ``c`` and job
    ids is what has changed, ``a`` and job ids is who is asked to stop.
    """
    server = link.pgconn
    listening = sql.SQL("LISTEN {}").format(sql.Identifier(channel)).as_bytes(None)
    # Also tells whether it is the session that LISTENs, behind a pooler.
    probe = sql.SQL("SELECT 1 FROM pg_listening_channels() AS c WHERE c = {}")
    probing = probe.format(sql.Literal(channel)).as_bytes(None)
    told: set[str] = set()
    with selectors.PollSelector() as selector:
        selector.register(link.fileno(), selectors.EVENT_READ)
        selector.register(listener.bell, selectors.EVENT_READ)
        server.send_query(listening)
        heard = asked = time.monotonic()
        waiting, ready = True, False
        while not listener.closed:
            due = asked + _PATIENCE if waiting else heard + _SILENCE
            server.flush()
            keys = selector.select(max(0.0, due - time.monotonic()))
            rings = any(key.fileobj is listener.bell for key, _ in keys)
            if rings:
                listener.bell.clear()
            if len(keys) > rings:
                server.consume_input()
                heard = time.monotonic()
                while notice := server.notifies():
                    _tell(listener, told, notice.extra.decode(errors="replace"))
                if waiting and _answered(link):
                    waiting = False
                    rings, ready = rings or not ready, True
            elif time.monotonic() >= due:
                if waiting:
                    raise psycopg.OperationalError("the server has not answered for seconds")
                server.send_query(probing)
                asked, waiting = time.monotonic(), True
            if rings and ready:
                watch, unwatch, *_ = listener.changes()
                told.difference_update(unwatch)
                told.update(watch)
                listener.ready(watch)


def _tell(listener: "Listener", told: set[str], payload: str) -> None:
    kind, *job_ids = payload.split(" ")
    for job_id in job_ids:
        if kind == "a":
            listener.asked(job_id)
        elif job_id in told:
            listener.changed(job_id)


def _answered(link: Link) -> bool:
    """Take what has come of an answer; tell whether that was all."""
    while not link.pgconn.is_busy():
        result = link.pgconn.get_result()
        if result is None:
            return True
        if result.status == ExecStatus.TUPLES_OK and not result.ntuples:
            raise psycopg.OperationalError(
                "LISTEN does not last: listen= has to be a URI of the server itself, not a pooler's"
            )
        if result.status not in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
            raise psycopg.OperationalError(result.get_error_message())
    return False
