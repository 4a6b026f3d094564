"""A job as its emitter sees it: what is reported, what is merged, and how it ends."""

import asyncio
import logging
import math
import numbers
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sseprog import Hub, Job, JobCancelled, JobEnded, JobFailed, JobNotFound, Progress

from .conftest import MakeHub
from .event_stream import Seen, events


def history(hub: Hub, job_id: str = "j") -> list[Seen]:
    """Return all events of a job that has ended, but its first state and its last `status`."""
    return events(*hub.stream(job_id, from_start=True))[1:]


def told(hub: Hub, field: str, job_id: str = "j") -> list[object]:
    return [seen.state[field] for seen in history(hub, job_id)]


class Stopped(Exception):
    """What only a test raises."""


# What is reported


def test_a_report_has_what_was_given_and_keeps_what_was_not(hub: Hub) -> None:
    with hub.job("j") as job:
        job.update(10, stage="reading", message="chapter 1", details={"rows": 1}, eta=9)
        job.update(20)
        job.update(message="chapter 2")
        job.update(None, details={})
    fields = ("progress", "stage", "message", "details", "eta")
    assert [tuple(seen.state[field] for field in fields) for seen in history(hub)] == [
        (None, "", "", {}, None),
        (10, "reading", "chapter 1", {"rows": 1}, 9),
        (20, "reading", "chapter 1", {"rows": 1}, None),
        (20, "reading", "chapter 2", {"rows": 1}, None),
        (None, "reading", "chapter 2", {}, None),
        (100, "reading", "chapter 2", {}, None),
    ]


def test_every_event_has_the_job_and_its_times(hub: Hub) -> None:
    with hub.job("j") as job:
        job.update(1)
    instant = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    for seen in history(hub):
        assert seen.state["job_id"] == "j"
        assert re.fullmatch(instant, seen.state["started_at"])
        assert re.fullmatch(instant, seen.state["updated_at"])
        assert seen.state["started_at"] <= seen.state["updated_at"]


def test_the_state_of_a_job_is_that_of_its_newest_event(hub: Hub) -> None:
    with hub.job("j") as job:
        assert job.state == hub.snapshot("j")
        job.update(12.5, stage="reading", message="chapter 1", details={"rows": [1]}, eta=9)
        assert job.state == hub.snapshot("j")
    assert job.state == hub.snapshot("j")


def test_an_estimate_holds_until_a_report_gives_a_progress_or_a_stage(hub: Hub) -> None:
    with hub.job("j") as job:
        job.update(10, eta=30)
        job.update(message="still there")
        job.update(details={"n": 1})
        job.update(11)
        job.update(eta=20)
        job.update(stage="next")
    assert told(hub, "eta") == [None, 30, 30, 30, None, 20, None, None]


def test_a_new_stage_begins_with_an_empty_message(hub: Hub) -> None:
    with hub.job("j") as job:
        job.update(stage="a", message="in a")
        job.update(stage="a")
        job.update(stage="b")
        job.update(stage="c", message="in c")
    assert told(hub, "message") == ["", "in a", "in a", "", "in c", "in c"]


def test_progress_never_goes_backwards(hub: Hub) -> None:
    with hub.job("j") as job:
        for percent in (10, 50, 40, None, 30, 60, 0):
            job.update(percent)
    assert told(hub, "progress") == [None, 10, 50, 50, None, 50, 60, 60, 100]


