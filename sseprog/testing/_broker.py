"""The suite that every broker passes, for whoever writes one. It needs pytest."""

# ruff: noqa: S101 - these are tests, which pytest runs

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from .._event import Cursor, Event
from .._log import JobLog
from .._settings import Settings
from ..broker import Broker
from ..errors import JobEnded, JobNotFound, TooManyJobs
from ..progress import Progress, Status

__all__ = ["BrokerContract", "event_of"]

PATIENCE = 10.0
"""Seconds within which a broker tells what it has to tell; a right one takes milliseconds."""

GRACE = 0.2
"""Seconds that a test waits to see that nothing comes."""


def event_of(
    job_id: str, progress: float | None = None, status: Status = "running", stage: str = ""
) -> Event:
    """Make an event as a hub does."""
    now = datetime.now(UTC)
    return Event.of(Progress(progress, stage=stage, status=status, job_id=job_id, updated_at=now))


class Listener:
    """A ``wake`` that can be waited for."""

    def __init__(self, broker: Broker, job_id: str) -> None:
        self.calls = 0
        self._called = threading.Condition()
        self._lock = broker.lock
        with broker.lock:
            self.log: JobLog = broker.watch(job_id, self.wake)

    def wake(self) -> None:
        with self._called:
            self.calls += 1
            self._called.notify_all()

    def has(self, seq: int) -> bool:
        """Wait until the log has the event ``seq``, looking again at each wake only."""

        def grown() -> bool:
            return self.log.newest.seq >= seq

        with self._called:
            before = grown()
            return before or self._called.wait_for(grown, PATIENCE)

    def woken(self) -> bool:
        with self._called:
            return self._called.wait_for(lambda: self.calls > 0, PATIENCE)

    def left_alone(self) -> bool:
        with self._called:
            return not self._called.wait_for(lambda: self.calls > 0, GRACE)


