"""What a PostgreSQL store does, against real servers."""

import dataclasses
import os
import queue
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier

from sseprog._listener import Bell, Changes
from sseprog._record import Record, decide
from sseprog._settings import Settings
from sseprog.brokers._postgresql.statements import COLUMNS
from sseprog.brokers.postgresql import PostgreSQLStore
from sseprog.errors import BrokerUnavailable
from sseprog.store import (
    Answer,
    Append,
    Begin,
    Cancel,
    Create,
    Expire,
    Line,
    Rebase,
    Renew,
    Store,
    View,
    Want,
    Write,
)

from .postgresql_server import PgBouncer, PostgreSQL

Make = Callable[..., PostgreSQLStore]

tables = (f"t{number}" for number in count(1))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def bouncer(server: PostgreSQL) -> Iterator[PgBouncer]:
    bouncer = PgBouncer(server)
    yield bouncer
    bouncer.remove()


@pytest.fixture
def table() -> str:
    """Name tables that no other test has."""
    return next(tables)


@pytest.fixture
def make(server: PostgreSQL, table: str) -> Iterator[Make]:
    """Make stores over the same tables, as processes have them."""
    made: list[Store] = []

    def make(url: str = f"{server.url}?table={table}", **options: float | None) -> PostgreSQLStore:
        store = PostgreSQLStore(url, Settings.load(options, {}))
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make: Make) -> PostgreSQLStore:
    return make()


