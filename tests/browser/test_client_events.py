"""What the tracker hands to its callbacks, whatever comes down the stream."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from .moody_server import SCRIPTS, MoodyServer, document, frame, stream

Track = Callable[..., Page]


def raw(event: str, cursor: str, **state: Any) -> bytes:
    return f"id: {cursor}\nevent: {event}\ndata: {json.dumps(document(**state))}\n\n".encode()


def log_of(page: Page, length: int) -> Any:
    page.wait_for_function(f"log.length >= {length}")
    return page.evaluate("log.map(([name, , message]) => [name, message])")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("tracker.js", 5000),
        ("sseprog.js", 4000),
        ("store.js", 1750),
        ("react.js", 1200),
        ("tabs.js", 2800),
        ("job-list.js", 7200),
        ("notices.js", 3000),
    ],
)
def test_a_module_is_small(name: str, most: int) -> None:
    assert len(gzip.compress((SCRIPTS / name).read_bytes(), 9)) <= most


def test_a_failed_job_is_no_lost_connection(track: Track, server: MoodyServer) -> None:
    page = track()
    page.wait_for_function("log.length === 1")
    server.publish("error", status="failed", progress=40, message="The disk is full.")
    page.wait_for_function("links.at(-1).state === 'closed'")
    assert page.evaluate("log[1]") == ["error", "failed", "The disk is full."]
    assert page.evaluate("links") == [
        {"state": "connecting"},
        {"state": "open"},
        {"state": "closed", "reason": "ended"},
    ]


def test_nothing_is_asked_for_after_the_end(track: Track, server: MoodyServer) -> None:
    page = track()
    page.wait_for_function("log.length === 1")
    server.publish("complete", status="completed", progress=100)
    page.wait_for_function("links.at(-1).state === 'closed'")
    page.evaluate("tracker.start()")
    page.wait_for_timeout(1000)  # ten times the server's retry
    assert len(server.seen("stream")) == 1
    assert server.seen("snapshot") == []


def test_a_page_that_comes_late_is_told_the_end_once(track: Track, server: MoodyServer) -> None:
    ended = document(status="completed", progress=100, message="done")
    server.moods["stream"] += [
        stream(frame("status", ended, 7), frame("complete", ended, 7), stay=False)
    ]
    assert log_of(track(), 2) == [["status", "done"], ["complete", "done"]]


def test_what_has_been_seen_is_dropped_and_a_new_epoch_starts_over(
    track: Track, server: MoodyServer
) -> None:
    server.moods["stream"] += [
        stream(
            raw("status", "a-b-9", message="first"),
            raw("progress", "a-b-10", message="ten"),
            raw("progress", "a-b-9", message="old"),
            raw("progress", "a-b-10", message="again"),
            raw("status", "a-b-10", message="at the cursor", resumed=True),
            raw("progress", "a-b-11", message="eleven"),
            raw("status", "a-b-4", message="of one that lags", resumed=False),
            raw("progress", "a-b-5", message="five"),
            raw("status", "a-b-20", message="after a gap", resumed=False),
            raw("progress", "a-b-21", message="twenty-one"),
            raw("status", "c-1", message="new epoch", resumed=False),
            raw("progress", "c-2", message="two"),
            raw("progress", "", message="no id"),
        )
    ]
    assert [message for _, message in log_of(track(), 8)] == [
        "first",
        "ten",
        "eleven",
        "after a gap",
        "twenty-one",
        "new epoch",
        "two",
        "no id",
    ]


def test_odd_frames_are_passed_over(track: Track, server: MoodyServer, page: Page) -> None:
    reported: list[str] = []
    page.on("pageerror", lambda error: reported.append(str(error)))
    odd = [
        b"\xef\xbb\xbf: a comment after a byte order mark\r\n\r\n",
        b"event: progress\ndata: not JSON\n\n",
        b"event: error\ndata: not JSON either\n\n",
        b"event: progress\ndata: null\n\n",
        b"event: progress\ndata: 3\n\n",
        b"event: progress\ndata: {}\n\n",
        b"event: whatever\ndata: {}\n\n",
        b"data: no name\n\n",
        b"\n\n\n",
        b"nonsense\n\n",
    ]
    server.moods["stream"] += [
        stream(*odd, raw("progress", "a-1", message="sense"), raw("progress", "odd", message="id"))
    ]
    assert log_of(track(), 2) == [["progress", "sense"], ["progress", "id"]]
    assert len(reported) == 2
    assert all("JSON" in error for error in reported)


def test_a_callback_that_throws_is_reported_and_harms_nothing(
    track: Track, server: MoodyServer, page: Page
) -> None:
    reported: list[str] = []
    page.on("pageerror", lambda error: reported.append(str(error)))
    server.pages["/page.js"] += """
      const inner = window.make;
      window.make = (url) => inner(url, {
        onProgress: (job) => { log.push(["progress", "", job.message]); throw Error(job.message); },
        onConnection: () => { throw Error("connection"); },
        onComplete: () => { throw Error("complete"); },
      });
    """
    page = track()
    page.wait_for_function("log.length === 1")
    server.publish("progress", message="one")
    server.publish("progress", message="two")
    server.publish("complete", status="completed", progress=100)
    page.wait_for_function("log.length === 3")
    with page.expect_event("pageerror", lambda error: "connection" in str(error)):
        page.evaluate("tracker.stop() || make('/jobs/it/stream').start()")
    assert [text for text in reported if text in {"one", "two"}] == ["one", "two"]
    assert "complete" in reported


def test_start_stop_start_leaves_one_stream(track: Track, server: MoodyServer) -> None:
    page = track()
    page.evaluate("() => { tracker.stop(); tracker.start(); tracker.start(); }")
    page.wait_for_function("log.length >= 1")
    server.publish("progress", message="one")
    assert log_of(page, 2)[-1] == ["progress", "one"]
    page.evaluate("() => { tracker.stop(); tracker.stop(); }")
    assert page.evaluate("links.at(-1)") == {"state": "closed", "reason": "stopped"}
    server.publish("progress", message="two")
    page.wait_for_timeout(600)  # longer than the retry, and than the tracker's own tick
    assert page.evaluate("names('progress')") == ["one"]
    server.wait_for_connections(0)


def test_a_callback_may_stop_the_tracker(track: Track, server: MoodyServer, page: Page) -> None:
    server.pages["/page.js"] += """
      const inner = window.make;
      window.make = (url) => inner(url, {
        onConnection: (state, info) => { links.push({ state }); window.tracker?.stop(); },
        onStatus: (job) => { log.push(["status"]); tracker.stop(); },
      });
    """
    server.publish("complete", status="completed", progress=100)
    page = track()
    page.wait_for_function("links.at(-1).state === 'closed'")
    page.wait_for_timeout(600)
    assert page.evaluate("names('complete')") == []
    server.wait_for_connections(0)
