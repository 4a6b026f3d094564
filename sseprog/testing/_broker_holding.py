"""What a broker holds of who works on a job: tokens, attempts, cancelling, leases."""

# ruff: noqa: S101 - these are tests, which pytest runs

import threading

import pytest

from .._settings import Settings
from ..broker import Broker
from ..errors import JobEnded
from ..progress import Progress
from ..shared import SharedBroker
from ..store import Begin, Line
from ._watcher import Asked, Watcher, append, event_of, eventually, refuses

__all__ = ["HoldingContract"]


class HoldingContract:
    """Holding jobs, and losing them."""

    def test_the_newest_token_wins(self, broker: Broker, another: Broker) -> None:
        broker.create("j", None, event_of("j"))
        asked = Asked()
        old = broker.begin("j", asked).token
        hold = another.begin("j", lambda _reason: None)
        assert (hold.attempt, old != hold.token) == (1, True)
        refuses(broker, "j", event_of("j", 1), old)
        append(another, "j", new := event_of("j", 2), hold.token)
        assert asked.to("ended")
        eventually(lambda: broker.newest("j")[1].seq == 1, "the newest token's event is missing")
        assert broker.newest("j")[1].data == new.data

    def test_a_token_that_was_replaced_here_is_refused_at_once(self, broker: Broker) -> None:
        broker.create("j", None, event_of("j"))
        old = broker.begin("j", lambda _reason: None).token
        broker.begin("j", lambda _reason: None)
        assert refuses(broker, "j", event_of("j", 1), old)

    def test_who_takes_over_is_told_the_newest_state(self, broker: Broker, another: Broker) -> None:
        broker.create("j", None, event_of("j"))
        token = broker.begin("j", lambda _reason: None).token
        append(broker, "j", event := event_of("j", 30), token)
        assert another.begin("j", lambda _reason: None).newest == event.data

    def test_who_holds_nothing_speaks_only_while_nobody_holds_the_job(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", None, event_of("j"))
        append(another, "j", event_of("j"), None)
        token = broker.begin("j", lambda _reason: None).token
        refuses(another, "j", event_of("j", 50), None)
        refuses(broker, "j", event_of("j", 50), None)
        append(broker, "j", last := event_of("j", 60), token)
        eventually(lambda: another.newest("j")[1].seq == 2, "it is not seen")
        assert another.newest("j")[1].data == last.data

    def test_a_job_that_is_given_back_is_held_by_nobody(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", None, event_of("j"))
        token = broker.begin("j", lambda _reason: None).token
        append(broker, "j", event_of("j", status="pending"), token, release=True)
        append(another, "j", event_of("j", status="pending"), None)
        eventually(lambda: another.newest("j")[1].seq == 2, "it is not seen")
        refuses(broker, "j", event_of("j", 1), token)

    # Attempts

    def test_a_job_that_is_resumed_begins_anew_under_a_new_epoch(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", "7", event_of("j"))
        watcher = Watcher(another, "j")
        first = broker.begin("j", lambda _reason: None, resume=True)
        epoch, _ = broker.newest("j")
        append(broker, "j", event_of("j", 70, "failed"), first.token)
        second = another.begin("j", lambda _reason: None, resume=True)
        assert (first.attempt, second.attempt) == (1, 2)
        append(another, "j", event_of("j", 1), second.token)
        assert watcher.sees(lambda log: log.epoch != epoch and not log.ended)
        assert Watcher(broker, "j").has(1)
        assert broker.owner("j") == "7"

    def test_a_job_that_runs_is_taken_over_as_a_new_attempt(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", None, event_of("j"))
        asked = Asked()
        old = broker.begin("j", asked).token
        append(broker, "j", event_of("j", 70), old)
        assert another.begin("j", lambda _reason: None, resume=True).attempt == 2
        refuses(broker, "j", event_of("j", 71), old)
        assert asked.to("ended")

    # Cancelling

    def test_a_job_that_nobody_holds_is_cancelled_at_once(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", None, event_of("j"))
        watcher = Watcher(another, "j")
        cancelled = event_of("j", status="cancelled")
        assert broker.cancel("j", cancelled) is True
        assert watcher.has(1)
        assert watcher.log.ended
        assert watcher.log.newest.data == cancelled.data

    def test_the_holder_of_a_job_is_asked_to_stop(self, broker: Broker, another: Broker) -> None:
        broker.create("j", None, event_of("j"))
        asked_first, asked = Asked(), Asked()
        broker.begin("j", asked_first)
        token = broker.begin("j", asked).token
        assert not asked.to("cancelled", 1.0)  # until it is past its beginning
        assert another.cancel("j", event_of("j", status="cancelled")) is False
        assert asked.to("cancelled", 2.0)
        assert "cancelled" not in asked_first.reasons
        assert another.newest("j")[1].seq == 0
        append(broker, "j", event_of("j", status="cancelled"), token)
        eventually(lambda: another.newest("j")[1].terminal, "its end is not seen")

    def test_who_takes_up_a_job_that_was_to_stop_is_asked_to_stop(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", None, event_of("j"))
        token = broker.begin("j", lambda _reason: None, resume=True).token
        assert another.cancel("j", event_of("j", status="cancelled")) is False
        append(broker, "j", event_of("j", status="pending"), token, release=True)
        asked = Asked()
        another.begin("j", asked, resume=True)
        assert asked.to("cancelled")

    def test_a_job_that_was_cancelled_is_not_taken_up_again(
        self, broker: Broker, another: Broker
    ) -> None:
        for job_id in ("waits", "runs"):
            broker.create(job_id, None, event_of(job_id))
        token = broker.begin("runs", lambda _reason: None, resume=True).token
        for job_id in ("waits", "runs"):
            another.cancel(job_id, event_of(job_id, status="cancelled"))
        append(broker, "runs", event_of("runs", status="cancelled"), token)
        for job_id in ("waits", "runs"):
            with pytest.raises(JobEnded):
                another.begin(job_id, lambda _reason: None, resume=True)

    # Leases, of brokers that processes share

    @pytest.mark.parametrize("settings", [Settings(lease=0.6)])
    def test_a_holder_that_lives_keeps_its_job_however_quiet_it_is(
        self, broker: Broker, another: Broker, settings: Settings
    ) -> None:
        if not broker.shared:
            pytest.skip("the holder is in the only process")
        broker.create("j", None, event_of("j"))
        watcher = Watcher(another, "j")
        token = broker.begin("j", lambda _reason: None).token
        append(broker, "j", event_of("j", 1), token)
        assert watcher.has(1)
        assert not threading.Event().wait(2.0)
        assert watcher.log.newest.seq == 1
        append(broker, "j", event_of("j", 2), token)

    @pytest.mark.parametrize("settings", [Settings(lease=1.0)])
    def test_a_job_whose_holder_has_died_is_stalled_and_then_lost_once(
        self, broker: Broker, another: Broker, settings: Settings
    ) -> None:
        if not isinstance(broker, SharedBroker):
            pytest.skip("the holder is in the only process")
        broker.create("j", None, event_of("j", 40, stage="s"))
        watchers = [Watcher(broker, "j"), Watcher(another, "j")]
        self._hold_and_die(broker, settings)
        for watcher in watchers:
            assert watcher.sees(lambda log: log.ended)
            assert watcher.log.newest.seq == 2
            with broker.lock, another.lock:
                frames = watcher.log.since(0, conflate=False) or b""
            assert frames.count(b'"status":"stalled"') == 1
            assert frames.count(b'"status":"lost"') == 1
            state = Progress.from_json(watcher.log.newest.data)
            assert (state.status, state.details["code"]) == ("lost", "lost")
            assert (state.progress, state.stage) == (40, "s")

    @pytest.mark.parametrize("settings", [Settings(lease=0.3)])
    def test_a_job_that_was_lost_while_nobody_watched_is_lost_for_who_comes_later(
        self, broker: Broker, another: Broker, settings: Settings
    ) -> None:
        if not isinstance(broker, SharedBroker):
            pytest.skip("the holder is in the only process")
        broker.create("j", None, event_of("j", 40))
        self._hold_and_die(broker, settings)
        assert not threading.Event().wait(0.8)
        _, newest = another.newest("j")
        assert Progress.from_json(newest.data).status == "lost"
        assert newest.seq == 1

    @pytest.mark.parametrize("settings", [Settings(lease=0.3)])
    def test_a_job_whose_holder_has_died_can_be_resumed_and_cancelled(
        self, broker: Broker, another: Broker, settings: Settings
    ) -> None:
        if not isinstance(broker, SharedBroker):
            pytest.skip("the holder is in the only process")
        broker.create("j", None, event_of("j", 40))
        self._hold_and_die(broker, settings)
        assert not threading.Event().wait(0.4)
        hold = another.begin("j", lambda _reason: None, resume=True)
        assert hold.attempt == 2
        append(another, "j", event_of("j", 1), hold.token)
        self._hold_and_die(broker, settings)
        assert not threading.Event().wait(0.4)
        assert broker.cancel("j", event_of("j", status="cancelled")) is True

    @staticmethod
    def _hold_and_die(broker: SharedBroker, settings: Settings) -> None:
        """Hold a job as a process does that is killed before it renews its lease."""
        store = broker.store_type(broker.url, settings)
        begin = Begin("j", "token-of-the-dead", "e", resume=False, line=Line("s", b"{}"))
        assert store.write([begin])[0].said == "ok"
        store.close()
