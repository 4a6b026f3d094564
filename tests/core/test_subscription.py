"""What a stream gets, and when: the decisions, without a clock or a socket."""

import math
import random

import pytest

from sseprog import Progress
from sseprog._event import HEARTBEAT, HEARTBEAT_EVENT, Cursor, Event
from sseprog._log import JobLog
from sseprog._settings import Settings
from sseprog._subscription import Subscription
from sseprog.store import Line

from .event_stream import events, parsed

PLAIN = Settings(max_stream_age=None)


def event(stage: str = "a", status: str = "running") -> Event:
    return Event.of(Progress(stage=stage, status=status, job_id="j"))  # type: ignore[arg-type]


def log_of(count: int, *, retention: int | None = None, end: str = "") -> JobLog:
    log = JobLog.of("e", event(status="pending"), retention=retention)
    for _ in range(count):
        log.append(event())
    if end:
        log.append(event(status=end))
    return log


def told(subscription: Subscription, now: float = 0.0) -> list[tuple[str, int, object]]:
    """Take what is due, as (name, number, resumed)."""
    seen = events(subscription.take(now))
    return [(each.name, each.seq, each.state.get("resumed")) for each in seen]


@pytest.mark.parametrize(
    ("cursor", "start", "got"),
    [
        (None, False, [("status", 5, None)]),
        (None, True, [("status", 2, None), ("progress", 3), ("progress", 4), ("progress", 5)]),
        (("e", 3), False, [("status", 3, True), ("progress", 4), ("progress", 5)]),
        (("e", 3), True, [("status", 3, True), ("progress", 4), ("progress", 5)]),
        (("e", 5), False, [("status", 5, True)]),
        (("e", 1), False, [("status", 5, False)]),
        (("e", 6), False, [("status", 5, False)]),
        (("f", 4), False, [("status", 5, False)]),
        (("f", 4), True, [("status", 5, False)]),
    ],
)
def test_a_stream_of_a_running_job_starts_where_its_cursor_says(
    cursor: tuple[str, int] | None, start: bool, got: list[tuple[object, ...]]
) -> None:
    log = log_of(5, retention=4)
    at = Cursor(*cursor) if cursor else None
    subscription = Subscription(log, PLAIN, now=0, cursor=at, from_start=start)
    assert told(subscription) == [(*each, None)[:3] for each in got]
    assert not subscription.ended


@pytest.mark.parametrize(
    ("cursor", "got"),
    [
        (None, [("status", 5, None), ("error", 6, None)]),
        (("e", 4), [("status", 4, True), ("progress", 5, None), ("error", 6, None)]),
        (("e", 5), [("status", 5, True), ("error", 6, None)]),
        (("e", 6), []),
        (("f", 6), [("status", 5, False), ("error", 6, None)]),
    ],
)
def test_a_stream_of_an_ended_job_has_a_status_the_terminal_event_and_an_end(
    cursor: tuple[str, int] | None, got: list[tuple[object, ...]]
) -> None:
    at = Cursor(*cursor) if cursor else None
    subscription = Subscription(log_of(5, end="failed"), PLAIN, now=0, cursor=at)
    assert subscription.ended is (not got)
    assert told(subscription) == got
    assert subscription.ended
    assert subscription.take(1e9) == b""


def test_a_status_that_shows_an_ended_job_can_be_resumed_from_without_losing_its_end() -> None:
    log = log_of(1, end="completed")
    status = events(Subscription(log, PLAIN, now=0).take(0))[0]
    assert status.state["status"] == "completed"
    cut_off = Subscription(log, PLAIN, now=0, cursor=Cursor.parse(status.last_event_id))
    assert [name for name, *_ in told(cut_off)] == ["status", "complete"]


def test_a_stream_begins_with_retry() -> None:
    first = Subscription(log_of(0), PLAIN, now=0).take(0)
    assert first.startswith(b"retry: ")
    assert len(parsed([first]).retry) == 1


def test_events_come_as_they_are_appended_and_each_once() -> None:
    log = log_of(0)
    subscription = Subscription(log, PLAIN, now=0)
    assert told(subscription) == [("status", 0, None)]
    assert not subscription.behind
    log.append(event())
    log.append(event())
    assert subscription.behind
    assert told(subscription) == [("progress", 1, None), ("progress", 2, None)]
    assert told(subscription) == []
    log.append(event(status="completed"))
    assert told(subscription) == [("complete", 3, None)]
    assert subscription.ended


