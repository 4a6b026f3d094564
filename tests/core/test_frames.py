"""The bytes of frames, and what two readers make of them."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sseprog import Progress
from sseprog._event import HEARTBEAT, HEARTBEAT_EVENT, Cursor, Event, busy, last_retry, retry
from sseprog._log import JobLog

from .event_stream import events, parsed

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STATE = (
    b'{"job_id":"j","status":"running","stage":"a","progress":50,"message":"","details":{},'
    b'"eta":null,"started_at":"2026-11-22T12:00:00.000Z","updated_at":null}'
)
EVERY_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\u2028\u2029\ufeff"),
    max_size=60,
)
EVERY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(EVERY_TEXT, inner, max_size=3),
    max_leaves=8,
)


def state(**fields: object) -> Progress:
    return Progress(50, stage="a", job_id="j", started_at=NOON, **fields)  # type: ignore[arg-type]


def log_with(*states: Progress) -> JobLog:
    log = JobLog.of("e1", Event.of(state(status="pending")), retention=None)
    for each in states:
        log.append(Event.of(each))
    return log


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("running", b"progress"),
        ("stalled", b"progress"),
        ("completed", b"complete"),
        ("failed", b"error"),
        ("cancelled", b"error"),
        ("lost", b"error"),
    ],
)
def test_an_event_is_an_id_a_name_and_one_line_of_data(status: str, name: bytes) -> None:
    data = STATE.replace(b"running", status.encode())
    frame = b"id: e1-1\nevent: %b\ndata: %b\n\n" % (name, data)
    assert log_with(state(status=status)).since(0, conflate=False) == frame


@pytest.mark.parametrize(
    ("resumed", "tail"), [(None, b""), (True, b',"resumed":true'), (False, b',"resumed":false')]
)
def test_a_status_has_the_state_at_its_cursor(resumed: bool | None, tail: bytes) -> None:
    frame = log_with(state(), state(message="later")).status(1, resumed=resumed)
    assert frame == b"id: e1-1\nevent: status\ndata: %b%b}\n\n" % (STATE[:-1], tail)


@pytest.mark.parametrize(
    ("frame", "comments", "seen"),
    [
        (HEARTBEAT, [" heartbeat"], []),
        (HEARTBEAT_EVENT, [], [("heartbeat", "{}", "")]),
        (b": busy\n\n", [" busy"], []),
    ],
)
def test_a_heartbeat_has_no_id(
    frame: bytes, comments: list[str], seen: list[tuple[str, str, str]]
) -> None:
    read = parsed([frame])
    assert read.comments == comments
    assert [(event.name, event.data, event.last_event_id) for event in read.events] == seen


def test_a_heartbeat_leaves_the_last_event_id_of_the_browser_alone() -> None:
    read = parsed([b"id: e1-7\nevent: progress\ndata: {}\n\n", HEARTBEAT_EVENT])
    assert read.last_event_id == "e1-7"


def test_retry_is_spread_by_a_quarter_either_way() -> None:
    random.seed(1)
    asked = [parsed([retry(2.0)]).retry[0] for _ in range(500)]
    assert 1500 <= min(asked) < 1550
    assert 2450 < max(asked) <= 2500


@pytest.mark.parametrize("frame", [busy, last_retry])
def test_who_is_sent_away_comes_back_within_one_to_five_seconds(frame: object) -> None:
    random.seed(1)
    asked = [parsed([frame()]).retry[0] for _ in range(500)]  # type: ignore[operator]
    assert 1000 <= min(asked) < 1100
    assert 4900 < max(asked) <= 5000


@pytest.mark.parametrize(
    ("text", "cursor"),
    [
        ("", None),
        ("e-0", Cursor("e", 0)),
        ("3f2a-17", Cursor("3f2a", 17)),
        ("a-b-17", Cursor("a-b", 17)),
    ],
)
def test_a_last_event_id_is_a_cursor(text: str, cursor: Cursor | None) -> None:
    assert Cursor.parse(text) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "17",
        "e-",
        "-17",
        "e-017",
        "e--",
        "e-1\n",
        "e-1 ",
        "e-\N{FULLWIDTH DIGIT ONE}",
        "é-1",
        "e-1" + "0" * 18,
        "e" * 10240,
    ],
)
def test_a_malformed_last_event_id_is_refused_and_not_repeated_at_length(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form <epoch>-<number>") as caught:
        Cursor.parse(text)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=100))
def test_any_last_event_id_is_a_cursor_or_a_value_error(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert text == ("" if cursor is None else f"{cursor.epoch}-{cursor.seq}")


@given(EVERY_TEXT, EVERY_TEXT, st.dictionaries(EVERY_TEXT, EVERY_JSON, max_size=3), st.randoms())
def test_any_text_comes_out_as_it_went_in_however_the_bytes_are_sliced(
    stage: str, message: str, details: dict[str, object], chance: random.Random
) -> None:
    told = Progress(50, stage=stage, message=message, details=details, job_id="j")
    log = log_with(told)
    stream = retry(2) + log.status(0) + (log.since(0, conflate=False) or b"") + HEARTBEAT
    cuts = sorted(chance.sample(range(len(stream) + 1), k=min(9, len(stream))))
    slices = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    status, progress = events(*slices)
    assert (status.name, status.last_event_id) == ("status", "e1-0")
    assert (progress.name, progress.last_event_id) == ("progress", "e1-1")
    assert progress.state["stage"] == stage
    assert progress.state["message"] == message
    assert progress.state["details"] == details
    assert Progress.from_json(progress.data.encode()) == told
    assert events(*(bytes([byte]) for byte in stream)) == [status, progress]
