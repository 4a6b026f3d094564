"""The rules bite: each is broken once, and seen to be."""

import json
from typing import Any

import pytest

from .invariants import Frame, Witness, differences, silence


def frame(name: str, seq: int, progress: float | None = 1.0, **more: Any) -> Frame:
    epoch = more.pop("epoch", "a")
    status = {"complete": "completed", "error": "failed"}.get(name, "running")
    state = {"status": status, "progress": progress, **more}
    return Frame(name, epoch, seq, json.dumps(state).encode())


CONNECT = None  # in a story: the client's next connection

STATUS = frame("status", 3)
END = frame("complete", 5, 100.0)
STORY = [CONNECT, STATUS, frame("progress", 4), END]

FINE = {
    "a job from its middle to its end": STORY,
    "a job that fails": [CONNECT, STATUS, frame("error", 4)],
    "a connection that is resumed": [
        *STORY[:3],
        CONNECT,
        frame("status", 4, resumed=True),
        END,
    ],
    "a cursor that is not known any more": [
        *STORY[:2],
        CONNECT,
        frame("status", 9, resumed=False),
        frame("progress", 10),
    ],
    "a gap with a status": [*STORY[:3], frame("status", 7), frame("progress", 8)],
    "another epoch with a status": [*STORY[:3], frame("status", 0, epoch="b")],
    "a status whose place is before the end": [
        *STORY[:3],
        CONNECT,
        frame("status", 4, 100.0, status="completed", resumed=False),
        END,
    ],
    "progress that is lost with an epoch": [
        CONNECT,
        frame("status", 3, 7.0),
        frame("status", 1, 2.0, epoch="b"),
    ],
    "an unknown progress": [CONNECT, frame("status", 1, 7.0), frame("progress", 2, None)],
    "an end that is told anew in another epoch": [
        *STORY,
        CONNECT,
        frame("status", 7, 100.0, status="completed", epoch="b", resumed=False),
        frame("complete", 8, 100.0, epoch="b"),
    ],
}

BROKEN = {
    "a gap without a status": [*STORY[:2], frame("progress", 5)],
    "a repetition without a status": [*STORY[:3], frame("progress", 4)],
    "a stream that does not begin with status": [CONNECT, frame("progress", 3)],
    "another epoch without a status": [*STORY[:3], frame("progress", 5, epoch="b")],
    "a status where nothing was missing": [*STORY[:3], frame("status", 5)],
    "a status that goes back": [*STORY[:3], CONNECT, frame("status", 3, resumed=False)],
    "a status that is resumed, but not at a-4": [
        *STORY[:3],
        CONNECT,
        frame("status", 5, resumed=True),
    ],
    "a number that was another event's": [
        *STORY[:3],
        frame("status", 7, epoch="b"),
        CONNECT,
        frame("status", 3, resumed=False),
        frame("progress", 4),
    ],
    "an event after the terminal one": [*STORY, frame("progress", 6, 100.0)],
    "a second terminal event": [
        *STORY,
        CONNECT,
        frame("status", 5, 100.0, status="completed"),
        frame("complete", 6, 100.0),
    ],
    "another end than before": [
        *STORY,
        CONNECT,
        frame("status", 7, 100.0, epoch="b"),
        frame("error", 8, 100.0, epoch="b"),
    ],
    "progress went back from 7.0": [CONNECT, frame("status", 3, 7.0), frame("progress", 4, 6.9)],
    "a terminal state in a progress": [*STORY[:2], frame("progress", 4, status="failed")],
    "an unknown event": [*STORY[:2], frame("news", 4)],
    "a terminal event with the other one's status": [*STORY[:2], frame("error", 4, 100.0,
                                                                       status="completed")],
    "a terminal event whose status is not": [*STORY[:2], frame("error", 4, status="stalled")],
    "complete without 100 %": [*STORY[:2], frame("complete", 4, 99.0)],
}  # fmt: skip


def tell(story: list[Frame | None]) -> Witness:
    witness = Witness("job")
    for step in story:
        if step is CONNECT:
            witness.connect()
        else:
            witness.see(step)
    return witness


@pytest.mark.parametrize("story", FINE.values(), ids=FINE)
def test_nothing_is_said_of_what_may_be(story: list[Frame | None]) -> None:
    assert tell(story).complaints == []


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named(rule: str) -> None:
    (complaint, *_) = tell(BROKEN[rule]).complaints
    assert rule in complaint


def test_the_cursor_is_that_of_the_newest_event() -> None:
    assert Witness("job").cursor == ""
    assert tell(STORY).cursor == "a-5"


def test_an_end_that_is_told_anew_is_counted() -> None:
    assert tell(STORY).retold == 0
    assert tell(FINE["an end that is told anew in another epoch"]).retold == 1


def test_states_differ_in_what_they_say_not_in_when_it_was_written() -> None:
    state = {"status": "completed", "message": "done", "updated_at": "1"}
    assert differences(state, {**state, "updated_at": "2"}) == []
    assert differences(state, {**state, "message": "gone"}) == ["message is 'done', not 'gone'"]
    assert differences(state, {**state, "eta": 2}) == ["eta is None, not 2"]


def test_silence_counts_from_the_end_of_the_fault() -> None:
    assert silence(last=1.0, now=9.0, calm_since=5.0) == 4.0
    assert silence(last=7.0, now=9.0, calm_since=5.0) == 2.0
    assert silence(last=1.0, now=9.0, calm_since=float("inf")) < 0
