"""The log of a job: bounded, gapless, and what conflation keeps."""

import pytest

from sseprog import Progress
from sseprog._event import Cursor, Event
from sseprog._log import JobLog

from .event_stream import events


def event(stage: str = "", status: str = "running") -> Event:
    return Event.of(Progress(stage=stage, status=status, job_id="j"))  # type: ignore[arg-type]


def log_of(stages: str, *, retention: int | None = None, end: str = "") -> JobLog:
    """Make a log with an event for each letter, which names its stage, after a pending one."""
    log = JobLog.of("e", event(status="pending"), retention=retention)
    for stage in stages:
        log.append(event(stage))
    if end:
        log.append(event(stages[-1:], end))
    return log


def seqs(frames: bytes | None) -> list[int]:
    assert frames is not None
    return [seen.seq for seen in events(frames)]


def test_a_log_keeps_its_newest_events_and_numbers_go_on() -> None:
    log = log_of("a" * 10, retention=4)
    assert (log.oldest_seq, log.newest.seq, log.cursor) == (7, 10, Cursor("e", 10))
    assert seqs(log.since(6, conflate=False)) == [7, 8, 9, 10]
    assert seqs(log.since(9, conflate=False)) == [10]


def test_events_that_are_gone_are_told_apart_from_none() -> None:
    log = log_of("a" * 10, retention=4)
    assert log.since(5, conflate=False) is None
    assert log.since(10, conflate=False) == b""


@pytest.mark.parametrize("seq", [-2, -1])  # where streams are whose job was begun anew
def test_events_that_are_gone_are_gone_before_the_first_of_all_too(seq: int) -> None:
    assert log_of("a", retention=1).since(seq, conflate=False) is None


@pytest.mark.parametrize(
    ("cursor", "held"),
    [
        (("e", 7), True),
        (("e", 10), True),
        (("e", 6), False),
        (("e", 11), False),
        (("f", 8), False),
    ],
)
def test_a_cursor_is_held_if_the_state_at_it_and_all_after_it_are_kept(
    cursor: tuple[str, int], held: bool
) -> None:
    assert log_of("a" * 10, retention=4).holds(Cursor(*cursor)) is held


def test_nothing_follows_a_terminal_event() -> None:
    log = log_of("a", end="completed")
    assert log.ended
    with pytest.raises(AssertionError):
        log.append(event())


def test_a_log_shrinks_to_its_newest_event() -> None:
    log = log_of("aaa", end="failed")
    log.shrink()
    assert (log.oldest_seq, log.newest.seq, log.ended) == (4, 4, True)
    assert seqs(log.since(3, conflate=False)) == [4]
    assert log.since(2, conflate=False) is None


@pytest.mark.parametrize(
    ("stages", "after", "end", "kept"),
    [
        ("aaaa", 0, "", [1, 4]),  # the first and the newest of the stage
        ("aaaa", 1, "", [4]),  # the first of the stage was had already
        ("aabbbc", 0, "", [1, 2, 3, 5, 6]),
        ("abab", 0, "", [1, 2, 3, 4]),  # a stage that comes again is a new one
        ("aaaa", 0, "completed", [1, 4, 5]),
        ("aaaa", 1, "failed", [4, 5]),
        ("", 0, "cancelled", [1]),
        ("a", 0, "", [1]),
        ("a", 1, "", []),
    ],
)
def test_conflation_keeps_of_each_stage_the_first_and_the_newest_and_the_end(
    stages: str, after: int, end: str, kept: list[int]
) -> None:
    assert seqs(log_of(stages, end=end).since(after, conflate=True)) == kept


def test_the_answer_that_is_kept_for_the_next_stream_is_not_kept_too_long() -> None:
    log = log_of("aa", retention=3)
    assert seqs(log.since(1, conflate=False)) == [2]
    log.append(event("a"))
    assert seqs(log.since(1, conflate=False)) == [2, 3]
    assert seqs(log.since(1, conflate=True)) == [3]
    assert seqs(log.since(1, conflate=False)) == [2, 3]
    log.append(event("a"))
    log.append(event("a"))
    assert log.since(1, conflate=False) is None


def test_a_status_may_be_read_at_every_event_kept() -> None:
    log = log_of("abcd", retention=3)
    stages = [events(log.status(seq))[0].state["stage"] for seq in (2, 3, 4)]
    assert stages == ["b", "c", "d"]
