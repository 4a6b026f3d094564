"""What a parser by others, npm's eventsource-parser, makes of our streams, however they are cut."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sseprog import Hub
from sseprog._event import HEARTBEAT, HEARTBEAT_EVENT, busy

# What `Progress` lets through in a stage or a message, what looks like ends of lines first; details
# may hold any text.
TEXT = st.text(
    st.sampled_from("\n\t\u2028\u2029\ufeff: ") | st.characters(exclude_categories=["Cs", "Cc"]),
    max_size=40,
)
ANY_TEXT = st.text(
    st.sampled_from("\0\r\n\x0b\x85\u2028\ufeff") | st.characters(codec="utf-8"), max_size=40
)

Parse = Callable[[list[bytes]], dict[str, Any]]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """Cut a stream at those places, counted round and round."""
    cuts = sorted(place % (len(stream) + 1) for place in places)
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def stream_of(reports: list[tuple[str, str, str]]) -> bytes:
    """Run a job that reports those stages, messages and details; return its whole stream."""
    hub = Hub(throttle=0)
    try:
        job_id = hub.create()
        with hub.job(job_id) as job:
            for stage, message, text in reports:
                job.update(50, stage=stage, message=message, details={"text": text})
        return b"".join(hub.stream(job_id, from_start=True))
    finally:
        hub.close()


@settings(deadline=None)  # the first example waits for Node.js to start
@given(
    st.lists(st.tuples(TEXT, TEXT, ANY_TEXT), min_size=1, max_size=5),
    st.lists(st.integers(min_value=0), max_size=12),
)
def test_every_event_comes_out_as_it_was_reported_wherever_the_stream_is_cut(
    parse: Parse, reports: list[tuple[str, str, str]], places: list[int]
) -> None:
    seen = parse(cut(stream_of(reports), places))
    assert seen["errors"] == []
    assert seen["comments"] == []
    [retry] = seen["retries"]
    assert 1500 <= retry <= 2500

    names = [event["event"] for event in seen["events"]]
    assert names == ["status", "progress", *("progress" for _ in reports), "complete"]
    numbers = [int(event["id"].rpartition("-")[2]) for event in seen["events"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    _pending, _running, *told, complete = (json.loads(event["data"]) for event in seen["events"])
    assert [(each["stage"], each["message"], each["details"]["text"]) for each in told] == reports
    assert (complete["status"], complete["progress"]) == ("completed", 100)


def test_a_stream_in_slices_of_one_byte_is_the_same_stream(parse: Parse) -> None:
    stream = stream_of([("größer", "\u2028 \U0001f3ac\n", "\r\n\n"), ("b", ": data:\t", "")])
    assert parse([bytes([byte]) for byte in stream]) == parse([stream])


def test_what_is_no_event_of_a_job_is_seen_as_such(parse: Parse) -> None:
    seen = parse([busy(), HEARTBEAT, HEARTBEAT_EVENT])
    assert seen["comments"] == ["busy", "heartbeat"]
    assert seen["events"] == [{"event": "heartbeat", "data": "{}"}]
    [retry] = seen["retries"]
    assert 1000 <= retry <= 5000
    assert seen["errors"] == []
