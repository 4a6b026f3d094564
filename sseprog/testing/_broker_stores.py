"""What a store holds, the back end of a broker that processes share."""

# ruff: noqa: S101 - these are tests, which pytest runs

import random
import secrets
import threading
from collections.abc import Iterable, Iterator

import pytest

from .._listener import Bell, Changes
from .._record import Record, decide
from .._settings import Settings
from ..broker import Broker
from ..errors import BrokerUnavailable
from ..shared import SharedBroker
from ..store import (
    Answer,
    Append,
    Begin,
    Cancel,
    Create,
    Line,
    Rebase,
    Renew,
    Store,
    Want,
    Write,
)
from ._watcher import PATIENCE, eventually

__all__ = ["StoresContract"]

_JOBS = ("a", "b")
_TOKENS = ("t1", "t2")


class StoresContract:
    """The store of a `SharedBroker`, by itself; other brokers have none."""

    @pytest.fixture
    def store(self, broker: Broker, settings: Settings) -> Iterator[Store]:
        if not isinstance(broker, SharedBroker):
            pytest.skip("it has no store")
        store = broker.store_type(broker.url, settings)
        yield store
        store.close()

    @pytest.mark.parametrize("seed", range(12))
    def test_a_store_does_what_decide_says(self, store: Store, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        settings = Settings()
        records: dict[str, Record | None] = {}
        logs: dict[str, list[tuple[int, Line]]] = {}
        for _ in range(40):
            batch = [_any_write(chance, records) for _ in range(chance.randint(1, 6))]
            expected: list[Answer] = []
            for write in batch:
                step = decide(records.get(write.job_id), write, 0.0, settings)
                records[write.job_id] = step.record
                expected.append(step.answer)
                if step.restarts:
                    logs[write.job_id] = []
                if step.line is not None and step.record is not None:
                    logs[write.job_id].append((step.record.seq, step.line))
            assert store.write(batch) == expected
            views = store.read([Want(job_id) for job_id in _JOBS])
            for job_id, view in zip(_JOBS, views, strict=True):
                record = records.get(job_id)
                if record is None:
                    assert view is None
                    continue
                assert view is not None
                assert (view.epoch, view.seq, view.owner) == (
                    record.epoch,
                    record.seq,
                    record.owner,
                )
                numbers = range(view.seq + 1 - len(view.lines), view.seq + 1)
                assert list(zip(numbers, view.lines, strict=True)) == logs[job_id]
                assert (view.lease is not None) == record.held
                assert view.stalled == record.stalled

    def test_a_batch_that_is_repeated_changes_nothing(self, store: Store) -> None:
        first, line = Line("s", b'{"n":0}'), Line("p", b'{"n":1}')
        batch: list[Write] = [
            Create("a", "e1", "7", first),
            Begin("a", "t", "e2", resume=False, line=first),
            *(Append("a", "t", "w", n, "", -1, "spare", line) for n in (1, 2, 3)),
        ]
        answers = store.write(batch)
        assert [answer.said for answer in answers] == ["ok"] * 5
        assert [answer.said for answer in store.write(batch)] == ["ok"] * 5
        [view] = store.read([Want("a")])
        assert view is not None
        assert (view.epoch, view.seq, list(view.lines)) == ("e1", 3, [first, line, line, line])

    def test_what_follows_a_cursor_is_read_and_all_of_another_epoch(self, store: Store) -> None:
        lines = [Line("s", b'{"n":%d}' % n) for n in range(5)]
        store.write([Create("a", "e", None, lines[0])])
        store.write([Append("a", None, "w", n, "e", 0, "spare", lines[n]) for n in range(1, 5)])
        for want, expected in (
            (Want("a"), lines),
            (Want("a", "e", 2), lines[3:]),
            (Want("a", "e", 4), []),
            (Want("a", "other", 2), lines),
            (Want("a", newest=True), lines[4:]),
        ):
            [view] = store.read([want])
            assert view is not None
            assert (view.seq, list(view.lines)) == (4, expected)
        assert store.read([Want("unknown"), Want("a", "e", 4)])[0] is None

    def test_any_bytes_and_any_owner_are_kept(self, store: Store) -> None:
        data = '{"message":"\\u0000 \N{SNOWMAN} \\n %s"}'.encode() + b" " * 20_000
        store.write([Create("A.z_~:-9", "e", "\N{SNOWMAN} '; --\n", Line("s", data))])
        [view] = store.read([Want("A.z_~:-9")])
        assert view is not None
        assert (view.owner, view.lines[0].data) == ("\N{SNOWMAN} '; --\n", data)

    @pytest.mark.parametrize("settings", [Settings(retention=3)])
    def test_the_newest_events_are_kept_and_no_more(self, store: Store, settings: Settings) -> None:
        line = Line("p", b"{}")
        store.write([Create("a", "e", None, line)])
        for n in range(1, 10):
            store.write([Append("a", None, "w", n, "e", 0, "spare", line)])
        [view] = store.read([Want("a")])
        assert view is not None
        assert (view.seq, len(view.lines)) == (9, 3)

    def test_a_listener_is_told_all_of_its_jobs_from_ready_on(
        self, store: Store, broker: Broker, settings: Settings
    ) -> None:
        assert isinstance(broker, SharedBroker)
        writes = broker.store_type(broker.url, settings)
        ear = _Ear({"a"}, {"b"})
        thread = threading.Thread(target=store.listen, args=[ear])
        thread.start()
        try:
            line = Line("s", b"{}")
            writes.write([Create(job_id, "e", None, line) for job_id in ("a", "b", "c")])
            assert ear.readied.wait(PATIENCE)
            writes.write([Begin("b", "t", "x", resume=False, line=line)])
            writes.write([Append("a", None, "w", 1, "e", 0, "s", line)])
            eventually(lambda: ear.seq_of("a", writes) >= 1, "the event was not told")
            writes.write([Cancel("b", Line("e", b"{}"))])
            eventually(lambda: "b" in ear.asks, "the cancelling was not told")
            ear.jobs.add("c")
            ear.bell.ring()
            eventually(lambda: "c" in ear.ready_ids, "a job that came later is not listened to")
            writes.write([Append("c", None, "w", 2, "e", 0, "s", line)])
            eventually(lambda: ear.seq_of("c", writes) >= 1, "the event was not told")
        finally:
            ear.closed = True
            ear.bell.ring()
            thread.join(PATIENCE)
            ear.bell.close()
            writes.close()
        assert not thread.is_alive()

    def test_two_that_write_at_once_number_without_a_gap(
        self, store: Store, broker: Broker, settings: Settings
    ) -> None:
        assert isinstance(broker, SharedBroker)
        line = Line("p", b"{}")
        store.write([Create(job_id, "e", None, line) for job_id in _JOBS])
        stores = [store, *(broker.store_type(broker.url, settings) for _ in range(3))]
        numbers: list[tuple[str, int]] = []

        def write(store: Store) -> None:
            writer = secrets.token_hex(4)
            for n in range(1, 51):
                jobs = _JOBS if n % 2 else _JOBS[::-1]
                batch = [Append(j, None, writer, n, "e", 0, "s", line) for j in jobs]
                for job_id, answer in zip(jobs, store.write(batch), strict=True):
                    numbers.append((job_id, answer.seq))

        threads = [threading.Thread(target=write, args=[each]) for each in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for each in stores[1:]:
            each.close()
        assert sorted(numbers) == [(job_id, n) for job_id in _JOBS for n in range(1, 201)]


class _Ear:
    """A listener that notes what it is told."""

    def __init__(self, jobs: set[str], holds: set[str]) -> None:
        self.bell = Bell()
        self.closed = False
        self.jobs = jobs
        self.holds = holds
        self.known: tuple[set[str], set[str]] = set(), set()
        self.readied = threading.Event()
        self.ready_ids: set[str] = set()
        self.told: dict[str, int] = {}
        self.dirty: set[str] = set()
        self.asks: set[str] = set()

    def changes(self) -> Changes:
        jobs, holds = self.known
        self.known = set(self.jobs), set(self.holds)
        come, held = self.known
        return Changes(come - jobs, jobs - come, held - holds, holds - held)

    def ready(self, job_ids: Iterable[str]) -> None:
        self.ready_ids.update(job_ids)
        if "a" in self.ready_ids:
            self.readied.set()

    def news(self, job_id: str, epoch: str, seq: int, line: Line) -> None:
        self.told[job_id] = seq

    def unheard(self, job_ids: Iterable[str], error: BrokerUnavailable) -> None:
        raise error

    def changed(self, job_id: str) -> None:
        self.dirty.add(job_id)

    def asked(self, job_id: str) -> None:
        self.asks.add(job_id)

    def seq_of(self, job_id: str, store: Store) -> int:
        """Return the number of the newest event that was told of, or is to be read."""
        if job_id in self.dirty:
            self.dirty.discard(job_id)
            [view] = store.read([Want(job_id)])
            self.told[job_id] = view.seq if view is not None else -1
        return self.told.get(job_id, -1)


def _any_write(chance: random.Random, records: dict[str, Record | None]) -> Write:
    """Make a write that may well collide with another one."""
    job_id = chance.choice(_JOBS)
    record = records.get(job_id)
    epoch = chance.choice(["e", record.epoch if record is not None else "f"])
    seen = chance.choice([0, record.seq if record is not None else 0, 99 * chance.randint(0, 1)])
    token = chance.choice([*_TOKENS, None, record.token if record is not None else None])
    line = Line(
        chance.choice(["p", "p", "s", "s", "p", "c", "e"]), b'{"n":%d}' % chance.randint(0, 9)
    )
    spare = f"x{chance.randint(0, 10**6)}"
    match chance.randint(0, 9):
        case 0 | 1:
            return Create(job_id, chance.choice([epoch, spare]), chance.choice([None, "7"]), line)
        case 2 | 3:
            resume = chance.random() < 0.5
            return Begin(job_id, token or "t1", spare, resume, line)
        case 4:
            return Renew(job_id, token or "t2")
        case 5:
            return Cancel(job_id, Line("e", b'{"n":-1}'))
        case 6:
            return Rebase(job_id, epoch, seen, spare, line)
    number = chance.randint(1, 4)
    writer, release = chance.choice(["w1", "w2"]), chance.random() < 0.1
    return Append(job_id, token, writer, number, epoch, seen, spare, line, release)
