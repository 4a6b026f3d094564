"""The broker in memory keeps the contract, and the contract notices brokers that don't."""

import inspect
import time
from collections.abc import Callable, Iterator

import pytest

from sseprog._event import Event
from sseprog._log import JobLog
from sseprog._settings import Settings
from sseprog.broker import Broker, Hold
from sseprog.brokers.memory import REPLAY_AFTER_END, MemoryBroker
from sseprog.errors import JobEnded, TooManyJobs
from sseprog.testing import BrokerContract, event_of


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def broker(self, settings: Settings) -> Iterator[Broker]:
        broker = MemoryBroker("memory://", settings)
        yield broker
        broker.close()


class SwallowsWakes(MemoryBroker):
    def watch(self, job_id: str, wake: Callable[[], None]) -> JobLog:
        return super().watch(job_id, lambda: None)


class WakesUnderTheLock(MemoryBroker):
    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        with self.lock:
            super().append(job_id, event, token=token, release=release)


class WakesTooEarly(MemoryBroker):
    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        for wake in self._find(job_id).wakes:
            wake()
        super().append(job_id, event, token=token, release=release)


class WakesForRefusals(MemoryBroker):
    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        try:
            super().append(job_id, event, token=token, release=release)
        except JobEnded:
            for wake in self._find(job_id).wakes:
                wake()
            raise


class LetsTheFirstTokenWin(MemoryBroker):
    def begin(
        self,
        job_id: str,
        stop: Callable[[str], None],
        *,
        resume: bool = False,
        owner: str | None = None,
    ) -> Hold:
        first = self._find(job_id).token
        hold = super().begin(job_id, stop, resume=resume)
        self._jobs[job_id].token = first or hold.token
        return hold


class LetsAnybodyAppend(MemoryBroker):
    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        super().append(job_id, event, token=self._find_live(job_id).token)


class KeepsTheEpoch(MemoryBroker):
    def create(self, job_id: str, owner: str | None, first: Event) -> None:
        super().create(job_id, owner, first)
        log = JobLog.of("same", first, retention=self._settings.retention)
        self._jobs[job_id].log = log


class ReplacesRunningJobs(MemoryBroker):
    def create(self, job_id: str, owner: str | None, first: Event) -> None:
        self._jobs.pop(job_id, None)
        super().create(job_id, owner, first)


class LosesEveryFifthEvent(MemoryBroker):
    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        if self.newest(job_id)[1].seq != 4:
            super().append(job_id, event, token=token, release=release)


class KillsHeldJobs(MemoryBroker):
    def cancel(self, job_id: str, event: Event) -> bool:
        self._find_live(job_id).stop = None
        return super().cancel(job_id, event)


class NeverForgets(MemoryBroker):
    def _forget(self, job_id: str) -> None:
        self._ended.pop(job_id, None)


class ResumesTheOldLog(MemoryBroker):
    def begin(
        self,
        job_id: str,
        stop: Callable[[str], None],
        *,
        resume: bool = False,
        owner: str | None = None,
    ) -> Hold:
        return super().begin(job_id, stop)


class NeverGivesBack(MemoryBroker):
    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        super().append(job_id, event, token=token)


class StillAccepts(MemoryBroker):
    def append(
        self, job_id: str, event: Event, *, token: str | None, release: bool = False
    ) -> None:
        if not self._find(job_id).log.ended:
            super().append(job_id, event, token=token, release=release)


OPTIONS = {
    "test_an_ended_job_accepts_nothing_and_can_be_read": {"status": "failed"},
    "test_jobs_that_have_ended_make_room_the_first_to_end_first": {"settings": None},
}

BROKEN = {
    SwallowsWakes: "test_every_watcher_of_the_job_is_woken_and_no_other",
    WakesUnderTheLock: "test_a_watcher_is_woken_after_the_log_has_grown_and_without_the_lock",
    WakesTooEarly: "test_a_watcher_is_woken_after_the_log_has_grown_and_without_the_lock",
    WakesForRefusals: "test_an_append_that_is_refused_wakes_nobody",
    LetsTheFirstTokenWin: "test_the_newest_token_wins",
    LetsAnybodyAppend: "test_who_holds_nothing_speaks_only_while_nobody_holds_the_job",
    KeepsTheEpoch: "test_an_ended_job_is_replaced_under_a_new_epoch",
    ReplacesRunningJobs: "test_an_id_that_is_in_use_is_refused_and_its_job_unharmed",
    LosesEveryFifthEvent: "test_events_are_numbered_without_a_gap_and_kept_as_they_were",
    KillsHeldJobs: "test_the_holder_of_a_job_is_asked_to_stop",
    ResumesTheOldLog: "test_a_job_that_runs_is_taken_over_as_a_new_attempt",
    NeverGivesBack: "test_a_job_that_is_given_back_is_held_by_nobody",
    StillAccepts: "test_an_ended_job_accepts_nothing_and_can_be_read",
    NeverForgets: "test_jobs_that_have_ended_make_room_the_first_to_end_first",
}


def run_contract(test: str, broker: Broker) -> None:
    function = getattr(BrokerContract(), test)
    options = dict(OPTIONS.get(test, {}))
    if "another" in inspect.signature(function).parameters:
        options["another"] = broker
    function(broker, **options)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_the_contract_catches_a_broken_broker(
    broken: type[MemoryBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sseprog.testing._watcher.PATIENCE", 0.2)
    test = BROKEN[broken]
    settings = Settings(max_jobs=3)
    run_contract(test, MemoryBroker("memory://", settings))
    with pytest.raises((AssertionError, pytest.fail.Exception, JobEnded, TooManyJobs)):
        run_contract(test, broken("memory://", settings))


def test_an_ended_job_keeps_its_log_for_who_reconnects_and_then_shrinks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = MemoryBroker("memory://", Settings())
    broker.create("j", None, event_of("j"))
    for n in range(5):
        broker.append("j", event_of("j", n), token=None)
    broker.append("j", event_of("j", 100, "completed"), token=None)
    log = broker.watch("j", lambda: None)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + REPLAY_AFTER_END - 1)
    broker.newest("j")
    assert (log.oldest_seq, log.newest.seq) == (0, 6)
    monkeypatch.setattr(time, "monotonic", lambda: now + REPLAY_AFTER_END + 1)
    broker.newest("j")
    assert (log.oldest_seq, log.newest.seq, log.ended) == (6, 6, True)


@pytest.mark.parametrize("url", ["memory://localhost", "memory:///path", "memory", ""])
def test_a_url_that_says_more_than_memory_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="takes nothing after memory://"):
        MemoryBroker(url, Settings())