def test_who_lags_gets_the_newest_of_each_stage_and_who_resumes_gets_all() -> None:
    log = log_of(1)
    lagging = Subscription(log, Settings(conflate_after=4), now=0)
    assert told(lagging) == [("status", 1, None)]
    for stage in "aaabbb":
        log.append(event(stage))
    resuming = Subscription(log, Settings(conflate_after=4), now=0, cursor=Cursor("e", 1))
    assert [seq for _, seq, _ in told(lagging)] == [4, 5, 7]
    assert [seq for _, seq, _ in told(resuming)] == [1, 2, 3, 4, 5, 6, 7]
    for _ in range(4):
        log.append(event("b"))
    assert [seq for _, seq, _ in told(lagging)] == [8, 9, 10, 11]
    log.append(event("b"))
    assert [seq for _, seq, _ in told(resuming)] == [12]


def test_who_falls_out_of_the_log_gets_a_new_status_and_goes_on() -> None:
    log = log_of(0, retention=3)
    subscription = Subscription(log, PLAIN, now=0)
    subscription.take(0)
    for _ in range(9):
        log.append(event())
    assert told(subscription) == [("status", 9, False)]
    log.append(event())
    assert told(subscription) == [("progress", 10, None)]
    for _ in range(9):
        log.append(event())
    log.append(event(status="failed"))
    assert told(subscription) == [("status", 19, False), ("error", 20, None)]


@pytest.mark.parametrize(("as_event", "beat"), [(False, HEARTBEAT), (True, HEARTBEAT_EVENT)])
def test_a_heartbeat_comes_when_nothing_else_did(as_event: bool, beat: bytes) -> None:
    log = log_of(0)
    settings = Settings(heartbeat=15.0, max_stream_age=None)
    subscription = Subscription(log, settings, now=100, heartbeat_event=as_event)
    subscription.take(100)
    assert subscription.deadline == 115
    assert subscription.take(114.9) == b""
    assert subscription.take(115) == beat
    assert subscription.deadline == 130
    log.append(event())
    subscription.take(129)
    assert subscription.deadline == 144
    assert subscription.take(130) == b""


def test_without_a_heartbeat_and_an_age_a_stream_has_no_deadline() -> None:
    subscription = Subscription(log_of(0), Settings(heartbeat=None, max_stream_age=None), now=0)
    subscription.take(0)
    assert subscription.deadline == math.inf


def test_a_stream_ends_at_its_maximum_age_spread_by_a_tenth_and_can_be_resumed() -> None:
    settings = Settings(heartbeat=None, max_stream_age=900.0)
    ages = []
    random.seed(1)
    for _ in range(200):
        subscription = Subscription(log_of(2), settings, now=0)
        subscription.take(0)
        ages.append(subscription.deadline)
    assert 810 <= min(ages) < 820
    assert 980 < max(ages) <= 990
    log = subscription.log
    log.append(event())
    last = parsed([subscription.take(ages[-1])])
    assert subscription.ended
    assert [each.seq for each in last.events] == [3]
    assert len(last.retry) == 1


def test_draining_ends_a_stream_at_once_or_within_the_period() -> None:
    at_once = Subscription(log_of(0), Settings(drain=None), now=0)
    at_once.take(0)
    at_once.drain(5)
    assert at_once.deadline == 5
    assert 1000 <= parsed([at_once.take(5)]).retry[0] <= 5000
    assert at_once.ended
    ends = []
    for _ in range(200):
        spread = Subscription(log_of(0), Settings(drain=10.0), now=0)
        spread.take(0)
        spread.drain(1)
        ends.append(spread.deadline)
    assert 1 <= min(ends) < 2
    assert 10 < max(ends) <= 11


def test_a_stream_that_is_drained_before_its_first_byte_still_has_its_status() -> None:
    subscription = Subscription(log_of(0), PLAIN, now=0)
    subscription.drain(0)
    assert told(subscription) == [("status", 0, None)]
    assert subscription.ended


def test_a_log_that_begins_anew_gives_a_new_status_under_its_new_epoch() -> None:
    log = log_of(5)
    subscription = Subscription(log, PLAIN, now=0)
    told(subscription)
    state = event().data
    log.restart("f", 9, [Line("s", state), Line("p", state)])
    assert subscription.behind
    chunk = subscription.take(1)
    assert chunk.startswith(b"id: f-9\nevent: status\n")
    assert told(subscription) == []
    log.append(event(status="completed"))
    assert told(subscription) == [("complete", 10, None)]
    assert subscription.ended


def test_a_log_that_has_both_begun_anew_and_ended_is_told_to_its_end() -> None:
    log = log_of(5)
    subscription = Subscription(log, PLAIN, now=0)
    told(subscription)
    state = event().data
    log.restart("f", 3, [Line("s", state), Line("e", event(status="lost").data)])
    assert told(subscription) == [("status", 2, False), ("error", 3, None)]
    assert subscription.ended


def test_a_log_that_is_cut_ends_its_streams_which_come_back() -> None:
    log = log_of(5)
    subscription = Subscription(log, PLAIN, now=0)
    told(subscription)
    log.append(event())
    log.cut = True
    chunk = subscription.take(1)
    assert b"id: e-6\n" in chunk
    assert b"\nretry: " in chunk
    assert subscription.ended
