"""The broker for those whose only server is PostgreSQL: two tables, LISTEN and NOTIFY.

``postgresql://`` or ``postgres://``, as libpq has it, and two parameters of our own:
``table=sseprog``, what the tables' names start with; ``listen=``, a URI, percent-encoded, of the
server itself, where the main one goes through a pooler such as PgBouncer.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sseprog._record import Record, decide
from sseprog._settings import Settings
from sseprog.errors import BrokerUnavailable, MissingExtra
from sseprog.shared import SharedBroker
from sseprog.store import REPLAY_AFTER_END, Answer, Create, Line, Store, View, Want, Write

try:
    import psycopg
except ImportError as error:
    raise MissingExtra(
        'The PostgreSQL broker needs psycopg: pip install "sseprog[postgresql]"'
    ) from error

from ._postgresql.link import Link, hear
from ._postgresql.place import Place
from ._postgresql.statements import ROUND, Statements

if TYPE_CHECKING:
    from sseprog._listener import Listener

__all__ = ["PostgreSQLBroker", "PostgreSQLStore"]

PATIENCE: Final = 4.5
"""Seconds that a call may take, with waiting for its turn and connecting."""
SWEEPING: Final = 2.0
"""Seconds after which a sweep leaves the rest to the next: it holds up writes."""
PAYLOAD: Final = 7_900
"""Bytes of one notification; PostgreSQL takes less than 8,000."""


@dataclass(slots=True)
class _Job:
    """What a transaction does to a job."""

    record: Record | None = None
    was: Record | None = None
    made: float = 0.0
    shrinks: float | None = None
    lines: list[tuple[int, Line]] = field(default_factory=list)
    restarts: bool = False
    asks: bool = False


class PostgreSQLStore(Store):
    """Keep jobs in a table of records and one of events.

    One connection is for statements, of either thread, and one for LISTEN. There is no pool: one
    of a single connection would add threads, which a fork does not take along, and locks, which
    it may take along locked; and would give back what this class has to know, when a connection
    is dead, a second later.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._place = Place.parse(url)
        self._settings = settings
        self._sql = Statements(self._place.table)
        self._turn = threading.Lock()
        self._link: Link | None = None
        self._hears: Link | None = None

    @property
    def name(self) -> str:
        return self._place.name

    def write(self, batch: Sequence[Write]) -> list[Answer]:
        with self._linked() as link:
            for _ in range(2):
                try:
                    return self._write(link, batch)
                except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                    link.execute("ROLLBACK")
            return self._write(link, batch)

    def read(self, wants: Sequence[Want]) -> list[View | None]:
        views: list[View | None] = [None] * len(wants)
        columns = [list(column) for column in zip(*wants, strict=True)]
        if not columns:
            return views
        with self._linked() as link:
            rows = link.cursor(binary=True).execute(self._sql.read, columns).fetchall()
        for place, epoch, seq, owner, lease, stalled, kinds, datas in rows:
            lines = list(map(Line, kinds or (), datas or ()))
            job_id = wants[place].job_id
            views[place] = View(job_id, epoch, seq, _text(owner), lines, lease, stalled)
        return views

    def recent(self, limit: int) -> list[str]:
        with self._linked() as link:
            return [job_id for (job_id,) in link.execute(self._sql.recent, [limit])]

    def listen(self, listener: "Listener") -> None:
        place = self._place
        try:
            link = Link.open(place.listens or place.commands, time.monotonic() + PATIENCE)
            self._hears = link
            try:
                if place.listens is None and link.pooled():
                    raise psycopg.OperationalError(
                        "the URL goes through a pooler such as PgBouncer, through which nothing is "
                        "heard: add listen= with a URI, percent-encoded, of the server itself"
                    )
                hear(link, place.table, listener)
            finally:
                self._hears = None
                link.close()
        except psycopg.Error as error:
            raise _unavailable(error) from error

    def sweep(self) -> None:
        until = time.monotonic() + SWEEPING
        for statement in (self._sql.forget, self._sql.shrink):
            swept = ROUND
            while swept == ROUND and time.monotonic() < until:
                with self._linked() as link:
                    swept = link.execute(statement).rowcount

    def abandon(self) -> None:
        self._turn = threading.Lock()
        for link in (self._link, self._hears):
            if link is not None:
                link.abandon()
        self._link = self._hears = None

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    @contextmanager
    def _linked(self) -> Iterator[Link]:
        """Lend the connection to one thread at a time; after an error the next gets a new one."""
        deadline = time.monotonic() + PATIENCE
        turn = self._turn
        if not turn.acquire(timeout=PATIENCE):
            raise BrokerUnavailable("PostgreSQL: another thread still waits for an answer")
        try:
            yield self._ready(deadline)
        except BaseException as error:
            self.close()
            if isinstance(error, psycopg.Error):
                raise _unavailable(error) from error
            raise
        finally:
            turn.release()

    def _ready(self, deadline: float) -> Link:
        if self._link is not None and self._link.gone():
            self.close()
        if self._link is None:
            self._link = Link.open(self._place.commands, deadline)
            if self._link.execute(self._sql.there).fetchone() != (True,):
                self._link.execute(b";".join([self._sql.begin, self._sql.create, b"COMMIT"]))
        self._link.deadline = deadline
        return self._link

    def _write(self, link: Link, batch: Sequence[Write]) -> list[Answer]:
        jobs, now = self._lock(link, batch)
        answers = []
        for nth, write in enumerate(batch):
            job = jobs[write.job_id]
            step = decide(job.record, write, now, self._settings)
            job.record = step.record
            job.asks |= step.asks
            if step.restarts:
                job.restarts = True
                job.lines.clear()
                if isinstance(write, Create):
                    job.made = now + nth * 1e-6  # so that they are in order
            if step.line is not None and step.record is not None:
                job.lines.append((step.record.seq, step.line))
                job.shrinks = now + REPLAY_AFTER_END if step.record.ended else None
            answers.append(step.answer)
        self._save(link, jobs)
        return answers

    def _lock(self, link: Link, batch: Sequence[Write]) -> tuple[dict[str, _Job], float]:
        """Begin a transaction that has the batch's jobs to itself; tell the time."""
        jobs = {write.job_id: _Job() for write in batch}
        creates = sorted({write.job_id for write in batch if isinstance(write, Create)})
        statements, values = [self._sql.begin], list[object]()
        if creates:  # one that is not there yet can't be locked: who comes second waits here
            statements.append(self._sql.reserve)
            values.append(creates)
        statements.append(self._sql.lock)
        values.append(list(jobs))
        cursor = psycopg.ClientCursor(link)  # which says them all at once
        cursor.execute(b";".join(statements), values)
        *_, rows, times = _results(cursor)
        for job_id, epoch, owner, *fields, made, shrinks in rows:
            record = Record(epoch, _text(owner), *fields) if epoch else None
            jobs[job_id] = _Job(record, record, made, shrinks)
        if len(creates) > len({job_id for job_id, *_ in rows}.intersection(creates)):
            raise psycopg.errors.SerializationFailure("a job was swept while it was created")
        return jobs, times[0][0]

    def _save(self, link: Link, jobs: dict[str, _Job]) -> None:
        """Say what has become of the jobs, and commit."""
        keep = self._settings.retention
        statements, values = list[bytes](), list[object]()

        def say(statement: bytes, rows: Iterable[tuple[object, ...]]) -> None:
            columns = [list(column) for column in zip(*rows, strict=True)]
            if columns:
                statements.append(statement)
                values.extend(columns)

        say(
            self._sql.change,
            (
                (job_id, *_row(job.record), job.made, job.shrinks)
                for job_id, job in jobs.items()
                if job.record is not None and job.record != job.was
            ),
        )
        say(self._sql.empty, ((job_id,) for job_id, job in jobs.items() if job.restarts))
        if keep:
            say(
                self._sql.trim,
                (
                    (job_id, job.lines[-1][0] - keep)
                    for job_id, job in jobs.items()
                    if job.lines and not job.restarts and job.lines[-1][0] >= keep
                ),
            )
        say(
            self._sql.add,
            (
                (job_id, seq, line.kind, line.data)
                for job_id, job in jobs.items()
                for seq, line in job.lines[-(keep or 0) :]
            ),
        )
        changed = [job_id for job_id, job in jobs.items() if job.lines]
        asked = [job_id for job_id, job in jobs.items() if job.asks]
        payloads = [*_payloads("c", changed), *_payloads("a", asked)]
        say(self._sql.notify, ((payload,) for payload in payloads))
        statements.append(b"COMMIT")
        psycopg.ClientCursor(link).execute(b";".join(statements), values)