class Ear:
    """Listen, and keep what is told."""

    def __init__(self, *watched: str) -> None:
        self.bell = Bell()
        self.closed = False
        self.told: queue.Queue[tuple[str, ...]] = queue.Queue()
        self._watched = set(watched)
        self._known: set[str] = set()

    def changes(self) -> Changes:
        known, self._known = self._known, set(self._watched)
        return Changes(self._known - known, known - self._known, [], [])

    def ready(self, job_ids: Iterable[str]) -> None:
        self.told.put(("ready", *sorted(job_ids)))

    def news(self, job_id: str, epoch: str, seq: int, line: Line) -> None:
        raise AssertionError("it tells what has changed, not what is new")

    def changed(self, job_id: str) -> None:
        self.told.put(("changed", job_id))

    def asked(self, job_id: str) -> None:
        self.told.put(("asked", job_id))

    def watch(self, *watched: str) -> None:
        self._watched = set(watched)
        self.bell.ring()

    def next(self, timeout: float = 8.0) -> tuple[str, ...]:
        return self.told.get(timeout=timeout)

    @contextmanager
    def listening(self, store: Store) -> Iterator["queue.Queue[BrokerUnavailable | None]"]:
        """Listen in a thread; yield where is put how it ended."""
        ended: queue.Queue[BrokerUnavailable | None] = queue.Queue()

        def run() -> None:
            try:
                store.listen(self)
                ended.put(None)
            except BrokerUnavailable as error:
                ended.put(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield ended
        finally:
            self.closed = True
            self.bell.ring()
            thread.join(8)
            self.bell.close()
            assert not thread.is_alive()


def line(text: object = 0, kind: str = "p") -> Line:
    return Line(kind, f'{{"n":{text}}}'.encode())  # type: ignore[arg-type]


def create(job_id: str = "a", epoch: str = "e", owner: str | None = None) -> Create:
    return Create(job_id, epoch, owner, line())


def begin(job_id: str = "a", *, resume: bool = False) -> Begin:
    return Begin(job_id, "t", "te", resume, line())


def append(number: int, job_id: str = "a", *, token: str | None = None, kind: str = "p") -> Append:
    return Append(job_id, token, token or "w", number, "", -1, "s", line(number, kind))


def said(answers: Sequence[Answer]) -> list[str]:
    return [answer.said for answer in answers]


def only(views: Sequence[View | None]) -> View:
    [view] = views
    assert view is not None
    return view


def numbers(view: View) -> list[int]:
    return [int(line.data[5:-1]) for line in view.lines]


def mended(write: Callable[[], list[Answer]], tries: int = 40) -> list[Answer]:
    """Repeat what can't be done while the server comes back."""
    for _ in range(tries):
        try:
            return write()
        except BrokerUnavailable:
            time.sleep(0.05)
    return write()


# What is written is there


def test_a_job_is_read_as_it_was_written(store: PostgreSQLStore) -> None:
    owner = "Zoë\0 \ud800"
    store.write([create("a", owner=owner), append(1, kind="s"), append(2), create("b")])
    unknown, a, b = store.read([Want("x"), Want("a"), Want("b")])
    assert unknown is None
    assert a == View("a", "e", 2, owner, [line(), line(1, "s"), line(2)], None, False)
    assert b == View("b", "e", 0, None, [line()], None, False)


@pytest.mark.parametrize(
    ("want", "read"),
    [
        (Want("a"), [0, 1, 2, 3]),
        (Want("a", "e", 1), [2, 3]),
        (Want("a", "e", 3), []),
        (Want("a", "e", 7), []),
        (Want("a", "other", 1), [0, 1, 2, 3]),
        (Want("a", newest=True), [3]),
        (Want("a", "e", 3, newest=True), [3]),
    ],
)
def test_what_is_wanted_of_a_log_is_read(
    store: PostgreSQLStore, want: Want, read: list[int]
) -> None:
    store.write([create(), *map(append, (1, 2, 3))])
    view = only(store.read([want]))
    assert (view.seq, numbers(view)) == (3, read)


def test_nothing_written_and_nothing_wanted_is_nothing(store: PostgreSQLStore) -> None:
    assert store.write([]) == []
    assert store.read([]) == []
    assert store.recent(5) == []
    store.sweep()


def test_later_writes_of_a_batch_see_earlier_ones(store: PostgreSQLStore) -> None:
    batch: list[Write] = [append(1), create(), begin(), append(2), append(1, token="t", kind="c")]
    batch += [Renew("a", "t"), create(epoch="f"), append(9)]
    assert said(store.write(batch)) == [
        "unknown",
        "ok",
        "ok",
        "taken",
        "ok",
        "ended",
        "ok",
        "ok",
    ]
    view = only(store.read([Want("a")]))
    assert (view.epoch, numbers(view)) == ("f", [0, 9])


def test_a_log_keeps_its_newest_events(make: Make) -> None:
    store = make(retention=3)
    store.write([create(), *map(append, range(1, 11))])
    assert numbers(only(store.read([Want("a")]))) == [8, 9, 10]
    store.write([append(11), append(12)])
    assert numbers(only(store.read([Want("a")]))) == [10, 11, 12]
    store.write([create("b")])
    store.write([append(1, "b")])
    assert numbers(only(store.read([Want("b")]))) == [0, 1]


def test_a_log_keeps_all_events_without_a_limit(make: Make) -> None:
    store = make(retention=None)
    store.write([create(), *map(append, range(1, 601))])
    assert numbers(only(store.read([Want("a")]))) == list(range(601))


def test_any_data_is_kept_in_any_database(server: PostgreSQL, make: Make) -> None:
    server.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    server.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    data = "{'\\\"漢 %s % \0 \\x00 ;--\n".encode() + b"\xff"
    for database in ("latin", "ascii"):
        store = make(server.url.removesuffix("postgres") + database)
        store.write([Create("a", "e", "漢", Line("s", data))])
        view = only(store.read([Want("a")]))
        assert (view.owner, view.epoch, view.lines) == ("漢", "e", [Line("s", data)])
        store.close()


def test_a_lease_is_told_by_the_servers_clock(make: Make) -> None:
    store = make(lease=30.0)
    store.write([create(), begin()])
    lease = only(store.read([Want("a")])).lease
    assert lease is not None
    assert 25 < lease <= 30


def test_the_jobs_made_last_come_first(make: Make) -> None:
    one, other = make(), make()
    one.write([create("a"), create("b"), append(1, "b", kind="c")])
    other.write([create("d"), create("c")])
    assert one.recent(10) == ["c", "d", "b", "a"]
    one.write([append(1, "a"), create("b", "f")])
    assert one.recent(2) == ["b", "c"]


def test_a_batch_may_be_repeated(store: PostgreSQLStore) -> None:
    batch: list[Write] = [create(), begin(), append(1, token="t"), append(2, token="t")]
    first = store.write(batch)
    views = store.read([Want("a")])
    assert said(store.write(batch)) == said(first) == ["ok"] * 4
    assert [view and view._replace(lease=0) for view in store.read([Want("a")])] == [
        view and view._replace(lease=0) for view in views
    ]


def test_the_tables_columns_are_those_of_a_record() -> None:
    names = [field.name for field in dataclasses.fields(Record)]
    assert [*names, "made", "shrinks"] == list(COLUMNS)


# Any sequence of writes does what `decide` says

KEPT = Settings(retention=4)
ids = st.sampled_from(["a", "b"])
tokens = st.sampled_from(["t", "u"])
epochs = st.sampled_from(["e", "f"])
few = st.integers(-1, 6)
lines = st.builds(Line, st.sampled_from("psce"), few.map(lambda n: b"{%d}" % n))
writes = st.one_of(
    st.builds(Create, ids, epochs, st.sampled_from([None, "7"]), lines),
    st.builds(Begin, ids, tokens, epochs, st.booleans(), lines),
    st.builds(
        Append,
        *(ids, st.none() | tokens, tokens, few, epochs, few, epochs, lines, st.booleans()),
    ),
    st.builds(Renew, ids, tokens),
    st.builds(Cancel, ids, lines),
    st.builds(Expire, ids, epochs, few, lines),
    st.builds(Rebase, ids, epochs, few, epochs, lines),
)
steps = st.lists(
    st.lists(writes, min_size=1, max_size=6) | st.sampled_from([31.0, 45.0, 4_000.0, 700_000.0]),
    min_size=1,
    max_size=8,
)


class Model:
    """A store in a dictionary."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.logs: dict[str, list[Line]] = {}

    def write(self, write: Write) -> Answer:
        step = decide(self.records.get(write.job_id), write, time.time(), KEPT)
        if step.record is None:
            self.records.pop(write.job_id, None)
            return step.answer
        self.records[write.job_id] = step.record
        log = self.logs.setdefault(write.job_id, [])
        if step.restarts:
            log.clear()
        if step.line is not None:
            log.append(step.line)
            del log[: -(KEPT.retention or 0)]
        return step.answer

    def read(self, want: Want) -> View | None:
        record = self.records.get(want.job_id)
        if record is None or (record.expires is not None and record.expires <= time.time()):
            return None
        log = self.logs[want.job_id]
        first = record.seq + 1 - len(log)
        after = want.after if want.epoch == record.epoch else -1
        lines = log[-1:] if want.newest else log[max(0, after + 1 - first) :]
        lease = None if record.leased_until is None else record.leased_until - time.time()
        return View(
            want.job_id, record.epoch, record.seq, record.owner, lines, lease, record.stalled
        )

    def let_pass(self, seconds: float) -> None:
        for record in self.records.values():
            if record.leased_until is not None:
                record.leased_until -= seconds
            if record.expires is not None:
                record.expires -= seconds


@pytest.fixture(scope="module")
def compared(server: PostgreSQL) -> Iterator[PostgreSQLStore]:
    store = PostgreSQLStore(f"{server.url}?table=compared", KEPT)
    store.write([])
    yield store
    store.close()


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps, after=few)
def test_any_writes_do_what_was_decided(
    server: PostgreSQL,
    compared: PostgreSQLStore,
    steps: list[list[Write] | float],
    after: int,
) -> None:
    model = Model()
    with psycopg.connect(server.url, autocommit=True) as beside:
        beside.execute("TRUNCATE compared_jobs, compared_events")
        for step in steps:
            if isinstance(step, float):
                model.let_pass(step)
                beside.execute(
                    "UPDATE compared_jobs SET leased_until = leased_until - %(passed)s,"
                    " expires = expires - %(passed)s",
                    {"passed": step},
                )
            else:
                assert compared.write(step) == [model.write(write) for write in step]
            wants = [Want(job_id, "e", at) for job_id in "ab" for at in (-1, after)]
            wants += [Want(job_id, newest=True) for job_id in "ab"]
            for view, expected in zip(compared.read(wants), map(model.read, wants), strict=True):
                if view is None or expected is None:
                    assert view is expected is None
                    continue
                assert view._replace(lease=None) == expected._replace(lease=None)
                assert view.lease == pytest.approx(expected.lease, abs=5)


# Several processes at once


def at_once(number: int, run: Callable[[int], object]) -> None:
    """Run something in several threads; raise what one raises."""
    failures: list[BaseException] = []
    gate = threading.Barrier(number)

    def guarded(nth: int) -> None:
        try:
            gate.wait(10)
            run(nth)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(nth,)) for nth in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads)


def test_stores_make_their_tables_at_the_same_time(make: Make) -> None:
    stores = [make() for _ in range(8)]
    at_once(8, lambda nth: stores[nth].write([create(f"job-{nth}")]))
    assert len(stores[0].recent(10)) == 8


def test_of_jobs_created_at_once_there_is_one(make: Make) -> None:
    stores = [make() for _ in range(6)]
    stores[0].write([])
    answers: list[list[str]] = [[] for _ in stores]
    rounds = 30

    def run(nth: int) -> None:
        ids = [f"job-{number}" for number in range(rounds)]
        for number in range(rounds):
            batch = [create(job_id, f"e{nth}") for job_id in random.sample(ids, 3)]
            stores[nth].write(batch)
            answers[nth] += said(stores[nth].write([create(ids[number], f"e{nth}")]))

    at_once(6, run)
    for number in range(rounds):
        assert sorted(answer[number] for answer in answers) == ["ok", *["taken"] * 5]
    assert sorted(stores[0].recent(100)) == sorted(f"job-{number}" for number in range(rounds))


def test_a_job_created_at_once_under_one_epoch_is_a_repetition(make: Make) -> None:
    stores = [make() for _ in range(4)]
    stores[0].write([])
    answers: list[Answer] = []
    at_once(4, lambda nth: answers.extend(stores[nth].write([create()])))
    assert said(answers) == ["ok"] * 4
    assert numbers(only(stores[0].read([Want("a")]))) == [0]


def test_numbers_have_no_gaps_whoever_appends(make: Make) -> None:
    stores = [make(retention=None) for _ in range(4)]
    stores[0].write([create("shared"), *(create(f"own-{nth}") for nth in range(4))])
    seqs: list[int] = []

    def run(nth: int) -> None:
        for number in range(0, 500, 5):
            batch: list[Write] = []
            for at in range(number, number + 5):
                both = [
                    Append(job_id, None, f"w{nth}", at, "e", -1, "s", line(at))
                    for job_id in ("shared", f"own-{nth}")
                ]
                batch += both if nth % 2 else reversed(both)
            answers = stores[nth].write(batch)
            assert said(answers) == ["ok"] * 10
            seqs.extend(
                answer.seq
                for write, answer in zip(batch, answers, strict=True)
                if write.job_id == "shared"
            )

    at_once(4, run)
    assert sorted(seqs) == list(range(1, 2001))
    for view in stores[0].read([Want("shared"), *(Want(f"own-{nth}") for nth in range(4))]):
        assert view is not None
        assert len(view.lines) == view.seq + 1 == (2001 if view.job_id == "shared" else 501)


def test_jobs_are_created_while_others_are_swept(make: Make) -> None:
    creator, sweeper = make(ttl=0.001), make(ttl=0.001)
    creator.write([])
    done = threading.Event()

    def create_on() -> None:
        for number in range(300):
            batch: list[Write] = [create("a", f"e{number}"), append(number, kind="c")]
            assert said(creator.write(batch)) == ["ok", "ok"]
        done.set()

    def sweep_on() -> None:
        while not done.is_set():
            sweeper.sweep()

    at_once(2, lambda nth: sweep_on() if nth else create_on())


def test_a_deadlock_with_somebody_else_is_tried_again(
    server: PostgreSQL, make: Make, table: str, eventually: Callable[..., None]
) -> None:
    store = make()
    store.write([create("a"), create("b")])
    lock = SQL("SELECT 1 FROM {} WHERE job_id = %s FOR UPDATE").format(Identifier(f"{table}_jobs"))
    answers: list[Answer] = []
    with psycopg.connect(server.url) as other:
        other.execute(lock, ["b"])
        writes = [append(1, "a"), append(1, "b")]
        thread = threading.Thread(target=lambda: answers.extend(store.write(writes)))
        thread.start()
        eventually(lambda: server.execute("SELECT 1 FROM pg_locks WHERE NOT granted"))
        other.execute(lock, ["a"])
    thread.join()
    assert said(answers) == ["ok", "ok"]


# Listening


def test_a_listener_is_told_what_happens_to_its_jobs(make: Make) -> None:
    writer, reader = make(), make()
    writer.write([create("a"), create("b")])
    ear = Ear("a")
    with ear.listening(reader) as ended:
        assert ear.next() == ("ready", "a")
        writer.write([append(1, "b")])
        writer.write([append(1, "a")])
        assert ear.next() == ("changed", "a")
        assert numbers(only(reader.read([Want("a")]))) == [0, 1]
        ear.watch("a", "b", "not yet")
        assert ear.next() == ("ready", "b", "not yet")
        writer.write([append(2, "b")])
        assert ear.next() == ("changed", "b")
        ear.watch("a")
        assert ear.next() == ("ready",)
        ear.watch("a", "b")
        assert ear.next() == ("ready", "b")
    assert ended.get() is None


def test_a_holder_is_asked_to_stop(make: Make) -> None:
    writer, reader = make(), make()
    ear = Ear()
    with ear.listening(reader):
        assert ear.next() == ("ready",)
        assert said(writer.write([create(), begin(), Cancel("a", line(0, "e"))])) == [
            "ok",
            "ok",
            "asked",
        ]
        assert ear.next() == ("asked", "a")


def test_many_long_ids_are_told_at_once(make: Make) -> None:
    writer, reader = make(), make()
    ids = [f"{number:~>128}" for number in range(200)]
    ear = Ear(*ids)
    with ear.listening(reader):
        ear.next()
        writer.write([create(job_id) for job_id in ids])
        assert [ear.next() for _ in ids] == [("changed", job_id) for job_id in ids]


def test_a_quiet_line_stays_up(store: PostgreSQLStore) -> None:
    ear = Ear("a")
    with ear.listening(store) as ended:
        assert ear.next() == ("ready", "a")
        with pytest.raises(queue.Empty):
            ended.get(timeout=6)
        store.write([create()])
        assert ear.next() == ("changed", "a")


def test_what_is_read_after_a_notification_is_there(make: Make) -> None:
    writer, reader = make(), make()
    writer.write([create()])
    ear = Ear("a")
    with ear.listening(reader):
        ear.next()
        for number in range(1, 100):
            writer.write([append(number)])
            assert ear.next() == ("changed", "a")
            assert only(reader.read([Want("a", newest=True)])).seq == number


# When the server is away


def test_a_server_that_restarts_is_found_again(server: PostgreSQL, make: Make) -> None:
    store = make()
    store.write([create()])
    ear = Ear("a")
    with ear.listening(store) as ended:
        ear.next()
        server.stop()
        try:
            assert ended.get(timeout=5) is not None
            with pytest.raises(BrokerUnavailable, match="PostgreSQL: "):
                store.write([append(1)])
            with pytest.raises(BrokerUnavailable):
                store.read([Want("a")])
        finally:
            server.start()
    assert said(mended(lambda: store.write([append(1)]))) == ["ok"]
    assert numbers(only(store.read([Want("a")]))) == [0, 1]


def test_connections_that_the_server_ends_are_made_anew(
    server: PostgreSQL, store: PostgreSQLStore
) -> None:
    store.write([create()])
    ear = Ear("a")
    with ear.listening(store) as ended:
        ear.next()
        server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'sseprog'"
        )
        assert ended.get(timeout=5) is not None
        assert said(store.write([append(1)])) == ["ok"]  # it was idle: nothing is lost by it


def test_a_mute_server_is_noticed(server: PostgreSQL, make: Make) -> None:
    writer, reader = make(), make()
    writer.write([create()])
    reader.read([Want("a")])
    ear = Ear("a")
    took: dict[str, float] = {}

    def time_out(what: str, call: Callable[[], object]) -> None:
        start = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            call()
        took[what] = time.monotonic() - start

    with ear.listening(reader) as ended:
        ear.next()
        with server.stopped():
            start = time.monotonic()
            calls = [
                threading.Thread(target=time_out, args=args)
                for args in (
                    ("write", lambda: writer.write([append(1)])),
                    ("read", lambda: writer.read([Want("a")])),
                    ("connect", lambda: make().write([append(1)])),
                )
            ]
            for call in calls:
                call.start()
            assert ended.get(timeout=6) is not None
            took["listen"] = time.monotonic() - start
            for call in calls:
                call.join()
            time_out("write again", lambda: writer.write([append(1)]))
    assert max(took.values()) < 5, took
    assert said(mended(lambda: writer.write([append(1)]))) == ["ok"]
    assert numbers(only(reader.read([Want("a")]))) == [0, 1]
    again = Ear("a")
    with again.listening(reader):
        again.next()
        writer.write([append(2)])
        assert again.next() == ("changed", "a")


def test_a_job_that_somebody_locks_is_not_waited_for(
    server: PostgreSQL, make: Make, table: str
) -> None:
    store = make()
    store.write([create()])
    with psycopg.connect(server.url) as other:
        other.execute(SQL("SELECT * FROM {} FOR UPDATE").format(Identifier(f"{table}_jobs")))
        start = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="lock timeout"):
            store.write([append(1)])
        assert time.monotonic() - start < 4
        assert numbers(only(store.read([Want("a")]))) == [0]
    assert said(store.write([append(1)])) == ["ok"]


def test_a_process_that_is_stopped_in_the_middle_holds_nobody_up(make: Make) -> None:
    store, other = make(), make()
    store.write([create()])
    with store._linked() as link:
        store._lock(link, [append(1)])
        assert said(mended(lambda: other.write([append(1)]))) == ["ok"]
    assert said(store.write([append(2)])) == ["ok"]


def test_a_server_that_may_only_be_read_is_unavailable(
    server: PostgreSQL, make: Make, table: str
) -> None:
    make().write([create()])
    store = make(f"{server.url}?options=-cdefault_transaction_read_only%3Don&table={table}")
    assert numbers(only(store.read([Want("a")]))) == [0]
    with pytest.raises(BrokerUnavailable, match="read-only"):
        store.write([append(1)])


def test_tables_that_are_lost_are_made_anew(server: PostgreSQL, make: Make, table: str) -> None:
    store = make()
    store.write([create()])
    server.execute("DROP TABLE {jobs}, {events}", table)
    with pytest.raises(BrokerUnavailable):
        store.write([append(1)])
    assert said(store.write([append(1), create()])) == ["unknown", "ok"]


def test_who_may_not_make_tables_may_use_them(server: PostgreSQL, make: Make, table: str) -> None:
    make().write([create()])
    server.execute("CREATE ROLE guest LOGIN")
    server.execute("GRANT ALL ON {jobs}, {events} TO guest", table)
    url = server.url.replace("postgres:secret", "guest")
    store = make(f"{url}?table={table}")
    assert said(store.write([append(1), create("b")])) == ["ok", "ok"]
    with pytest.raises(BrokerUnavailable, match="permission denied"):
        make(f"{url}?table=not_there").write([create()])


def test_a_failure_is_undone(server: PostgreSQL, make: Make, table: str) -> None:
    store = make()
    store.write([create()])
    server.execute("ALTER TABLE {events} ADD CHECK (seq < 2)", table)
    with pytest.raises(BrokerUnavailable):
        store.write([append(1), append(2)])
    assert said(store.write([append(1)])) == ["ok"]
    assert numbers(only(store.read([Want("a")]))) == [0, 1]


# Poolers and processes


def test_it_works_through_pgbouncer(
    server: PostgreSQL, bouncer: PgBouncer, make: Make, table: str
) -> None:
    url = f"{bouncer.url}?table={table}&listen={quote(server.url, safe='')}"
    stores = [make(url) for _ in range(8)]  # more than PgBouncer has sessions
    stores[0].write([create()])
    ear = Ear("a")
    with ear.listening(make(url)) as ended:
        assert ear.next() == ("ready", "a")

        def run(nth: int) -> None:
            for number in range(30):
                write = Append("a", None, f"w{nth}", number, "e", -1, "s", line(number))
                assert said(stores[nth].write([write])) == ["ok"]
                stores[nth].read([Want("a")])

        at_once(8, run)
        for _ in range(8 * 30):
            assert ear.next() == ("changed", "a")
        assert ended.empty()
    assert only(stores[0].read([Want("a")])).seq == 240


def test_to_listen_through_pgbouncer_names_the_cure(bouncer: PgBouncer, make: Make) -> None:
    with Ear("a").listening(make(bouncer.url)) as ended:
        error = ended.get(timeout=5)
    assert "goes through a pooler such as PgBouncer" in str(error)
    assert "add listen=" in str(error)


def test_a_pooler_is_noticed_where_the_server_itself_was_promised(
    server: PostgreSQL, bouncer: PgBouncer, make: Make, table: str
) -> None:
    store = make(f"{bouncer.url}?table={table}&listen={quote(bouncer.url, safe='')}")
    ear = Ear("a")
    with ear.listening(store) as ended:
        assert ear.next() == ("ready", "a")
        server.execute(  # PgBouncer then uses another, in which nobody has listened
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'sseprog'"
        )
        assert "LISTEN does not last" in str(ended.get(timeout=6))


FORKS = """
import os, sys
from sseprog._settings import Settings
from sseprog.brokers.postgresql import PostgreSQLStore
from sseprog.store import Append, Create, Line, Want

store = PostgreSQLStore(sys.argv[1], Settings())
store.write([Create("a", "e", None, Line("p", b"0"))])
[before] = store._link.execute("SELECT pg_backend_pid()")
if not (child := os.fork()):
    store.abandon()
    answers = store.write([Append("a", None, "child", 1, "e", 0, "s", Line("p", b"1"))])
    [here] = store._link.execute("SELECT pg_backend_pid()")
    store.close()
    sys.exit(0 if here != before and answers[0].said == "ok" else 1)
assert os.waitpid(child, 0)[1] == 0
if not (child := os.fork()):
    store.abandon()
    del store
    sys.exit(0)  # with all destructors
assert os.waitpid(child, 0)[1] == 0
[after] = store._link.execute("SELECT pg_backend_pid()")
assert after == before
[view] = store.read([Want("a")])
assert view.seq == 1
store.close()
"""


def test_a_forked_child_leaves_its_parents_connection_alone(server: PostgreSQL, table: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-c", FORKS, f"{server.url}?table={table}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


FORKS_AT_WORK = """
import os, sys, threading
from sseprog._settings import Settings
from sseprog.brokers.postgresql import PostgreSQLStore
from sseprog.store import Append, Create, Line, Want

store = PostgreSQLStore(sys.argv[1], Settings())
store.write([Create("a", "e", None, Line("p", b"0"))])

def write_on(name, times):
    for number in range(times):
        write = Append("a", None, name, number, "e", 0, "s", Line("p", b"1"))
        assert store.write([write])[0].said == "ok"

threads = [threading.Thread(target=write_on, args=(name, 200)) for name in ("one", "two")]
for thread in threads:
    thread.start()
children = []
for nth in range(5):
    child = os.fork()
    if not child:
        store.abandon()
        write_on(f"child-{nth}", 10)
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
for thread in threads:
    thread.join()
assert store.read([Want("a", newest=True)])[0].seq == 450
store.close()
"""


def test_a_process_that_forks_in_the_middle_of_a_write_goes_on(
    server: PostgreSQL, table: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORKS_AT_WORK, f"{server.url}?table={table}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_a_forked_child_closes_the_sockets(server: PostgreSQL, make: Make) -> None:
    store = make()
    store.write([create()])
    assert store._link is not None
    number = store._link.fileno()
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            store.abandon()
            os.fstat(number)
        except OSError:
            os.write(writes, b"closed")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writes)
    with open(reads, "rb") as told:
        assert told.read() == b"closed"
    assert said(store.write([append(1)])) == ["ok"]


def test_a_process_has_two_connections(
    server: PostgreSQL, make: Make, eventually: Callable[..., None]
) -> None:
    server.execute("CREATE DATABASE alone")
    store = make(server.url.removesuffix("postgres") + "alone")
    assert server.connections("alone") == 0  # none before it is needed
    ear = Ear("a")
    with ear.listening(store):
        ear.next()
        at_once(3, lambda nth: [store.write([create(f"{nth}")]) for _ in range(20)])
        store.read([Want("a")])
        store.sweep()
        assert server.connections("alone") == 2
    store.close()
    eventually(lambda: server.connections("alone") == 0)


# What is due to be forgotten


def test_an_ended_job_is_forgotten_after_a_while(
    server: PostgreSQL, make: Make, table: str
) -> None:
    store = make(ttl=100.0)
    for number in range(0, 450, 50):
        ids = [str(nth) for nth in range(number, number + 50)]
        store.write([create(job_id) for job_id in ids])
        store.write([append(1, job_id, kind="c") for job_id in ids])
    store.write([create("a")])
    server.execute("UPDATE {jobs} SET expires = expires - 101 WHERE ended", table)
    assert store.read([Want("0")]) == [None]
    assert store.recent(9) == ["a"]
    assert said(store.write([append(2, "0"), Renew("0", "t"), create("1", "f")])) == [
        "unknown",
        "unknown",
        "ok",
    ]
    assert numbers(only(store.read([Want("1")]))) == [0]
    store.sweep()
    assert server.execute("SELECT job_id FROM {jobs} ORDER BY 1", table) == [("1",), ("a",)]
    assert server.execute("SELECT count(*) FROM {events}", table) == [(2,)]


def test_an_ended_job_shrinks_to_its_last_event(server: PostgreSQL, make: Make, table: str) -> None:
    store = make()
    store.write([create(), append(1), append(2, kind="c"), create("b"), append(1, "b")])
    store.sweep()
    assert numbers(only(store.read([Want("a")]))) == [0, 1, 2]
    server.execute("UPDATE {jobs} SET shrinks = shrinks - 61", table)
    store.sweep()
    a, b = store.read([Want("a"), Want("b")])
    assert a is not None
    assert b is not None
    assert (numbers(a), a.seq, a.lines[0].kind) == ([2], 2, "c")
    assert numbers(b) == [0, 1]
    assert said(store.write([begin(resume=True), append(3, token="t")])) == ["ok", "ok"]
    store.sweep()
    assert numbers(only(store.read([Want("a")]))) == [0, 3]


def test_jobs_may_be_kept_for_ever(server: PostgreSQL, make: Make, table: str) -> None:
    store = make(ttl=None, lease=None)
    store.write([create(), begin()])
    assert only(store.read([Want("a")])).lease is None
    assert server.execute("SELECT expires FROM {jobs}", table) == [(None,)]
    store.sweep()
    assert store.recent(1) == ["a"]


# URLs


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://", "postgresql://"),
        ("postgres://u:secret@h:5433/db", "postgres://u@h:5433/db"),
        ("postgresql://u:s%40cret@h/db?sslmode=require&table=x", "postgresql://u@h/db?table=x"),
        ("postgresql://h1:1,h2:2/db?password=secret", "postgresql://h1:1,h2:2/db"),
        ("postgresql://u@[::1]:7/db", "postgresql://u@[::1]:7/db"),
        ("postgresql:///db?host=/run/pg&user=u", "postgresql://u@%2Frun%2Fpg/db"),
        ("postgresql://h/db?listen=postgresql%3A%2F%2Fu%3Asecret%40x%2Fdb", "postgresql://h/db"),
        ("postgresql://h/db?listen=host%3Dx%20password%3Dsecret", "postgresql://h/db"),
    ],
)
def test_a_store_is_named_by_its_url_without_secrets(url: str, name: str) -> None:
    assert PostgreSQLStore(url, Settings()).name == name


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://h/db", "looks like postgresql://"),
        ("postgresql:h", "looks like postgresql://"),
        ("postgresql://h/db?tabel=x", "unknown parameter 'tabel'; known are libpq's, and"),
        ("postgresql://h/db?table=Jobs", "table='Jobs' is no prefix"),
        ("postgresql://h/db?table=", "table='' is no prefix"),
        ("postgresql://h/db?table=" + "x" * 42, "at most 41 characters"),
        ("postgresql://h/db?table=a&table=b", "table= is given twice"),
        ("postgresql://h/db?listen=", "listen= is empty"),
        ("postgresql://h/db?listen=nonsense", "listen= is not one that libpq understands"),
        ("postgresql://h/db?listen=postgresql://h/db?table=x", "listen= is"),
        ("postgresql://h:port/db", "percent-encoded"),
        ("postgresql://u:secret%zz@h/db", "percent-encoded"),
        ("postgresql://u:pass@secret@h/db", "percent-encoded"),
        ("postgresql://u:pass/secret@h/db", "percent-encoded"),
        ("postgresql://u:7/secret@h/db", "percent-encoded"),
        ("postgresql://u:pass?secret@h/db", "percent-encoded"),
        ("postgresql://[::1/db", "percent-encoded"),
    ],
)
def test_a_url_that_is_wrong_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as raised:
        PostgreSQLStore(url, Settings())
    assert "secret" not in str(raised.value)


def test_errors_tell_no_password(make: Make) -> None:
    store = make("postgresql://postgres:secret@127.0.0.1:1/postgres")
    with pytest.raises(BrokerUnavailable) as raised:
        store.write([create()])
    assert "secret" not in f"{raised.value}{raised.value.__cause__}"


def test_without_psycopg_the_cure_is_named() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from sseprog.errors import MissingExtra\n"
        "try:\n import sseprog.brokers.postgresql\n"
        "except MissingExtra as error:\n print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == 'The PostgreSQL broker needs psycopg: pip install "sseprog[postgresql]"\n'