class BrokerContract:
    """What a broker must hold, test by test; `Broker` says it in words.

    Inherit, and say how to make a broker::

        class TestMyBroker(BrokerContract):
            @pytest.fixture
            def broker(self, settings: Settings) -> Iterator[Broker]:
                broker = MyBroker("mine://localhost", settings)
                yield broker
                broker.close()

    ``broker`` must start without jobs. ``settings`` is the contract's: some tests need their own.
    """

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings()

    # Making jobs

    def test_a_new_job_has_a_log_of_one_event_with_the_number_0(self, broker: Broker) -> None:
        first = event_of("j", status="pending")
        broker.create("j", None, first)
        epoch, newest = broker.newest("j")
        assert (newest.seq, newest.data, newest.terminal) == (0, first.data, False)
        assert Cursor.parse(f"{epoch}-0") == Cursor(epoch, 0)
        log = Listener(broker, "j").log
        assert (log.epoch, log.oldest_seq, log.newest) == (epoch, 0, newest)

    @pytest.mark.parametrize("owner", [None, "7", ""])
    def test_the_owner_is_kept(self, broker: Broker, owner: str | None) -> None:
        broker.create("j", owner, event_of("j"))
        assert broker.owner("j") == owner

    def test_an_id_that_is_in_use_is_refused_and_its_job_unharmed(self, broker: Broker) -> None:
        broker.create("j", "7", event_of("j"))
        before = broker.newest("j")
        with pytest.raises(ValueError, match="j"):
            broker.create("j", "8", event_of("j"))
        assert broker.newest("j") == before
        assert broker.owner("j") == "7"

    def test_an_ended_job_is_replaced_under_a_new_epoch(self, broker: Broker) -> None:
        broker.create("j", "7", event_of("j"))
        broker.append("j", event_of("j", 100, "completed"), token=None)
        before, _ = broker.newest("j")
        broker.create("j", None, event_of("j", status="pending"))
        epoch, newest = broker.newest("j")
        assert epoch != before
        assert (newest.seq, newest.terminal, broker.owner("j")) == (0, False, None)
        broker.append("j", event_of("j", 1), token=None)

    @pytest.mark.parametrize("settings", [Settings(max_jobs=2)])
    def test_jobs_that_have_not_ended_make_no_room(
        self, broker: Broker, settings: Settings
    ) -> None:
        for job_id in ("a", "b"):
            broker.create(job_id, None, event_of(job_id))
        with pytest.raises(TooManyJobs):
            broker.create("c", None, event_of("c"))
        with pytest.raises(JobNotFound):
            broker.newest("c")
        for job_id in ("a", "b"):
            assert broker.newest(job_id)[1].seq == 0

    @pytest.mark.parametrize("settings", [Settings(max_jobs=3)])
    def test_jobs_that_have_ended_make_room_the_first_to_end_first(
        self, broker: Broker, settings: Settings
    ) -> None:
        for job_id in ("a", "b", "c"):
            broker.create(job_id, None, event_of(job_id))
        for job_id in ("b", "a"):
            broker.append(job_id, event_of(job_id, status="failed"), token=None)
        broker.create("d", None, event_of("d"))
        with pytest.raises(JobNotFound):
            broker.newest("b")
        for job_id in ("a", "c", "d"):
            broker.newest(job_id)

    @pytest.mark.parametrize(
        "call",
        [
            lambda broker: broker.owner("j"),
            lambda broker: broker.newest("j"),
            lambda broker: broker.begin("j", lambda: None),
            lambda broker: broker.append("j", event_of("j"), token=None),
            lambda broker: broker.append("j", event_of("j"), token="t"),  # noqa: S106
            lambda broker: broker.cancel("j", event_of("j", status="cancelled")),
            lambda broker: broker.watch("j", lambda: None),
        ],
        ids=["owner", "newest", "begin", "append", "append held", "cancel", "watch"],
    )
    def test_an_unknown_job_is_not_found(
        self, broker: Broker, call: Callable[[Broker], object]
    ) -> None:
        with pytest.raises(JobNotFound):
            call(broker)

    def test_the_newest_jobs_are_listed_first_with_their_newest_state(self, broker: Broker) -> None:
        assert broker.recent(9) == []
        for job_id in ("a", "b", "c"):
            broker.create(job_id, None, event_of(job_id))
        last = event_of("b", 100, "completed")
        broker.append("b", last, token=None)
        listed = broker.recent(2)
        assert [entry.seq for entry in listed] == [0, 1]
        assert listed[1].data == last.data
        broker.create("b", None, event_of("b"))
        assert [entry.data for entry in broker.recent(9)] == [
            broker.newest(job_id)[1].data for job_id in ("b", "c", "a")
        ]

    # The log

    def test_events_are_numbered_without_a_gap_and_kept_as_they_were(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j", status="pending"))
        listener = Listener(broker, "j")
        token = broker.begin("j", lambda: None)
        sent = [event_of("j", n, stage=f"{n}") for n in range(10)]
        for number, event in enumerate(sent, start=1):
            broker.append("j", event, token=token)
            assert broker.newest("j")[1].seq == number
        assert listener.has(10)
        with broker.lock:
            frames = listener.log.since(0, conflate=False)
        epoch = listener.log.epoch.encode()
        assert frames == b"".join(
            b"id: %b-%d\nevent: progress\ndata: %b\n\n" % (epoch, number, event.data)
            for number, event in enumerate(sent, start=1)
        )

    @pytest.mark.parametrize("settings", [Settings(retention=None)])
    def test_events_of_several_threads_are_numbered_without_a_gap(
        self, broker: Broker, settings: Settings
    ) -> None:
        broker.create("j", None, event_of("j"))
        listener = Listener(broker, "j")
        token = broker.begin("j", lambda: None)

        def write() -> None:
            for _ in range(50):
                broker.append("j", event_of("j"), token=token)

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert listener.has(200)
        with broker.lock:
            numbers = [listener.log.status(seq).partition(b"\n")[0] for seq in range(201)]
        assert numbers == [f"id: {listener.log.epoch}-{seq}".encode() for seq in range(201)]

    @pytest.mark.parametrize("settings", [Settings(retention=4)])
    def test_the_newest_events_are_kept_for_who_comes_late(
        self, broker: Broker, settings: Settings
    ) -> None:
        broker.create("j", None, event_of("j"))
        early = Listener(broker, "j")
        for n in range(9):
            broker.append("j", event_of("j", n), token=None)
        assert early.has(9)
        for log in (early.log, Listener(broker, "j").log):
            with broker.lock:
                assert (log.oldest_seq, log.newest.seq) == (6, 9)
                assert log.since(5, conflate=False)

    # Waking

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

        with broker.lock:
            log = broker.watch("j", wake)
        broker.append("j", event_of("j", 1), token=None)
        assert done.wait(PATIENCE)
        assert seen[0] == (1, True)

    def test_every_watcher_of_the_job_is_woken_and_no_other(self, broker: Broker) -> None:
        for job_id in ("j", "k"):
            broker.create(job_id, None, event_of(job_id))
        one, two, other = (Listener(broker, job_id) for job_id in ("j", "j", "k"))
        broker.append("j", event_of("j", 1), token=None)
        assert one.woken()
        assert two.woken()
        assert other.left_alone()
        assert other.log.newest.seq == 0

    def test_a_watcher_that_has_left_is_not_woken(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        left, stays = Listener(broker, "j"), Listener(broker, "j")
        broker.unwatch("j", left.wake)
        broker.unwatch("j", left.wake)
        broker.unwatch("unknown", left.wake)
        broker.append("j", event_of("j", 1), token=None)
        assert stays.woken()
        assert left.calls == 0

    def test_an_append_that_is_refused_wakes_nobody(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        broker.begin("j", lambda: None)
        listener = Listener(broker, "j")
        with pytest.raises(JobEnded):
            broker.append("j", event_of("j", 1), token="old")  # noqa: S106
        assert listener.left_alone()

    def test_the_lock_is_reentrant(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        with broker.lock, broker.lock:
            assert broker.newest("j")[1].seq == 0
            broker.unwatch("j", lambda: None)

    # Holding

    def test_the_newest_token_wins(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        old = broker.begin("j", lambda: None)
        new = broker.begin("j", lambda: None)
        assert old != new
        with pytest.raises(JobEnded):
            broker.append("j", event_of("j", 1), token=old)
        assert broker.newest("j")[1].seq == 0
        broker.append("j", event_of("j", 1), token=new)

    def test_who_holds_nothing_speaks_only_while_nobody_holds_the_job(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        broker.append("j", event_of("j"), token=None)
        broker.begin("j", lambda: None)
        with pytest.raises(JobEnded):
            broker.append("j", event_of("j"), token=None)
        assert broker.newest("j")[1].seq == 1

    def test_renewing_tells_which_jobs_are_held_no_more(self, broker: Broker) -> None:
        tokens = {}
        for job_id in ("held", "taken", "ended"):
            broker.create(job_id, None, event_of(job_id))
            tokens[job_id] = broker.begin(job_id, lambda: None)
        broker.begin("taken", lambda: None)
        broker.append("ended", event_of("ended", status="failed"), token=tokens["ended"])
        lost = broker.renew([*tokens.items(), ("unknown", "t")])
        assert sorted(lost) == ["ended", "taken", "unknown"]
        assert list(broker.renew([("held", tokens["held"])])) == []

    # Cancelling

    def test_a_job_that_nobody_holds_is_cancelled_at_once(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        listener = Listener(broker, "j")
        cancelled = event_of("j", status="cancelled")
        assert broker.cancel("j", cancelled) is True
        assert broker.newest("j")[1].data == cancelled.data
        assert listener.has(1)
        assert listener.log.ended

    def test_the_holder_of_a_job_is_asked_to_stop(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        asked_first, asked = threading.Event(), threading.Event()
        broker.begin("j", asked_first.set)
        token = broker.begin("j", asked.set)
        assert broker.cancel("j", event_of("j", status="cancelled")) is False
        assert asked.wait(PATIENCE)
        assert not asked_first.is_set()
        assert broker.newest("j")[1].seq == 0
        broker.append("j", event_of("j", status="cancelled"), token=token)

    # Ends

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "lost"])
    def test_an_ended_job_accepts_nothing_and_can_be_read(
        self, broker: Broker, status: Status
    ) -> None:
        broker.create("j", "7", event_of("j"))
        token = broker.begin("j", lambda: None)
        last = event_of("j", status=status)
        broker.append("j", last, token=token)
        for call in (
            lambda: broker.append("j", event_of("j"), token=token),
            lambda: broker.append("j", event_of("j"), token=None),
            lambda: broker.append("j", last, token=token),
            lambda: broker.begin("j", lambda: None),
            lambda: broker.cancel("j", event_of("j", status="cancelled")),
        ):
            with pytest.raises(JobEnded):
                call()
        _, newest = broker.newest("j")
        assert (newest.seq, newest.data, newest.terminal) == (1, last.data, True)
        assert broker.owner("j") == "7"
        assert Listener(broker, "j").log.ended

    @pytest.mark.parametrize("settings", [Settings(ttl=0.3)])
    def test_an_ended_job_is_forgotten_after_its_time_to_live_and_no_other(
        self, broker: Broker, settings: Settings
    ) -> None:
        for job_id in ("ended", "running", "pending"):
            broker.create(job_id, None, event_of(job_id))
        broker.begin("running", lambda: None)
        broker.append("ended", event_of("ended", status="failed"), token=None)
        pause = threading.Event()
        for _ in range(round(PATIENCE / 0.05)):
            try:
                broker.newest("ended")
            except JobNotFound:
                break
            pause.wait(0.05)
        for ask in (broker.owner, broker.newest):
            with pytest.raises(JobNotFound):
                ask("ended")
        for job_id in ("running", "pending"):
            broker.newest(job_id)
        broker.create("ended", None, event_of("ended"))

    def test_closing_twice_is_no_mistake(self, broker: Broker) -> None:
        broker.close()
        broker.close()
