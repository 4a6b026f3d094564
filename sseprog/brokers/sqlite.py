"""The broker for several processes of one machine: a file, and no server to run."""

import select
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sseprog._listener import Listener
from sseprog._record import Record, decide
from sseprog._settings import Settings
from sseprog.brokers._sqlite.file import File, path_of
from sseprog.shared import SharedBroker
from sseprog.store import (
    REPLAY_AFTER_END,
    Answer,
    BrokerUnavailable,
    Line,
    Store,
    View,
    Want,
    Write,
)

__all__ = ["SQLiteBroker", "SQLiteStore"]

_LOOK: Final = 0.02
"""Seconds between looks at whether another process has written; a look costs some 5 µs."""

_NEWS: Final = 1_000  # events in one look

_SWEPT: Final = 1_000  # jobs in one go, so that no sweep keeps others waiting

_FIELDS: Final = (
    "epoch", "owner", "seq", "ended", "token", "leased_until", "stalled", "cancel", "attempt",
    "writer", "number", "expires",
)  # fmt: skip
_SELECT: Final = f"SELECT {', '.join(_FIELDS)} FROM sseprog_jobs WHERE job_id = ?"  # noqa: S608
_UPSERT: Final = (
    f"INSERT INTO sseprog_jobs (job_id, made_at, ended_at, {', '.join(_FIELDS)}) "  # noqa: S608
    f"VALUES (?, ?, ?, {', '.join('?' * len(_FIELDS))}) ON CONFLICT (job_id) DO UPDATE SET "
    + ", ".join(f"{field} = excluded.{field}" for field in ("ended_at", *_FIELDS))
)


