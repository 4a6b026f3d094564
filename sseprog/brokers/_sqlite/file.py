"""The file, and connections to it: how it is made, replaced, and kept from a fork."""

import os
import sqlite3
import threading
import time
import weakref
from pathlib import Path
from typing import Final
from urllib.parse import unquote

__all__ = ["File", "path_of"]

_LOOK_AT_FILE: Final = 0.5
"""Seconds after which it is seen again whether the file is still there."""

_BUSY: Final = 2.0
"""Seconds that a write waits for that of another process; a healthy one takes milliseconds."""

# The number of an event is per job; ``id`` is the order in which all were committed, since SQLite
# lets one write at a time, and AUTOINCREMENT never gives a number again (sqlite.org/autoinc.html).
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS sseprog_jobs (
    job_id TEXT PRIMARY KEY, epoch TEXT NOT NULL, owner TEXT, seq INTEGER NOT NULL,
    ended INTEGER NOT NULL, token TEXT, leased_until REAL, stalled INTEGER NOT NULL,
    cancel INTEGER NOT NULL, attempt INTEGER NOT NULL, writer TEXT NOT NULL,
    number INTEGER NOT NULL, expires REAL, made_at REAL NOT NULL, ended_at REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sseprog_jobs_expires ON sseprog_jobs (expires);
CREATE INDEX IF NOT EXISTS sseprog_jobs_made_at ON sseprog_jobs (made_at);
CREATE INDEX IF NOT EXISTS sseprog_jobs_ended_at ON sseprog_jobs (ended_at)
    WHERE ended_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS sseprog_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, epoch TEXT NOT NULL,
    seq INTEGER NOT NULL, kind TEXT NOT NULL, data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS sseprog_events_job ON sseprog_events (job_id, seq);
CREATE TABLE IF NOT EXISTS sseprog_asked (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL
);
"""


class File:
    """A connection to the file that is at a path now, for one thread.

    ``lock`` is held while it is used, so that none is open when the process is forked: SQLite takes
    the locks of an inherited connection for those of any other of the child, which holds none
    (sqlite.org/howtocorrupt.html, section 2.6).
    """

    def __init__(self, path: Path) -> None:
        self.lock = threading.Lock()
        self.opened: tuple[int, int] | None = None
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._looked_at = 0.0
        with _opening:
            _files.add(self)

    def use(self) -> sqlite3.Connection:
        """Return the connection; another one if the file was replaced, which has lost all jobs."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_AT_FILE or self._connection is None:
            self._looked_at = now
            if self._connection is not None and self.opened != self._found():
                self.close()
            if self._connection is None:
                with _opening:
                    self._connection = self._connect()
                self.opened = self._found()
                self._version = -1
        return self._connection

    def changed(self) -> bool:
        """Tell whether another connection has written since the last look."""
        (seen,) = self.use().execute("PRAGMA data_version").fetchone()
        before, self._version = self._version, seen
        return bool(seen != before)

    def look_again(self) -> None:
        """Have `changed` say so."""
        self._version = -1

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            (there,) = connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN "
                "('sseprog_jobs', 'sseprog_events', 'sseprog_asked')"
            ).fetchone()
            if there < 3:
                self._make(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self, connection: sqlite3.Connection) -> None:
        """Make the tables, at the same time as others maybe, for whom SQLite doesn't wait here."""
        deadline = time.monotonic() + _BUSY
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


_files: Final["weakref.WeakSet[File]"] = weakref.WeakSet()
_one_fork: Final = threading.Lock()
_opening: Final = threading.Lock()  # taken by who holds a file's lock, never the other way round
_forking: Final[list[File]] = []


def _before_fork() -> None:
    """Close all files, and keep them closed until the process is two."""
    _one_fork.acquire()
    while True:
        _opening.acquire()
        new = set(_files).difference(_forking)
        if not new:
            return
        _opening.release()
        for file in new:
            file.lock.acquire()
            file.close()
            _forking.append(file)


def _after_fork() -> None:
    while _forking:
        _forking.pop().lock.release()
    _opening.release()
    _one_fork.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def path_of(url: str) -> Path:
    """Return the file of ``sqlite:///relative/path``, ``sqlite:////absolute/path``.

    A path that has its folder below the root only is meant from there: ``sqlite:///var/jobs.db``.
    """
    scheme, _, rest = url.partition(":")
    text = unquote(rest)
    if not text.startswith("///") or "?" in rest or text in {"///", "///:memory:"}:
        raise ValueError(
            f"broker {url!r} names no file: write {scheme}:///jobs.db for one in the working "
            f"folder, {scheme}:////var/lib/app/jobs.db for one that is named in full"
        )
    path = Path(text[3:])
    if not path.is_absolute() and not path.parent.is_dir() and Path(text[2:]).parent.is_dir():
        path = Path(text[2:])
    path = path.absolute()
    if not path.parent.is_dir():
        raise ValueError(f"broker {url!r}: there is no folder {str(path.parent)!r}")
    return path
