"""What the tracker does where streams don't come through, and snapshots do."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .moody_server import (
    Mood,
    MoodyServer,
    Request,
    busy,
    document,
    frame,
    hang,
    late,
    reply,
    snapshot,
    stream,
    swallow,
)

Track = Callable[..., Page]
Show = Callable[..., Page]

VALUES = "log.map((line) => +line[2])"
FASTER = """
  const now = performance.now.bind(performance);
  performance.now = () => now() * 20;
"""
HIDING = """
  window.seen = (visible) => {
    Object.defineProperty(document, "hidden", { get: () => !visible, configurable: true });
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  };
"""


def until(page: Page, condition: str, seconds: float = 15) -> None:
    page.wait_for_function(condition, timeout=1000 * seconds)


def polls(page: Page, seconds: float = 15) -> str:
    """Wait until it polls; return why."""
    until(page, "links.at(-1).state === 'polling'", seconds)
    why: str = page.evaluate("links.at(-1).reason")
    return why


def advance(page: Page, server: MoodyServer, *numbers: int, seconds: float = 3.5) -> None:
    """Let the job go on, and see it shown in time."""
    for number in numbers:
        server.publish("progress", progress=number, message=str(number))
        until(page, f"+log.at(-1)?.[2] === {number}", seconds)


def states(page: Page) -> Any:
    return page.evaluate("links.map((link) => link.state)")


def rises(page: Page) -> bool:
    """Tell whether what was shown rose with each call, and nothing came twice."""
    values: list[int] = page.evaluate(VALUES)
    return all(one < other for one, other in itertools.pairwise(values))


def test_a_busy_stream_is_polled_until_there_is_room(track: Track, server: MoodyServer) -> None:
    server.publish("progress", progress=1, message="1")
    server.lasting["stream"] = busy
    page = track()
    assert polls(page, 2) == "busy"
    advance(page, server, 10, 20)
    page.wait_for_timeout(3000)
    assert server.unchanged >= 1
    assert len(server.seen("stream")) == 2  # the page's, and the browser's own
    assert states(page).count("polling") == 1
    assert page.evaluate("log.every(([name]) => name === 'status')")

    del server.lasting["stream"]
    page.evaluate("dispatchEvent(new Event('online'))")
    until(page, "links.at(-1).state === 'open'")
    assert server.seen("stream")[-1].cursor == "e-1-3"  # the snapshot's
    count = len(server.seen("snapshot"))
    server.publish("progress", progress=30, message="30")
    server.publish("progress", progress=40, message="40")
    until(page, "names('progress').length === 2")
    page.wait_for_timeout(2500)
    assert page.evaluate(VALUES) == [1, 10, 20, 30, 40]
    assert len(server.seen("snapshot")) == count


def test_streams_are_tried_ever_more_rarely_until_one_comes_through(
    track: Track, server: MoodyServer, page: Page
) -> None:
    page.add_init_script(FASTER)
    server.lasting["stream"] = busy
    page = track(random=None)
    polls(page)
    page.wait_for_timeout(5500)  # of which it takes each second for twenty
    # Two at once, then after 20 to 40 seconds, and every 30 to 60 and a tick.
    assert 3 <= len(server.seen("stream")) <= 5
    assert len(server.seen("snapshot")) >= 5
    assert states(page)[-1] == "polling"
    del server.lasting["stream"]
    until(page, "links.at(-1).state === 'open'", 6)
    server.publish("progress", message="1")
    until(page, "names('progress').length === 1")


@pytest.mark.parametrize("held", [swallow, hang], ids=["opened", "unanswered"])
def test_a_stream_that_is_held_back_is_noticed_soon(
    track: Track, server: MoodyServer, held: Mood
) -> None:
    server.publish("progress", progress=1, message="1")
    server.lasting["stream"] = held
    page = track()
    until(page, "log.length === 1", 4)
    assert polls(page) == "buffered"
    assert states(page) == ["connecting", "polling"]
    advance(page, server, 2)
    assert rises(page)
    assert len(server.seen("stream")) == 1  # still on trial


def test_the_bar_moves_on_while_new_streams_are_on_trial(
    track: Track, server: MoodyServer, page: Page
) -> None:
    page.add_init_script(FASTER)
    server.lasting["stream"] = swallow
    page = track(silence=1000)
    assert polls(page) == "buffered"
    for number in range(1, 9):
        advance(page, server, number, seconds=1)
        page.wait_for_timeout(400)
    assert 2 <= len(server.seen("stream")) <= 5
    assert states(page) == ["connecting", "polling"]
    del server.lasting["stream"]
    until(page, "links.at(-1).state === 'open'")
    server.publish("progress", message="9")
    until(page, "names('progress').length === 1")
    assert rises(page)


def test_a_stream_that_is_blocked_is_polled(track: Track, server: MoodyServer) -> None:
    server.publish("progress", progress=1, message="1")
    server.lasting["stream"] = reply(500)
    page = track()
    assert polls(page, 2) == "blocked"
    advance(page, server, 2, 3)
    assert len(server.seen("stream")) == 2
    assert rises(page)


@pytest.mark.parametrize(
    ("held", "seconds"),
    [(busy, 4), (reply(502), 4), (swallow, 8)],
    ids=["busy", "blocked", "buffered"],
)
def test_a_stream_that_was_good_is_polled_if_it_is_so_no_more(
    track: Track, server: MoodyServer, held: Mood, seconds: float
) -> None:
    page = track()
    until(page, "links.at(-1).state === 'open'")
    advance(page, server, 1, 2)
    server.lasting["stream"] = held
    server.cut_all()
    polls(page, seconds)
    advance(page, server, 3)
    assert len(server.seen("stream")) <= 4
    del server.lasting["stream"]
    page.evaluate("dispatchEvent(new Event('online'))")
    until(page, "links.at(-1).state === 'open'")
    advance(page, server, 4)
    assert page.evaluate(VALUES) == [0, 1, 2, 3, 4]
    assert page.evaluate("links.every((link) => !(link.attempt > 2))")


def test_a_stream_that_comes_in_bursts_is_found_out_again_soon(
    track: Track, server: MoodyServer
) -> None:
    async def burst(server: MoodyServer, request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(4)
        state = document(progress=1, message="1")
        await stream(frame("status", {**state, "resumed": False}, 1))(server, request, writer)

    server.lasting["stream"] = burst
    page = track()
    assert polls(page) == "buffered"
    server.publish("progress", progress=1, message="1")
    until(page, "links.at(-1).state === 'open'")
    advance(page, server, 2, seconds=5.5)
    assert polls(page) == "buffered"
    advance(page, server, 3)
    assert rises(page)


def test_a_good_stream_is_not_given_up_for_a_snapshot(
    track: Track, server: MoodyServer, page: Page
) -> None:
    page.add_init_script(FASTER)
    server.heartbeat = 5
    server.moods["stream"] += [late(1)]
    page = track()
    assert polls(page) == "buffered"
    until(page, "links.at(-1).state === 'open'")
    server.lasting["snapshot"] = reply(502)
    server.wait_for("snapshot", len(server.seen("snapshot")) + 1)
    page.wait_for_timeout(600)
    assert states(page)[-1] == "open"
    assert len(server.seen("stream")) == 1


@pytest.mark.parametrize("lasting", [None, snapshot()], ids=["ETag", "no ETag"])
def test_what_a_late_stream_tells_never_moves_the_bar_back(
    track: Track, server: MoodyServer, lasting: Mood | None
) -> None:
    def publish(number: int) -> None:
        at = f"2026-11-22T09:13:{number:02}.000Z"
        server.publish("progress", progress=number, message=str(number), updated_at=at)

    publish(1)
    if lasting:
        server.lasting["snapshot"] = lasting
    server.moods["stream"] += [late(6)]
    page = track()
    polls(page)
    for number in 2, 3:
        publish(number)
    until(page, "+log.at(-1)[2] === 3")
    until(page, "links.at(-1).state === 'open'")
    publish(4)
    until(page, "+log.at(-1)[2] === 4")
    values = page.evaluate(VALUES)
    assert values == sorted(values)
    if not lasting:
        assert rises(page)


@pytest.mark.parametrize(
    ("event", "status", "told"),
    [("complete", "completed", "complete"), ("error", "failed", "error")],
)
def test_the_end_is_told_once_by_a_snapshot(
    track: Track, server: MoodyServer, event: str, status: str, told: str
) -> None:
    server.lasting["stream"] = busy
    page = track()
    polls(page)
    server.publish(event, status=status, message="over")
    until(page, "links.at(-1).state === 'closed'", 3.5)
    asked = len(server.requests)
    page.evaluate("() => { dispatchEvent(new Event('online')); tracker.start(); }")
    page.wait_for_timeout(1000)
    assert page.evaluate("links.at(-1)") == {"state": "closed", "reason": "ended"}
    assert page.evaluate("log.filter(([name]) => name !== 'status')") == [[told, status, "over"]]
    assert len(server.requests) == asked


def test_the_end_is_told_once_by_a_stream_on_trial(track: Track, server: MoodyServer) -> None:
    server.lasting["stream"] = busy
    page = track()
    polls(page)
    ended = document(status="completed", progress=100, message="over")
    server.moods["stream"] += [
        stream(frame("status", ended, 7), frame("complete", ended, 7), stay=False)
    ]
    page.evaluate("dispatchEvent(new Event('online'))")
    until(page, "links.at(-1).state === 'closed'")
    page.wait_for_timeout(600)
    assert page.evaluate("names('complete')") == ["over"]


def test_stop_ends_every_request(track: Track, server: MoodyServer) -> None:
    server.lasting["stream"] = swallow
    page = track(silence=1500)
    polls(page)
    server.lasting["snapshot"] = hang
    server.wait_for("snapshot", len(server.seen("snapshot")) + 1)
    page.evaluate("() => { dispatchEvent(new Event('online')); setTimeout(tracker.stop, 300); }")
    until(page, "links.at(-1).state === 'closed'")
    server.wait_for_connections(0)
    asked = len(server.requests)
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(2000)
    assert len(server.requests) == asked
    assert page.evaluate("links.at(-1)") == {"state": "closed", "reason": "stopped"}
    del server.lasting["snapshot"]
    page.evaluate("tracker.start()")
    until(page, "links.at(-1).state === 'polling'", 5)


@pytest.mark.parametrize(("status", "reason"), [(404, "gone"), (401, "denied")])
def test_a_snapshot_that_is_refused_ends_it(
    track: Track, server: MoodyServer, status: int, reason: str
) -> None:
    server.lasting["stream"] = busy
    page = track()
    polls(page)
    server.lasting["snapshot"] = reply(status, "{}", Content_Type="application/json")
    until(page, "links.at(-1).state === 'closed'", 3.5)
    assert page.evaluate("links.at(-1).reason") == reason


def test_a_snapshot_that_fails_is_a_lost_connection(track: Track, server: MoodyServer) -> None:
    server.lasting["stream"] = busy
    page = track()
    polls(page)
    server.moods["snapshot"] += [reply(503, Retry_After="1"), reply(502)]
    until(page, "links.at(-1).attempt === 2")
    polls(page)
    delays = page.evaluate("links.slice(-3, -1).map((link) => Math.round(link.delay))")
    assert delays == [1100, 200]
    advance(page, server, 1)


def test_a_hidden_page_waits_and_catches_up(track: Track, server: MoodyServer, page: Page) -> None:
    page.add_init_script(HIDING)
    server.lasting["stream"] = busy
    page = track()
    polls(page)
    server.wait_for("stream", 2)
    page.wait_for_timeout(300)
    page.evaluate("seen(false)")
    server.wait_for("snapshot", 2)  # was due already
    page.wait_for_timeout(500)
    asked = len(server.requests)
    server.publish("progress", message="1")
    page.wait_for_timeout(4000)
    assert len(server.requests) == asked
    page.evaluate("seen(true)")
    until(page, "+log.at(-1)[2] === 1", 1)
    assert len(server.wait_for("stream", 3)) == 3
    assert states(page)[-1] == "polling"


def test_twenty_pages_do_not_poll_in_step(track: Track, server: MoodyServer) -> None:
    server.lasting["stream"] = busy
    page = track(random=None)
    # Each as alone as a page of its own: what differs in how it retries shares no stream.
    page.evaluate(
        "for (let i = 1; i < 20; i++) make('/jobs/it/stream', { maxReconnectAttempts: i }).start()"
    )
    asked = server.wait_for("snapshot", 60)[20:]
    first = asked[0].at
    tenths = [int(10 * (request.at - first)) for request in asked]
    assert max(tenths.count(tenth) for tenth in tenths) < 16


def test_the_element_says_nothing_of_it(show: Show, server: MoodyServer) -> None:
    server.publish("progress", progress=10)
    server.lasting["stream"] = busy
    page = show("cancellable", ready=False)
    page.evaluate(
        """() => {
          window.hints = [];
          const note = () => {
            const hint = document.querySelector("job-progress")?.shadowRoot?.querySelector("#hint");
            if (hint?.textContent) hints.push(hint.textContent);
            requestAnimationFrame(note);
          };
          note();
        }"""
    )
    expect(page.locator("#percent")).to_have_text("10")
    server.publish("progress", progress=20)
    expect(page.locator("#percent")).to_have_text("20")
    assert page.evaluate("hints") == []
    assert page.evaluate("events.some((event) => event.detail.state === 'polling')")
    server.moods["cancel"] += [reply(500)]
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#hint")).to_have_text("Not cancelled. Try again.")
    server.lasting["snapshot"] = reply(502)
    expect(page.locator("#hint")).to_contain_text("reconnecting", timeout=15_000)