@pytest.mark.parametrize(
    "report",
    [
        lambda job: job.update(math.nan),
        lambda job: job.update(-1),
        lambda job: job.update(100.1),
        lambda job: job.update("50"),
        lambda job: job.update(True),
        lambda job: job.update(2, eta=-1),
        lambda job: job.update(2, eta=math.inf),
        lambda job: job.update(2, stage="a\rb"),
        lambda job: job.update(2, stage=7),
        lambda job: job.update(2, message="a\0b"),
        lambda job: job.update(2, message="\ud800"),
        lambda job: job.update(2, details=[1]),
        lambda job: job.update(2, details={"a": object()}),
        lambda job: job.update(2, details={"a": "x" * 20 * 1024}),
        lambda job: job.report(50),
        lambda job: job.report({"progress": 50}),
        lambda job: job.track([1], stage="a\0b"),
        lambda job: job.track([1], total=-1),
        lambda job: job.track([1], total=1.5),
        lambda job: job.track([1], span=(50, 20)),
        lambda job: job.track([1], span=(0, 101)),
    ],
)
def test_what_can_not_be_is_refused_and_the_job_goes_on(
    hub: Hub, report: Callable[[Job], object]
) -> None:
    with hub.job("j") as job:
        job.update(1, stage="a", message="b", details={"c": 1})
        before = hub.snapshot("j")
        with pytest.raises((TypeError, ValueError)):
            report(job)
        assert hub.snapshot("j") == before
        job.update(2)
    assert told(hub, "status")[-1] == "completed"


def test_what_the_caller_does_with_its_details_later_changes_nothing(hub: Hub) -> None:
    details: dict[str, object] = {"rows": 1}
    with hub.job("j") as job:
        job.update(1, details=details)
        details["rows"] = object()
        job.update(2)
    assert told(hub, "details") == [{}, {"rows": 1}, {"rows": 1}, {"rows": 1}]


