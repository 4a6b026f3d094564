"""What a broker holds of jobs: making, finding, replacing and forgetting them."""

# ruff: noqa: S101 - these are tests, which pytest runs

from collections.abc import Callable

import pytest

from .._event import Cursor
from .._settings import Settings
from ..broker import Broker
from ..errors import JobEnded, JobNotFound, TooManyJobs
from ..progress import Status
from ..shared import SharedBroker
from ._watcher import Watcher, append, event_of, eventually, refuses

__all__ = ["JobsContract"]


class JobsContract:
    """Making jobs, and their ends."""

    def test_a_new_job_has_a_log_of_one_event_with_the_number_0(
        self, broker: Broker, another: Broker
    ) -> None:
        first = event_of("j", status="pending")
        broker.create("j", None, first)
        for reads in (broker, another):
            epoch, newest = reads.newest("j")
            assert (newest.seq, newest.data, newest.terminal) == (0, first.data, False)
            assert Cursor.parse(f"{epoch}-0") == Cursor(epoch, 0)
            log = Watcher(reads, "j").log
            assert (log.epoch, log.oldest_seq, log.newest) == (epoch, 0, newest)

    @pytest.mark.parametrize("owner", [None, "7", ""])
    def test_the_owner_is_kept(self, broker: Broker, another: Broker, owner: str | None) -> None:
        broker.create("j", owner, event_of("j"))
        assert broker.owner("j") == owner
        assert another.owner("j") == owner

    def test_an_id_that_is_in_use_is_refused_and_its_job_unharmed(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", "7", event_of("j"))
        before = broker.newest("j")
        for makes in (broker, another):
            with pytest.raises(ValueError, match="j"):
                makes.create("j", "8", event_of("j"))
        assert broker.newest("j") == before
        assert broker.owner("j") == "7"

    def test_an_ended_job_is_replaced_under_a_new_epoch(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", "7", event_of("j"))
        append(broker, "j", event_of("j", 100, "completed"), None)
        before, _ = another.newest("j")
        broker.create("j", None, event_of("j", status="pending"))
        for reads in (broker, another):
            eventually(lambda: reads.newest("j")[0] != before, "the epoch is the old one")  # noqa: B023
            _, newest = reads.newest("j")
            assert (newest.seq, newest.terminal, reads.owner("j")) == (0, False, None)
        append(broker, "j", event_of("j", 1), None)

    @pytest.mark.parametrize("settings", [Settings(max_jobs=2)])
    def test_jobs_that_have_not_ended_make_no_room(
        self, broker: Broker, settings: Settings
    ) -> None:
        if broker.shared:
            pytest.skip("max_jobs is of a process, and the jobs of this broker are kept elsewhere")
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
        if broker.shared:
            pytest.skip("max_jobs is of a process, and the jobs of this broker are kept elsewhere")
        for job_id in ("a", "b", "c"):
            broker.create(job_id, None, event_of(job_id))
        for job_id in ("b", "a"):
            append(broker, job_id, event_of(job_id, status="failed"), None)
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
            lambda broker: broker.begin("j", lambda _reason: None),
            lambda broker: broker.begin("j", lambda _reason: None, resume=True),
            lambda broker: broker.cancel("j", event_of("j", status="cancelled")),
        ],
        ids=["owner", "newest", "begin", "resume", "cancel"],
    )
    def test_an_unknown_job_is_not_found(
        self, broker: Broker, call: Callable[[Broker], object]
    ) -> None:
        with pytest.raises(JobNotFound):
            call(broker)

    def test_loading_tells_whether_there_is_such_a_job(
        self, broker: Broker, another: Broker
    ) -> None:
        broker.create("j", None, event_of("j"))
        for reads in (broker, another):
            for job_id, there in (("j", True), ("k", False)):
                found: list[bool | None] = []
                reads.load(job_id, found.append)
                eventually(lambda: bool(found), "it was never loaded")  # noqa: B023
                assert found == [there]

    def test_the_newest_jobs_are_listed_first_with_their_newest_state(
        self, broker: Broker, another: Broker
    ) -> None:
        assert another.recent(9) == []
        for job_id in ("a", "b", "c"):
            broker.create(job_id, f"owner of {job_id}", event_of(job_id))
        last = event_of("b", 100, "completed")
        append(broker, "b", last, None)
        listed = another.recent(2)
        assert [(owner, entry.seq) for owner, entry in listed] == [
            ("owner of c", 0),
            ("owner of b", 1),
        ]
        assert listed[1][1].data == last.data
        broker.create("b", None, again := event_of("b"))
        listed = another.recent(9)
        assert [owner for owner, _ in listed] == [None, "owner of c", "owner of a"]
        assert listed[0][1].data == again.data

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "lost"])
    def test_an_ended_job_accepts_nothing_and_can_be_read(
        self, broker: Broker, another: Broker, status: Status
    ) -> None:
        broker.create("j", "7", event_of("j"))
        token = broker.begin("j", lambda _reason: None).token
        last = event_of("j", status=status)
        append(broker, "j", last, token)
        for event, given in ((event_of("j"), token), (event_of("j"), None), (last, token)):
            assert refuses(broker, "j", event, given) or broker.shared
            assert refuses(another, "j", event, given) or another.shared
        for ends in (broker, another):
            with pytest.raises(JobEnded):
                ends.begin("j", lambda _reason: None)
            with pytest.raises(JobEnded):
                ends.cancel("j", event_of("j", status="cancelled"))
        for reads in (broker, another):
            eventually(lambda: reads.newest("j")[1].terminal, "its end is not seen")  # noqa: B023
            _, newest = reads.newest("j")
            assert (newest.seq, newest.data, newest.terminal) == (1, last.data, True)
            assert reads.owner("j") == "7"
            assert Watcher(reads, "j").log.ended

    @pytest.mark.parametrize("settings", [Settings(ttl=0.3)])
    def test_an_ended_job_is_forgotten_after_its_time_to_live_and_no_other(
        self, broker: Broker, another: Broker, settings: Settings
    ) -> None:
        for job_id in ("ended", "running", "pending"):
            broker.create(job_id, None, event_of(job_id))
        broker.begin("running", lambda _reason: None)
        append(broker, "ended", event_of("ended", status="failed"), None)

        def forgotten() -> bool:
            found: list[bool | None] = []
            fresh = another
            if isinstance(another, SharedBroker):  # which keeps what it has read for a while
                fresh = type(another)(another.url, settings)
            fresh.load("ended", found.append)
            eventually(lambda: bool(found), "it was never loaded")
            if fresh is not another:
                fresh.close()
            return found == [False]

        eventually(forgotten, "it is still there")
        for job_id in ("running", "pending"):
            another.newest(job_id)
        broker.create("ended", None, event_of("ended"))

    def test_closing_twice_is_no_mistake(self, broker: Broker) -> None:
        broker.close()
        broker.close()