class SQLiteStore(Store):
    """Keep jobs in a file, in WAL mode: readers and a writer don't wait for one another.

    The clock is the machine's, which its processes share. A commit is not flushed to the disk
    (``synchronous=NORMAL``): it survives any process, but a power cut may take the newest ones.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._path = path_of(url)
        self._settings = settings
        self._writing, self._reading = File(self._path), File(self._path)

    @property
    def name(self) -> str:
        return f"sqlite:///{self._path}"

    def write(self, batch: Sequence[Write]) -> list[Answer]:
        answers = []
        with self._transaction() as connection:
            now = time.time()
            records: dict[str, Record | None] = {}
            changed: dict[str, float] = {}  # when each was made, if it was now
            for write in batch:
                job_id = write.job_id
                if job_id not in records:
                    records[job_id] = _record_of(connection.execute(_SELECT, (job_id,)).fetchone())
                before = records[job_id]
                step = decide(before, write, now, self._settings)
                answers.append(step.answer)
                record = step.record
                if record is None or record is before:
                    continue
                records[job_id] = record
                changed.setdefault(job_id, now + 1e-6 * len(changed))
                if step.restarts:
                    connection.execute("DELETE FROM sseprog_events WHERE job_id = ?", (job_id,))
                    if record.seq == 0 and record.attempt == 0:  # a new job, maybe of an old id
                        connection.execute("DELETE FROM sseprog_jobs WHERE job_id = ?", (job_id,))
                if step.line is not None:
                    self._add(connection, job_id, record, step.line)
                if step.asks:
                    connection.execute("INSERT INTO sseprog_asked (job_id) VALUES (?)", (job_id,))
            for job_id, made_at in changed.items():
                record = records[job_id]
                values = [getattr(record, field) for field in _FIELDS]
                ended_at = now if record is not None and record.ended else None
                connection.execute(_UPSERT, (job_id, made_at, ended_at, *values))
        return answers

    def read(self, wants: Sequence[Want]) -> list[View | None]:
        with self._snapshot() as connection:
            now = time.time()
            return [_view(connection, want, now) for want in wants]

    def recent(self, limit: int) -> list[str]:
        with self._snapshot() as connection:
            rows = connection.execute(
                "SELECT job_id FROM sseprog_jobs ORDER BY made_at DESC LIMIT ?", (limit,)
            )
            return [job_id for (job_id,) in rows]

    def listen(self, listener: Listener) -> None:
        file = File(self._path)
        try:
            with _unavailable():
                self._tell(file, listener)
        finally:
            with file.lock:
                file.close()

    def sweep(self) -> None:
        while self._sweep_some():
            pass

    def _sweep_some(self) -> bool:
        """Forget a few jobs, in a transaction of its own; tell whether there may be more."""
        now = time.time()
        with self._transaction() as connection:
            due = connection.execute(
                "SELECT job_id FROM sseprog_jobs WHERE expires <= ? LIMIT ?", (now, _SWEPT)
            ).fetchall()
            connection.executemany("DELETE FROM sseprog_events WHERE job_id = ?", due)
            connection.executemany("DELETE FROM sseprog_jobs WHERE job_id = ?", due)
            whole = connection.execute(
                "SELECT job_id, seq FROM sseprog_jobs WHERE ended_at <= ? LIMIT ?",
                (now - REPLAY_AFTER_END, _SWEPT),
            ).fetchall()
            connection.executemany("DELETE FROM sseprog_events WHERE job_id = ? AND seq < ?", whole)
            connection.executemany(
                "UPDATE sseprog_jobs SET ended_at = NULL WHERE job_id = ?",
                [(job_id,) for job_id, _seq in whole],
            )
            # All who were to be told have been, long ago.
            connection.execute(
                "DELETE FROM sseprog_asked WHERE id <= (SELECT max(id) FROM sseprog_asked) - 10000"
            )
        return len(due) == _SWEPT or len(whole) == _SWEPT

    def abandon(self) -> None:
        """Do nothing: no connection was open when the process was forked."""

    def close(self) -> None:
        for file in (self._writing, self._reading):
            with file.lock:
                file.close()

    def _add(self, connection: sqlite3.Connection, job_id: str, record: Record, line: Line) -> None:
        connection.execute(
            "INSERT INTO sseprog_events (job_id, epoch, seq, kind, data) VALUES (?, ?, ?, ?, ?)",
            (job_id, record.epoch, record.seq, line.kind, line.data),
        )
        retention = self._settings.retention
        if retention is not None:
            connection.execute(
                "DELETE FROM sseprog_events WHERE job_id = ? AND seq <= ?",
                (job_id, record.seq - retention),
            )

    def _tell(self, file: File, listener: Listener) -> None:
        """Tell what is committed, in the order of commits, from now on."""
        bell = select.poll()
        bell.register(listener.bell, select.POLLIN)
        wanted = event_id = asked_id = 0
        idle = rung = True
        while not listener.closed:
            if idle:  # what others did meanwhile is nobody's news
                with file.lock:
                    connection = file.use()
                    event_id, asked_id = _newest(connection, "events"), _newest(connection, "asked")
                    opened = file.opened
            if rung:
                listener.bell.clear()
                watch, unwatch, hold, let_go = listener.changes()
                listener.ready(watch)
                wanted += len(watch) + len(hold) - len(unwatch) - len(let_go)
                idle = not wanted
            rung = bool(bell.poll(None if idle else _LOOK * 1_000))
            if idle:
                continue
            with file.lock:
                connection = file.use()
                if file.opened != opened:
                    raise BrokerUnavailable(f"{self._path} was replaced by another file")
                if not file.changed():
                    continue
                events, asked = _since(connection, event_id, asked_id)
            for event_id, job_id, epoch, seq, kind, data in events:  # noqa: B007 - where to go on
                listener.news(job_id, epoch, seq, Line(kind, data))
            if len(events) == _NEWS:  # and there may be more
                file.look_again()
            for asked_id, job_id in asked:  # noqa: B007
                listener.asked(job_id)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _unavailable(), self._writing.lock:
            connection = self._writing.use()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._writing.close()  # which rolls back, and makes what has got lost anew
                raise

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        with _unavailable(), self._reading.lock:
            connection = self._reading.use()
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._reading.close()
                raise


class SQLiteBroker(SharedBroker):
    """Keep jobs in a file that the processes of one machine share."""

    store_type = SQLiteStore


def _since(
    connection: sqlite3.Connection, event_id: int, asked_id: int
) -> tuple[list[tuple[int, str, str, int, Any, bytes]], list[tuple[int, str]]]:
    """Return what was committed after two ids, in that order."""
    events = connection.execute(
        "SELECT id, job_id, epoch, seq, kind, data FROM sseprog_events "
        "WHERE id > ? ORDER BY id LIMIT ?",
        (event_id, _NEWS),
    ).fetchall()
    asked = connection.execute(
        "SELECT id, job_id FROM sseprog_asked WHERE id > ? ORDER BY id", (asked_id,)
    ).fetchall()
    return events, asked


def _newest(connection: sqlite3.Connection, table: str) -> int:
    (newest,) = connection.execute(f"SELECT max(id) FROM sseprog_{table}").fetchone()  # noqa: S608
    return newest or 0


def _record_of(row: tuple[Any, ...] | None) -> Record | None:
    if row is None:
        return None
    record = Record(**dict(zip(_FIELDS, row, strict=True)))
    record.ended, record.stalled = bool(record.ended), bool(record.stalled)
    record.cancel = bool(record.cancel)
    return record


def _view(connection: sqlite3.Connection, want: Want, now: float) -> View | None:
    record = _record_of(connection.execute(_SELECT, (want.job_id,)).fetchone())
    if record is None or record.expired(now):
        return None
    after = want.after if want.epoch == record.epoch else -1
    if want.newest:
        after = record.seq - 1
    lines = connection.execute(
        "SELECT kind, data FROM sseprog_events WHERE job_id = ? AND seq > ? ORDER BY seq",
        (want.job_id, after),
    )
    lease = None if record.leased_until is None else record.leased_until - now
    return View(
        want.job_id,
        record.epoch,
        record.seq,
        record.owner,
        [Line(kind, data) for kind, data in lines],
        lease,
        record.stalled,
    )


@contextmanager
def _unavailable() -> Iterator[None]:
    """Say of whatever SQLite complains about that it may work later."""
    try:
        yield
    except sqlite3.Error as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