class PostgreSQLBroker(SharedBroker):
    """Share jobs through PostgreSQL."""

    store_type = PostgreSQLStore


def _results(cursor: psycopg.Cursor[Any]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of each statement of several."""
    more: bool | None = True
    while more:
        yield cursor.fetchall() if cursor.description else []
        more = cursor.nextset()


def _row(record: Record) -> tuple[object, ...]:
    """Return a record's fields, in the order of the table's columns."""
    epoch, owner, *fields = astuple(record)
    return epoch, owner and owner.encode("utf-8", "surrogatepass"), *fields


def _text(owner: bytes | None) -> str | None:
    """Return the owner, which is kept as bytes: what a database's encoding may lack is kept too."""
    return None if owner is None else owner.decode("utf-8", "surrogatepass")


def _payloads(kind: str, job_ids: Iterable[str]) -> Iterator[str]:
    """Put job ids into as few notifications as they fit in."""
    payload = kind
    for job_id in job_ids:
        if len(payload) + 1 + len(job_id) > PAYLOAD:
            yield payload
            payload = kind
        payload += f" {job_id}"
    if payload != kind:
        yield payload


def _unavailable(error: psycopg.Error) -> BrokerUnavailable:
    first, *_ = str(error).strip().splitlines() or [type(error).__name__]
    return BrokerUnavailable(f"PostgreSQL: {first}")
