"""What the tracker does about a connection that is lost, refused, mute or told to go away."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from .moody_server import MoodyServer, cut, hang, mute, reply

Track = Callable[..., Page]


def until(page: Page, condition: str) -> None:
    page.wait_for_function(condition)


def publish(server: MoodyServer, numbers: range) -> None:
    for number in numbers:
        server.publish("progress", progress=number, message=str(number))


def ended(page: Page) -> Any:
    """Return why the tracker has closed; wait for that."""
    until(page, "links.at(-1).state === 'closed'")
    return page.evaluate("links.at(-1).reason")


def test_ninety_events_arrive_in_order_and_once_through_every_kind_of_outage(
    track: Track, server: MoodyServer
) -> None:
    page = track(silence=700)
    until(page, "links.at(-1).state === 'open'")
    publish(server, range(1, 16))
    until(page, "names('progress').length === 15")

    server.refuse()  # a restart: Chromium retries by itself, Firefox would not
    publish(server, range(16, 31))
    until(page, "links.at(-1).attempt >= 2")
    server.listen()
    until(page, "names('progress').length === 30")

    server.moods["stream"] += [reply(502), reply(502)]  # a proxy without its server
    server.cut_all()
    publish(server, range(31, 46))
    until(page, "names('progress').length === 45")

    server.moods["stream"] += [mute]  # half open
    server.cut_all()
    publish(server, range(46, 61))
    until(page, "names('progress').length === 60")

    server.moods["stream"] += [cut(after=4), cut(after=3)]  # in the middle of a frame
    server.cut_all()
    publish(server, range(61, 76))
    until(page, "names('progress').length === 75")

    server.moods["stream"] += [hang]  # never answered
    server.cut_all()
    publish(server, range(76, 91))
    until(page, "names('progress').length === 90")
    server.publish("complete", status="completed", progress=100, message="done")

    assert ended(page) == "ended"
    assert page.evaluate("names('progress')") == [str(number) for number in range(1, 91)]
    assert page.evaluate("names('complete')") == ["done"]
    assert page.evaluate("names('error')") == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "denied"), (403, "denied"), (400, "gone"), (404, "gone"), (410, "gone")],
)
def test_an_answer_that_will_not_change_is_final(
    track: Track, server: MoodyServer, status: int, reason: str
) -> None:
    server.moods["stream"] += [reply(status)]
    server.moods["snapshot"] += [reply(status)]
    page = track()
    assert ended(page) == reason
    assert len(server.seen("stream")) == len(server.seen("snapshot")) == 1
    assert page.evaluate("log") == []


@pytest.mark.parametrize(("status", "reason"), [(403, "denied"), (404, "gone")])
def test_a_proxys_own_refusal_of_a_job_that_was_there_is_final_the_fifth_time(
    track: Track, server: MoodyServer, status: int, reason: str
) -> None:
    theirs = reply(status, "<p>Who?</p>", Content_Type="text/html")
    page = track()
    until(page, "links.at(-1).state === 'open'")
    server.moods["stream"] += [theirs]
    server.moods["snapshot"] += 4 * [theirs]
    server.cut_all()
    until(page, "links.filter((link) => link.state === 'open').length === 2")
    server.lasting |= {"stream": theirs, "snapshot": theirs}
    server.cut_all()
    assert ended(page) == reason
    assert len(server.seen("snapshot")) == 10


def test_a_redirect_to_a_login_page_is_a_denial(track: Track, server: MoodyServer) -> None:
    server.pages["/login"] = "<form></form>"
    server.moods["stream"] += [reply(302, Location="/login")]
    server.moods["snapshot"] += [reply(302, Location="/login")]
    assert ended(track()) == "denied"


def test_a_page_in_place_of_the_job_is_waited_out(track: Track, server: MoodyServer) -> None:
    maintenance = reply(200, "<h1>Back soon</h1>", Content_Type="text/html")
    server.moods["stream"] += [maintenance]
    server.moods["snapshot"] += [maintenance, maintenance]
    page = track()
    until(page, "links.at(-1).state === 'open'")
    assert len(server.seen("snapshot")) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(track: Track, server: MoodyServer, status: int) -> None:
    server.moods["stream"] += [reply(status)]
    server.moods["snapshot"] += [reply(status, Retry_After="1")]
    page = track()
    until(page, "links.at(-1).state === 'open'")
    delays = page.evaluate("links.filter((link) => link.delay).map((link) => link.delay)")
    assert delays == [100, 1200]  # the second has the server's second, and jitter on top


def test_the_delays_double_up_to_half_a_minute(track: Track, server: MoodyServer) -> None:
    for what in "stream", "snapshot":
        server.moods[what] += [reply(502)] * 9
    server.pages["/page.js"] += "window.now = 0; performance.now = () => now;"
    page = track(random=1)
    for attempt in range(1, 9):
        until(page, f"links.at(-1).attempt === {attempt}")
        page.evaluate("now += links.at(-1).delay + 1")
    delays = page.evaluate("links.filter((link) => link.delay).map((link) => link.delay)")
    assert delays[:8] == [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]


def test_the_delays_do_not_grow_where_the_server_says_when_to_come_back(
    track: Track, server: MoodyServer
) -> None:
    server.moods["stream"] += [reply(503)]
    server.moods["snapshot"] += [reply(503, Retry_After="2")] * 6
    server.pages["/page.js"] += "window.now = 0; performance.now = () => now;"
    page = track(random=1)
    for attempt in range(1, 7):
        until(page, f"links.at(-1).attempt === {attempt}")
        page.evaluate("now += links.at(-1).delay + 1")
    delays = page.evaluate("links.filter((link) => link.delay).map((link) => link.delay)")
    assert delays[:6] == [1000, 4000, 4000, 4000, 4000, 4000]


def test_the_delays_are_drawn_from_the_whole_range(track: Track, server: MoodyServer) -> None:
    server.moods["stream"] += [reply(502)]
    delays = set()
    for random in 0, 0.25, 0.5:
        server.moods["stream"] += [reply(502)]
        page = track(random=random)
        until(page, "links.at(-1).state === 'reconnecting'")
        delays.add(page.evaluate("links.at(-1).delay"))
    assert delays == {0, 250, 500}


def test_it_gives_up_after_as_many_attempts_as_it_may_make(
    track: Track, server: MoodyServer
) -> None:
    server.moods["stream"] += [reply(502)]
    server.moods["snapshot"] += [reply(502)] * 9
    page = track(maxReconnectAttempts=2)
    assert ended(page) == "attempts"
    assert len(server.seen("snapshot")) == 2
    assert page.evaluate("names('error')") == []


def test_no_content_leads_to_the_end_that_the_snapshot_tells(
    track: Track, server: MoodyServer
) -> None:
    server.publish("complete", status="completed", progress=100, message="done")
    server.moods["stream"] += [reply(204)]
    page = track()
    assert ended(page) == "ended"
    assert page.evaluate("log") == [["complete", "completed", "done"]]
    assert len(server.seen("stream")) == 1


def test_a_quiet_stream_is_kept_while_its_heart_beats(track: Track, server: MoodyServer) -> None:
    page = track(silence=700)
    until(page, "links.at(-1).state === 'open'")
    page.wait_for_timeout(2000)  # nothing is to happen, for some three times the silence
    assert len(server.seen("stream")) == 1
    assert server.seen("stream")[0].query == {"heartbeat": "event"}


def test_a_page_that_has_slept_looks_at_the_clock_when_it_is_seen_again(
    track: Track, server: MoodyServer
) -> None:
    page = track()
    until(page, "links.at(-1).state === 'open'")
    page.evaluate(
        """() => {
          const now = Date.now() + 60_000;
          Date.now = () => now;
          document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
        }"""
    )
    assert page.evaluate("links.at(-1).state") == "reconnecting"


@pytest.mark.parametrize(
    "event", ["new Event('online')", "new PageTransitionEvent('pageshow', { persisted: true })"]
)
def test_it_comes_back_at_once_with_the_network_or_the_page(
    track: Track, server: MoodyServer, event: str
) -> None:
    server.moods["stream"] += [reply(503)]
    server.moods["snapshot"] += [reply(503, Retry_After="3600")]
    page = track()
    # An hour is more than anybody waits for a page: five minutes, and jitter on top.
    until(page, "links.at(-1).delay >= 300_000 && links.at(-1).delay < 331_000")
    page.evaluate(f"dispatchEvent({event})")
    until(page, "links.at(-1).state === 'open'")


def test_a_clock_that_is_set_back_holds_up_nothing(track: Track, server: MoodyServer) -> None:
    server.moods["stream"] += [reply(502)]
    page = track(random=1)
    until(page, "links.at(-1).delay > 0")
    page.evaluate("() => { const now = Date.now; Date.now = () => now() - 3_600_000 }")
    until(page, "links.at(-1).state === 'open'")


def test_the_cursor_and_the_query_go_along(track: Track, server: MoodyServer) -> None:
    page = track("?ticket=abc")
    until(page, "links.at(-1).state === 'open'")
    publish(server, range(1, 4))
    until(page, "log.length >= 4")
    server.moods["stream"] += [reply(502)]
    server.cut_all()
    requests = server.wait_for("stream", 3)
    assert [request.cursor for request in requests] == ["", "e-1-3", "e-1-3"]
    assert requests[2].query == {
        "ticket": "abc",
        "heartbeat": "event",
        "last_event_id": "e-1-3",
    }
    assert server.seen("snapshot")[0].query == {"ticket": "abc"}


def test_a_stream_that_ends_cleanly_is_left_to_the_browser_and_its_retry(
    track: Track, server: MoodyServer
) -> None:
    page = track()
    until(page, "links.at(-1).state === 'open'")
    server.cut_all()
    until(page, "links.filter((link) => link.state === 'open').length === 2")
    assert page.evaluate("links.map((link) => link.state)") == [
        "connecting",
        "open",
        "reconnecting",
        "open",
    ]
    assert server.seen("snapshot") == []
    assert server.seen("stream")[1].headers["last-event-id"] == "e-1-0"
