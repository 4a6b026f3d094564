"""All jobs of a page on one stream, which is opened again as they come and go."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

from .real_server import RealServer

Eventually = Callable[..., None]


def told(page: Page, job_id: str) -> Any:
    return page.evaluate(f"seen['{job_id}']?.map(([name, progress]) => [name, progress])")


def knows(page: Page, job_id: str, progress: float | None) -> None:
    value = "null" if progress is None else progress
    page.wait_for_function(f"seen['{job_id}']?.at(-1)?.[1] === {value}")


def test_jobs_that_come_in_one_turn_are_on_one_stream(following: Page, real: RealServer) -> None:
    for job_id in ("a", "b", "c"):
        real.begin(job_id)
    following.evaluate("['a', 'b', 'c'].forEach((id) => follow(id))")
    for job_id in ("a", "b", "c"):
        knows(following, job_id, None)
    assert real.streams == ["/jobs/stream?job=a&job=b&job=c&heartbeat=event"]
    for percent in range(1, 30):
        real.update("abc"[percent % 3], percent)
    for job_id in ("a", "b", "c"):
        real.complete(job_id)
        knows(following, job_id, 100)
        first = "abc".index(job_id) or 3
        assert told(following, job_id) == [
            ["status", None],
            *(["progress", percent] for percent in range(first, 30, 3)),
            ["complete", 100],
        ]
        assert following.evaluate(f"seen['{job_id}'].every(([, , id]) => id === '{job_id}')")
        assert following.evaluate(f"links['{job_id}']") == ["connecting", "open", "closed: ended"]
    following.wait_for_timeout(1500)
    assert len(real.asked) == 1
    assert real.streams == []


def test_a_job_that_comes_later_joins_the_others(
    following: Page, real: RealServer, eventually: Eventually
) -> None:
    for job_id in ("a", "b"):
        real.begin(job_id)
    following.evaluate("follow('a')")
    knows(following, "a", None)
    real.update("a", 10)
    knows(following, "a", 10)
    assert real.streams == ["/jobs/a/stream?heartbeat=event"]
    following.evaluate("follow('b')")
    knows(following, "b", None)
    eventually(lambda: real.streams == ["/jobs/stream?job=a&job=b&heartbeat=event"])
    for percent in (20, 30):
        for job_id in ("a", "b"):
            real.update(job_id, percent)
            knows(following, job_id, percent)
    assert told(following, "a")[-3:] == [["progress", 10], ["progress", 20], ["progress", 30]]
    assert following.evaluate("links.a") == ["connecting", "open"]
    assert real.asked_for("/a") == []


def test_a_job_that_is_left_is_left_out_after_a_while(
    following: Page, real: RealServer, eventually: Eventually
) -> None:
    for job_id in ("a", "b", "c"):
        real.begin(job_id)
    following.evaluate("['a', 'b', 'c'].forEach((id) => follow(id))")
    knows(following, "c", None)
    following.evaluate("trackers.b.stop()")
    real.update("b", 10)
    real.update("c", 10)
    knows(following, "c", 10)
    assert following.evaluate("links.b.at(-1)") == "closed: stopped"
    assert told(following, "b")[-1] == ["status", None]
    eventually(lambda: real.streams == ["/jobs/stream?job=a&job=c&heartbeat=event"])
    following.evaluate("trackers.c.stop()")
    eventually(lambda: real.streams == ["/jobs/a/stream?heartbeat=event"])
    following.evaluate("trackers.a.stop()")
    eventually(lambda: real.streams == [])


def test_a_job_that_ends_leaves_the_stream_as_it_is(following: Page, real: RealServer) -> None:
    for job_id in ("a", "b"):
        real.begin(job_id)
    following.evaluate("['a', 'b'].forEach((id) => follow(id))")
    knows(following, "b", None)
    real.complete("a")
    knows(following, "a", 100)
    real.update("b", 50)
    knows(following, "b", 50)
    following.wait_for_timeout(2500)
    assert len(real.asked) == 1


def test_one_job_is_followed_twice_on_one_stream(following: Page, real: RealServer) -> None:
    real.begin("a")
    real.update("a", 10)
    following.evaluate("follow('a')")
    knows(following, "a", 10)
    following.evaluate("window.first = trackers.a; delete trackers.a; follow('a')")
    following.wait_for_function("links.a.at(-1) === 'open'")
    real.update("a", 20)
    following.wait_for_function("seen.a.length === 4")
    assert told(following, "a") == [*2 * [["status", 10]], *2 * [["progress", 20]]]
    following.evaluate("first.stop()")
    real.update("a", 30)
    following.wait_for_function("seen.a.length === 5")
    assert len(real.asked) == 1
    assert real.streams == ["/jobs/a/stream?heartbeat=event"]


def test_who_stops_and_starts_in_one_turn_keeps_the_stream(
    following: Page, real: RealServer
) -> None:
    real.begin("a")
    following.evaluate("follow('a'); trackers.a.stop(); trackers.a.start()")
    knows(following, "a", None)
    following.evaluate("trackers.a.stop(); trackers.a.start()")
    real.update("a", 10)
    knows(following, "a", 10)
    following.evaluate("trackers.a.stop(); follow('a')")
    real.update("a", 20)
    knows(following, "a", 20)
    assert len(real.asked) == 1


def test_who_takes_anothers_place_in_one_turn_is_told_what_is_known(
    following: Page, real: RealServer
) -> None:
    real.begin("a")
    real.update("a", 10)
    following.evaluate("follow('a')")
    knows(following, "a", 10)
    following.evaluate("trackers.a.stop(); seen = {}; links = {}; trackers = {}; follow('a')")
    knows(following, "a", 10)
    assert told(following, "a") == [["status", 10]]
    assert following.evaluate("links.a") == ["connecting", "open"]
    assert len(real.asked) == 1


def test_what_is_unknown_or_ended_costs_the_others_nothing(
    following: Page, real: RealServer
) -> None:
    for job_id in ("a", "b", "done"):
        real.begin(job_id)
    real.complete("done")
    following.evaluate("['a', 'unknown', 'b', 'done'].forEach((id) => follow(id))")
    for job_id in ("a", "b"):
        real.update(job_id, 10)
        knows(following, job_id, 10)
    following.wait_for_function("links.unknown.at(-1) === 'closed: gone'")
    following.wait_for_function("links.done.at(-1) === 'closed: ended'")
    assert told(following, "done")[-1] == ["complete", 100]
    assert following.evaluate("seen.unknown") == []
    following.wait_for_function("links.a.at(-1) === 'open'")
    for job_id in ("a", "b"):
        real.update(job_id, 20)
        knows(following, job_id, 20)
    assert real.streams == ["/jobs/stream?job=a&job=b&heartbeat=event"]


def test_where_many_are_not_to_be_had_each_has_its_own(
    following: Page, real: RealServer, eventually: Eventually
) -> None:
    real.refuse = lambda path, query: 404 if path == "/jobs/stream" else None
    for job_id in ("a", "b", "c"):
        real.begin(job_id)
    following.evaluate("['a', 'b'].forEach((id) => follow(id))")
    paths = lambda: sorted(target.partition("?")[0] for target in real.streams)  # noqa: E731
    eventually(lambda: paths() == ["/jobs/a/stream", "/jobs/b/stream"])
    for job_id in ("a", "b"):
        real.update(job_id, 10)
        knows(following, job_id, 10)
        assert following.evaluate(f"links['{job_id}'].at(-1)") == "open"
    following.evaluate("follow('c')")
    eventually(lambda: "/jobs/c/stream" in paths())
    assert len(real.asked_for("/jobs/stream")) == 2


def test_a_server_that_was_away_is_found_again(following: Page, real: RealServer) -> None:
    for job_id in ("a", "b"):
        real.begin(job_id)
    following.evaluate("['a', 'b'].forEach((id) => follow(id))")
    knows(following, "b", None)
    real.refuse = lambda path, query: 502
    real.hub.drain()
    following.wait_for_function("links.a.includes('reconnecting')")
    real.update("a", 10)
    real.hub._draining = False
    real.refuse = lambda path, query: None
    knows(following, "a", 10)
    following.wait_for_function("links.a.at(-1) === 'open' && links.b.at(-1) === 'open'")
    real.update("b", 20)
    knows(following, "b", 20)
    assert real.streams == ["/jobs/stream?job=a&job=b&heartbeat=event"]


def test_many_jobs_are_polled_where_streams_fail_and_streamed_again(
    following: Page, real: RealServer
) -> None:
    following.evaluate("""() => {
      const now = performance.now.bind(performance);
      performance.now = () => now() * 10;
    }""")
    jobs = [f"j{n}" for n in range(20)]
    for job_id in jobs:
        real.begin(job_id)
        real.update(job_id, 5)
    real.refuse = lambda path, query: 500 if path.endswith("/stream") else None
    following.evaluate("for (let i = 0; i < 20; i++) follow(`j${i}`)")
    for job_id in jobs:
        knows(following, job_id, 5)
    assert following.evaluate("links.j7.at(-1)") == "polling: blocked"
    real.update("j7", 50)
    knows(following, "j7", 50)
    real.refuse = lambda path, query: None
    following.wait_for_function("Object.values(links).every((link) => link.at(-1) === 'open')")
    for job_id in jobs:
        real.update(job_id, 60)
        knows(following, job_id, 60)
        values = [progress for _, progress in told(following, job_id)]
        assert values == sorted(values)


def test_more_jobs_than_a_stream_holds_take_several(
    following: Page, real: RealServer, eventually: Eventually
) -> None:
    for n in range(100):
        real.begin(f"j{n}")
    following.evaluate("for (let i = 0; i < 100; i++) follow(`j${i}`)")
    following.wait_for_function("Object.values(links).every((link) => link.at(-1) === 'open')")
    assert sorted(target.count("job=") for target in real.streams) == [36, 64]
    real.update("j99", 10)
    knows(following, "j99", 10)


def test_without_room_for_more_streams_the_rest_is_polled(
    following: Page, real: RealServer
) -> None:
    for n in range(300):
        real.begin(f"j{n}")
    following.evaluate("for (let i = 0; i < 300; i++) follow(`j${i}`)")
    following.wait_for_function("links.j0.at(-1) === 'open' && links.j299.at(-1) !== 'connecting'")
    assert following.evaluate("links.j299.at(-1)") == "polling: full"
    assert len(real.streams) == 4
    real.update("j299", 10)
    knows(following, "j299", 10)
    assert following.evaluate("fetch('/').then(({ status }) => status)") == 200
    for n in range(64):
        real.complete(f"j{n}")
    following.wait_for_function("links.j299.at(-1) === 'open'")
    real.update("j299", 20)
    knows(following, "j299", 20)


def test_who_comes_while_the_server_is_away_waits_with_the_others(
    following: Page, real: RealServer, eventually: Eventually
) -> None:
    jobs = "abcdef"
    for job_id in jobs:
        real.begin(job_id)
    following.evaluate("Math.random = () => 0.9")
    real.refuse = lambda path, query: 502
    following.evaluate("follow('a')")
    following.wait_for_function("links.a.includes('reconnecting')")
    following.wait_for_timeout(50)
    before = len(real.asked_for("/stream"))
    for job_id in jobs[1:]:
        following.evaluate(f"follow('{job_id}')")
    following.wait_for_timeout(200)
    assert len(real.asked_for("/stream")) == before
    real.refuse = lambda path, query: None
    for job_id in jobs:
        knows(following, job_id, None)
    eventually(lambda: [target.count("job=") for target in real.streams] == [len(jobs)])


def test_no_more_streams_are_open_after_an_outage_than_before(
    following: Page, real: RealServer, eventually: Eventually
) -> None:
    away = lambda path, query: 502  # noqa: E731
    joint = lambda path, query: 404 if path == "/jobs/stream" else None  # noqa: E731
    real.refuse = joint
    for n in range(9):
        real.begin(f"j{n}")
    following.evaluate("for (let i = 0; i < 9; i++) follow(`j${i}`)")
    settled = (
        "Object.values(links).filter((link) => link.at(-1) === 'open').length === 4"
        " && Object.values(links).filter((link) => link.at(-1) === 'polling: full').length === 5"
    )
    following.wait_for_function(settled)
    following.evaluate("dispatchEvent(new Event('online'))")
    following.wait_for_timeout(1000)
    following.wait_for_function(settled)
    assert len(real.streams) == 4
    real.refuse = away
    real.hub.drain()
    following.wait_for_function(
        "Object.values(links).every((link) => link.at(-1) === 'reconnecting')"
    )
    real.hub._draining = False
    real.refuse = joint
    for _ in range(40):
        following.wait_for_timeout(100)
        assert len(real.streams) <= 4
    assert following.evaluate("fetch('/').then(({ status }) => status)") == 200
    for n in range(9):
        real.update(f"j{n}", 10)
        knows(following, f"j{n}", 10)


def test_a_server_without_room_for_a_while_is_asked_for_many_again(
    following: Page, real: RealServer, eventually: Eventually
) -> None:
    following.evaluate("""() => {
      const now = performance.now.bind(performance);
      performance.now = () => now() * 10;
    }""")

    def refuse(path: str, query: str) -> int | None:
        if path == "/jobs/a/stream":  # there is room now, as luck will have it
            real.hub._draining = False
        return None

    real.refuse = refuse
    for job_id in ("a", "b"):
        real.begin(job_id)
    real.hub._draining = True
    following.evaluate("['a', 'b'].forEach((id) => follow(id))")
    eventually(lambda: len(real.asked_for("/jobs/stream")) >= 3, 20)
    assert following.evaluate("links.a.at(-1)") == "polling: busy"
    real.hub._draining = False
    eventually(lambda: real.streams == ["/jobs/stream?job=a&job=b&heartbeat=event"], 20)
    assert real.asked_for("/a/stream") == []
