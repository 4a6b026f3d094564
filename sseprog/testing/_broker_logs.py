"""What a broker holds of logs: their order, who is woken, and what a slow or late reader gets."""

# ruff: noqa: S101 - these are tests, which pytest runs

import threading

import pytest

from .._settings import Settings
from ..broker import Broker
from . import _watcher
from ._watcher import Watcher, append, event_of, eventually, refuses

__all__ = ["LogsContract"]


class LogsContract:
    """Appending and watching, here and as from another process."""

    def test_events_are_numbered_without_a_gap_and_kept_as_they_were(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", None, event_of("j", status="pending"))
        watchers = [Watcher(broker, "j"), Watcher(another, "j")]
        token = broker.begin("j", lambda _reason: None).token
        sent = [event_of("j", n, stage=f"{n}") for n in range(10)]
        for event in sent:
            broker.append("j", event, token=token)
        for watcher in [*watchers, Watcher(another, "j")]:
            assert watcher.has(10)
            with broker.lock, another.lock:
                frames = watcher.log.since(0, conflate=False)
            epoch = watcher.log.epoch.encode()
            assert frames == b"".join(
                b"id: %b-%d\nevent: progress\ndata: %b\n\n" % (epoch, number, event.data)
                for number, event in enumerate(sent, start=1)
            )

    @pytest.mark.parametrize("settings", [Settings(retention=None)])
    def test_events_of_several_threads_are_numbered_without_a_gap(
        self, broker: Broker, another: Broker, settings: Settings
    ) -> None:
        broker.create("j", None, event_of("j"))
        watcher = Watcher(another, "j")
        token = broker.begin("j", lambda _reason: None).token

        def write() -> None:
            for _ in range(50):
                broker.append("j", event_of("j"), token=token)

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert watcher.has(200)
        expected = [f"id: {watcher.log.epoch}-{seq}".encode() for seq in range(201)]
        assert watcher.numbers(0, 200) == expected

    @pytest.mark.parametrize("settings", [Settings(retention=None)])
    def test_the_events_of_a_job_keep_their_order_and_come_once(
        self, broker: Broker, another: Broker, settings: Settings
    ) -> None:
        broker.create("j", None, event_of("j"))
        watcher = Watcher(another, "j")
        token = broker.begin("j", lambda _reason: None).token
        sent = [event_of("j", n / 10) for n in range(1_000)]
        for event in sent:
            broker.append("j", event, token=token)
        assert watcher.has(1_000)
        with another.lock:
            log = watcher.log
            frames = (log.since(0, conflate=False) or b"").split(b"\n\n")[:-1]
        assert [frame.partition(b"data: ")[2] for frame in frames] == [e.data for e in sent]

    @pytest.mark.parametrize("settings", [Settings(retention=4)])
    def test_the_newest_events_are_kept_for_who_comes_late(
        self, broker: Broker, another: Broker, settings: Settings
    ) -> None:
        broker.create("j", None, event_of("j"))
        early = Watcher(another, "j")
        for n in range(9):
            append(broker, "j", event_of("j", n), None)
        assert early.has(9)
        for watcher in (early, Watcher(another, "j"), Watcher(broker, "j")):
            assert watcher.has(9)
            with broker.lock, another.lock:
                assert (watcher.log.oldest_seq, watcher.log.newest.seq) == (6, 9)
                assert watcher.log.since(5, conflate=False)

    def test_a_stage_is_marked_where_it_opens(self, broker: Broker, another: Broker) -> None:
        broker.create("j", None, event_of("j", status="pending"))
        token = broker.begin("j", lambda _reason: None).token
        for stage in ("one", "one", "two", "two", "two"):
            append(broker, "j", event_of("j", 1, stage=stage), token)
        watcher = Watcher(another, "j")
        assert watcher.has(5)
        with another.lock:
            frames = watcher.log.since(0, conflate=True) or b""
        numbers = [line.rpartition(b"-")[2] for line in frames.split(b"\n") if b"id: " in line]
        assert numbers == [b"1", b"2", b"3", b"5"]

    def test_a_watcher_is_woken_after_the_log_has_grown_and_without_the_lock(
        self, broker: Broker
    ) -> None:
        broker.create("j", None, event_of("j"))
        seen: list[tuple[int, bool]] = []
        done = threading.Event()

        def wake() -> None:
            free: list[bool] = []

            def look() -> None:
                if broker.lock.acquire(timeout=1):
                    broker.lock.release()
                    free.append(True)

            thread = threading.Thread(target=look)  # the lock is reentrant in this one
            thread.start()
            thread.join()
            seen.append((log.newest.seq, bool(free)))
            done.set()

        broker.newest("j")
        with broker.lock:
            log = broker.watch("j", wake)
        append(broker, "j", event_of("j", 1), None)
        assert done.wait(_watcher.PATIENCE)
        assert seen[0] == (1, True)

    def test_every_watcher_of_the_job_is_woken_and_no_other(
        self, broker: Broker, another: Broker
    ) -> None:
        for job_id in ("j", "k"):
            broker.create(job_id, None, event_of(job_id))
        watchers = [Watcher(broker, "j"), Watcher(broker, "j"), Watcher(another, "j")]
        other = Watcher(another, "k")
        append(broker, "j", event_of("j", 1), None)
        assert all(watcher.woken() for watcher in watchers)
        assert other.left_alone()
        assert other.log.newest.seq == 0

    def test_a_watcher_that_has_left_is_not_woken(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        left, stays = Watcher(broker, "j"), Watcher(broker, "j")
        broker.unwatch("j", left.wake)
        broker.unwatch("j", left.wake)
        broker.unwatch("unknown", left.wake)
        append(broker, "j", event_of("j", 1), None)
        assert stays.woken()
        assert left.calls == 0

    def test_an_append_that_is_refused_wakes_nobody(self, broker: Broker, another: Broker) -> None:
        broker.create("j", None, event_of("j"))
        broker.begin("j", lambda _reason: None)
        watchers = Watcher(broker, "j"), Watcher(another, "j")
        refuses(broker, "j", event_of("j", 1), "old")
        refuses(another, "j", event_of("j", 1), "old")
        assert all(watcher.left_alone() for watcher in watchers)

    @pytest.mark.parametrize("settings", [Settings(retention=None)])
    def test_who_comes_while_events_come_misses_none(
        self, broker: Broker, another: Broker, settings: Settings
    ) -> None:
        broker.create("j", None, event_of("j"))
        token = broker.begin("j", lambda _reason: None).token
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                append(broker, "j", event_of("j", 1), token)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(20):
                watcher = Watcher(another, "j")
                first = watcher.log.newest.seq
                assert watcher.has(first + 3)
                epoch = watcher.log.epoch
                expected = [f"id: {epoch}-{seq}".encode() for seq in range(first, first + 4)]
                assert watcher.numbers(first, first + 3) == expected
                another.unwatch("j", watcher.wake)
        finally:
            stop.set()
            thread.join()

    def test_the_lock_is_reentrant(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        broker.newest("j")
        with broker.lock, broker.lock:
            assert broker.newest("j")[1].seq == 0
            broker.unwatch("j", lambda: None)

    def test_what_is_appended_is_soon_seen_by_who_asks(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", None, event_of("j"))
        assert another.newest("j")[1].seq == 0
        for number in range(1, 6):
            append(broker, "j", event_of("j", number), None)
            eventually(lambda: another.newest("j")[1].seq == number, "it is not seen")  # noqa: B023