def test_any_thread_may_report(hub: Hub) -> None:
    with hub.job("j") as job:

        def report(start: int) -> None:
            for percent in range(start, 100, 4):
                job.update(percent)

        threads = [threading.Thread(target=report, args=[n]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    percents = [percent for percent in told(hub, "progress") if isinstance(percent, (int, float))]
    assert len(percents) == 101
    assert percents == sorted(percents)


class Template(str):
    """A text as Django's SafeString and markupsafe.Markup are."""


class Number:
    """A number as NumPy's scalars are."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return float(self.value)


numbers.Real.register(Number)


def test_texts_and_numbers_of_other_libraries_are_as_good(hub: Hub) -> None:
    job_id = hub.create(Template("j"))
    with hub.job(job_id) as job:
        job.update(
            Number(5),  # type: ignore[arg-type]
            stage=Template("a"),
            message=Template("<b>b</b>"),
            details={Template("c"): Template("d"), "loss": Number(0.5)},
        )
    seen = history(hub)[1].state
    assert (seen["progress"], seen["stage"], seen["message"]) == (5, "a", "<b>b</b>")
    assert seen["details"] == {"c": "d", "loss": 0.5}


# What is merged


def test_reports_within_the_throttle_are_merged_and_the_last_goes_out(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=0.3)
    stream = hub.stream(hub.create("j"))
    next(stream)
    with hub.job("j") as job:
        assert [seen.state["progress"] for seen in events(next(stream))] == [None]  # leading
        for percent in range(1, 51):
            job.update(percent, message=f"{percent}")
        [last] = events(next(stream))  # trailing, by itself
        assert (last.state["progress"], last.state["message"]) == (50, "50")
    assert [seen.name for seen in events(*stream)] == ["complete"]


@pytest.mark.parametrize(
    "report", [lambda job: job.update(50, stage="b"), lambda job: job.update(100)]
)
def test_a_new_stage_and_100_percent_go_out_at_once(
    make_hub: MakeHub, report: Callable[[Job], None]
) -> None:
    hub = make_hub(throttle=3600)
    with hub.job("j") as job:
        job.update(10, stage="a")
        job.update(20, message="held back")
        assert hub.snapshot("j").progress == 10
        report(job)
        newest = hub.snapshot("j")
        assert (newest.stage, newest.progress) in {("b", 50), ("a", 100)}


def test_what_could_not_wait_starts_the_throttle_anew(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=0.3)
    stream = hub.stream(hub.create("j"))
    next(stream)
    with hub.job("j") as job:
        next(stream)
        job.update(1)  # a flush is due after 0.3 s
        threading.Event().wait(0.2)
        job.update(2, stage="new")
        next(stream)
        at = time.monotonic()
        job.update(3)
        [late] = events(next(stream))
        assert late.state["progress"] == 3
        assert time.monotonic() - at > 0.2


def test_100_percent_said_again_is_no_news_that_hurries(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=3600)
    with hub.job("j") as job:
        for count in range(5):
            job.update(100, message=f"{count}")
    assert told(hub, "progress") == [None, 100, 100]
    assert told(hub, "message") == ["", "0", "4"]


@pytest.mark.parametrize("error", [None, Stopped()])
def test_the_end_is_never_held_back_and_has_the_newest_of_all(
    make_hub: MakeHub, error: Exception | None
) -> None:
    hub = make_hub(throttle=3600)
    try:
        with hub.job("j") as job:
            job.update(10, stage="a")
            job.update(40, details={"rows": 7})
            if error is not None:
                raise error
    except Stopped:
        assert error is not None
    last = history(hub)[-1].state
    assert last["details"]["rows"] == 7
    assert last["progress"] == (100 if error is None else 40)
    assert last["stage"] == "a"


# How it ends


def test_leaving_the_block_completes_the_job(hub: Hub) -> None:
    with hub.job("j") as job:
        job.update(3, message="far from done", eta=99)
    last = history(hub)[-1]
    assert last.name == "complete"
    assert (last.state["status"], last.state["progress"], last.state["eta"]) == (
        "completed",
        100,
        None,
    )


def test_the_text_of_job_failed_is_shown(hub: Hub) -> None:
    failure = JobFailed("The file has no header row.", code="no_header", details={"row": 1})
    with pytest.raises(JobFailed), hub.job("j") as job:
        job.update(30, details={"file": "a.csv"})
        raise failure
    last = history(hub)[-1]
    assert last.name == "error"
    assert last.state["status"] == "failed"
    assert last.state["message"] == "The file has no header row."
    assert last.state["details"] == {"file": "a.csv", "row": 1, "code": "no_header"}
    assert last.state["progress"] == 30


def test_any_other_exception_is_a_reference_that_is_in_the_log_too(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OSError, match="secret"), hub.job("j"):
        raise OSError("/secret/path is not readable")
    seen = history(hub)[-1]
    assert seen.state["status"] == "failed"
    assert seen.state["message"] == "The job failed."
    assert seen.state["details"]["code"] == "unexpected"
    assert "secret" not in seen.data
    reference = seen.state["details"]["reference"]
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert reference in record.getMessage()
    assert "/secret/path" in caplog.text


@pytest.mark.parametrize(
    ("failure", "message", "details"),
    [
        (JobFailed(""), "The job failed.", {"code": "failed"}),
        (JobFailed("a\0b\x1b[2J"), "a\ufffdb\ufffd[2J", {"code": "failed"}),
        (JobFailed("x", code="a\0b"), "x", {"code": "a\ufffdb"}),
        (JobFailed("x", details={"o": object()}), "x", {"code": "failed"}),
        (JobFailed("x", details={"big": "x" * 20_000}), "x", {"code": "failed"}),
        (JobFailed("x", details={"code": "mine"}), "x", {"code": "failed"}),
        (JobFailed("x", details={"log": "a" * 16_374}), "x", {"code": "failed"}),
        (JobFailed("x", code="y" * 20_000), "x", {"code": "y" * 128}),
        (JobFailed("x", code=None), "x", {"code": "None"}),  # type: ignore[arg-type]
        (JobFailed(ValueError("why")), "why", {"code": "failed"}),  # type: ignore[arg-type]
    ],
)
def test_a_failure_that_can_not_be_shown_whole_is_shown_as_well_as_can_be(
    hub: Hub, failure: JobFailed, message: str, details: dict[str, object]
) -> None:
    with pytest.raises(JobFailed), hub.job("j"):
        raise failure
    last = history(hub)[-1].state
    assert (last["message"], last["details"]) == (message, details)


def test_a_job_failed_of_the_applications_own_ends_the_job_whatever_it_lacks(hub: Hub) -> None:
    class Mine(JobFailed):
        def __init__(self) -> None:
            """Forget to call super().__init__()."""

    with pytest.raises(Mine), hub.job("j"):
        raise Mine
    last = history(hub)[-1].state
    assert (last["status"], last["message"]) == ("failed", "The job failed.")


def test_details_that_leave_no_room_for_the_failure_make_room_for_it(hub: Hub) -> None:
    with pytest.raises(JobFailed), hub.job("j") as job:
        job.update(1, details={"big": "x" * 16_000})
        raise JobFailed("x", details={"why": "y" * 1000})
    assert history(hub)[-1].state["details"] == {"code": "failed", "why": "y" * 1000}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_process_that_stops_interrupts_the_job(hub: Hub, error: type[BaseException]) -> None:
    with pytest.raises(error), hub.job("j"):
        raise error
    last = history(hub)[-1].state
    assert (last["status"], last["details"]) == ("failed", {"code": "interrupted"})


def test_a_cancelled_job_is_told_so_at_its_next_report(hub: Hub) -> None:
    with pytest.raises(JobCancelled), hub.job("j") as job:
        job.update(10, stage="a")
        assert not job.cancelled
        hub.cancel("j")
        assert job.cancelled
        job.update(20)
    last = history(hub)[-1].state
    assert last["status"] == "cancelled"
    assert last["details"] == {"code": "cancelled"}
    assert (last["progress"], last["stage"]) == (10, "a")


def test_a_job_that_ends_before_it_notices_its_cancellation_is_complete(hub: Hub) -> None:
    with hub.job("j"):
        hub.cancel("j")
    assert told(hub, "status")[-1] == "completed"


async def test_a_task_that_is_cancelled_cancels_its_job(hub: Hub) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with hub.job("j") as job:
            job.update(5)
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told(hub, "status")[-1] == "cancelled"


async def test_a_coroutine_reports_as_a_thread_does(hub: Hub) -> None:
    async with hub.job("j") as job:
        job.update(5, stage="a")
        await asyncio.sleep(0)
        job.update(6)
    assert [seen.name for seen in history(hub)] == ["progress", "progress", "progress", "complete"]


@pytest.mark.parametrize("ending", ["complete", "fail", "cancel"])
def test_a_job_ends_once(hub: Hub, ending: str) -> None:
    job = hub.job("j")
    try:
        with job:
            if ending == "cancel":
                hub.cancel("j")
                job.update(1)
            if ending == "fail":
                raise JobFailed("no")
    except (JobCancelled, JobFailed):
        assert ending != "complete"
    before = hub.broker.newest("j")
    for again in (
        lambda: job.update(2),
        lambda: job.report(Progress(2)),
        lambda: next(iter(job.track([1]))),
        lambda: job.__enter__(),
        lambda: hub.job("j").__enter__(),
        lambda: hub.cancel("j"),
    ):
        with pytest.raises(JobEnded):
            again()
    job.__exit__(None, None, None)
    assert hub.broker.newest("j") == before
    assert [seen.name for seen in history(hub)].count("error") == (ending != "complete")


def test_a_job_outside_its_block_is_not_begun(hub: Hub) -> None:
    job = hub.job(hub.create("j"))
    with pytest.raises(JobEnded, match="with block"):
        job.update(1)
    assert hub.snapshot("j").status == "pending"


def test_entering_makes_a_job_that_was_not_created(hub: Hub) -> None:
    job = hub.job("j")
    with pytest.raises(JobNotFound):
        hub.snapshot("j")
    with job:
        assert hub.snapshot("j").status == "running"


@pytest.mark.parametrize("job_id", ["../x", "", "a b", "a\n", "stream", "x" * 129, 7])
def test_a_bad_id_is_refused_where_it_is_made(hub: Hub, job_id: str) -> None:
    with pytest.raises((TypeError, ValueError), match="job id"):
        hub.job(job_id)


def test_whoever_takes_over_wins(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    old, new = hub.job("j"), hub.job("j")
    with pytest.raises(JobEnded), old:
        old.update(10)
        with new:
            new.update(20)
            with pytest.raises(JobEnded):
                old.update(30)
            new.update(40)
        old.update(50)
    assert told(hub, "progress") == [None, 10, 10, 20, 40, 100]
    assert [seen.name for seen in history(hub)].count("complete") == 1


def test_whoever_takes_over_goes_on_from_where_the_job_was(hub: Hub) -> None:
    old = hub.job("j").__enter__()
    old.update(80, stage="b", message="half-way")
    with hub.job("j") as new:
        new.update(10, stage="a")
    seen = history(hub)
    assert [each.state["progress"] for each in seen] == [None, 80, 80, 80, 100]
    assert len({each.state["started_at"] for each in seen}) == 1


def test_two_threads_that_enter_a_new_job_at_once_take_turns(hub: Hub) -> None:
    for n in range(50):
        barrier = threading.Barrier(2)
        errors: list[BaseException] = []

        def enter(
            name: str = f"j{n}",
            barrier: threading.Barrier = barrier,
            errors: list[BaseException] = errors,
        ) -> None:
            barrier.wait()
            try:
                hub.job(name).__enter__()
            except JobEnded:
                pass  # the other has taken over between two steps of this one
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=enter) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors


def test_a_job_that_was_taken_over_ends_with_a_word_in_the_log(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    new = hub.job("j")
    with hub.job("j"):
        new.__enter__()
    assert "it had ended before, or was taken over" in caplog.text
    new.__exit__(None, None, None)
    assert told(hub, "status")[-1] == "completed"


# Tracking


def items(count: int) -> Iterator[int]:
    yield from range(count)


def test_tracking_counts_what_has_been_worked_on(hub: Hub) -> None:
    with hub.job("j") as job:
        assert list(job.track(range(4), stage="a")) == [0, 1, 2, 3]
    assert told(hub, "progress")[1:] == [0, 25, 50, 75, 100, 100, 100]
    assert told(hub, "message")[1:6] == [f"{n} of 4" for n in range(5)]
    last = history(hub)[-1].state
    assert (last["details"]["n"], last["details"]["total"]) == (4, 4)
    assert last["stage"] == "a"


def test_without_a_length_the_progress_is_unknown_and_the_count_is_told(hub: Hub) -> None:
    with hub.job("j") as job:
        for _ in job.track(items(3)):
            assert hub.snapshot("j").progress is None
        assert hub.snapshot("j").details["n"] == 3
    assert told(hub, "progress")[-1] == 100


def test_a_total_may_be_said_and_may_be_wrong(hub: Hub) -> None:
    with hub.job("j") as job:
        list(job.track(items(4), total=2))
    assert told(hub, "progress")[1:] == [0, 50, 100, 100, 100, 100, 100]
    with hub.job("k") as job:
        list(job.track(items(2), total=4, span=(0, 50)))
    assert told(hub, "progress", "k")[1:] == [0, 12.5, 25, 50, 100]


def test_spans_share_the_job_between_loops(hub: Hub) -> None:
    with hub.job("j") as job:
        list(job.track("ab", span=(0, 20)))
        list(job.track("ab", span=(20, 100)))
        list(job.track("", span=(20, 100)))
    progress = told(hub, "progress")[1:]
    assert progress[:4] == [0, 10, 20, 20]
    assert progress[4:7] == [20, 60, 100]


def test_a_second_loop_has_a_message_of_its_own(hub: Hub) -> None:
    with hub.job("j") as job:
        list(job.track("abc", span=(0, 50)))
        list(job.track("ab", span=(50, 100)))
    assert told(hub, "message")[-2:] == ["2 of 2", "2 of 2"]


def test_a_loop_inside_a_loop_shares_out_its_item(hub: Hub) -> None:
    with hub.job("j") as job:
        for _ in job.track("ab"):
            list(job.track("wxyz"))
    percents = told(hub, "progress")[1:]
    assert percents[:6] == [0, 0, 12.5, 25, 37.5, 50]
    assert percents[-1] == 100
    assert percents == sorted(percents)


def test_a_loop_inside_one_without_a_length_has_no_percentage_either(hub: Hub) -> None:
    with hub.job("j") as job:
        for _ in job.track(items(2)):
            list(job.track("ab"))
    assert set(told(hub, "progress")[:-2]) == {None}


def test_what_is_said_after_a_loop_was_left_is_newer_than_its_count(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=3600)
    with hub.job("j") as job:
        loop = job.track(range(10))
        for n in loop:
            if n == 5:
                break
        job.update(None, stage="uploading", message="", details={})
        assert hub.snapshot("j").stage == "uploading"
    assert hub.snapshot("j").details == {}
    del loop


class CannotTell:
    def __len__(self) -> int:
        raise TypeError("the length of this data set is not known")

    def __iter__(self) -> Iterator[int]:
        return items(2)


@pytest.mark.parametrize("unmeasured", [CannotTell(), range(10**30)], ids=["unknown", "huge"])
def test_what_can_not_tell_its_length_is_tracked_without(hub: Hub, unmeasured: Any) -> None:
    with hub.job("j") as job:
        for n in job.track(unmeasured):
            if n == 1:
                break
        assert hub.snapshot("j").progress is None


def test_the_loop_may_say_more_than_the_count(hub: Hub) -> None:
    with hub.job("j") as job:
        for name in job.track(["a", "b"]):
            job.update(message=f"file {name}", details={"file": name})
    assert told(hub, "message")[-1] == "file b"
    last = history(hub)[-1].state["details"]
    assert (last["file"], last["n"]) == ("b", 2)


def test_details_without_room_for_the_count_stay_as_they_are(hub: Hub) -> None:
    with hub.job("j") as job:
        for _ in job.track("ab"):
            job.update(details={"big": "x" * 16_350})
    assert list(history(hub)[-1].state["details"]) == ["big"]


def test_a_loop_that_is_left_leaves_its_count(hub: Hub) -> None:
    with hub.job("j") as job:
        for n in job.track(range(10)):
            if n == 4:
                break
        job.update(message="enough")
    assert hub.snapshot("j").details["n"] == 4


def test_an_exception_in_the_loop_keeps_the_count(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=3600)
    with pytest.raises(JobFailed), hub.job("j") as job:
        for n in job.track(range(10)):
            if n == 5:
                raise JobFailed("no")
    last = history(hub)[-1].state
    assert last["details"]["n"] == 5
    assert last["progress"] == 50


def test_a_loop_notices_its_cancellation_at_the_next_item(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=3600)
    done = []
    with pytest.raises(JobCancelled), hub.job("j") as job:
        for n in job.track(range(10)):
            if n == 3:
                hub.cancel("j")
            done.append(n)
    assert done == [0, 1, 2, 3]


async def test_async_iterables_are_tracked_too(hub: Hub) -> None:
    async def numbers() -> object:
        for n in range(3):
            yield n

    async with hub.job("j") as job:
        seen = [n async for n in job.track(numbers(), total=3, stage="a")]
    assert seen == [0, 1, 2]
    assert told(hub, "progress")[1:5] == [0, 33.33, 66.67, 100]


def test_a_quick_loop_publishes_little_and_its_last_count_surely(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=0.05, retention=None)
    with hub.job("j") as job:
        for _ in job.track(range(200_000)):
            pass
    assert len(history(hub)) < 200
    assert history(hub)[-1].state["details"]["n"] == 200_000
