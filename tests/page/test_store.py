"""The store: what its subscribers are told, and when; what it asks for."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from sseprog import JobFailed

from ..browser.real_server import RealServer
from .conftest import Open

Eventually = Callable[..., None]
OWN = "/jobs/a/stream?heartbeat=event"

SCRIPT = """
import * as store from "/jobs/static/store.js";
Object.assign(window, store, { seen: {}, leave: {} });
window.listen = (name, source, options) => {
  const list = (seen[name] = []);
  leave[name] = jobStore(source, options).subscribe((job) => list.push(job));
};
window.ready = true;
"""


@pytest.fixture
def page(show: Open) -> Page:
    opened = show(SCRIPT)
    opened.wait_for_function("window.ready")
    return opened


def has(page: Page, name: str, condition: str) -> None:
    page.wait_for_function(
        f"(() => {{ const job = seen['{name}'].at(-1); return job && {condition} }})()"
    )


def test_subscribers_are_told_at_once_and_share_one_tracker(
    page: Page, real: RealServer, eventually: Eventually
) -> None:
    real.begin("a")
    assert page.evaluate("listen('one', 'a'); seen.one.map(({ status }) => status)") == [None]
    assert page.evaluate("seen.one[0].connection.state") == "connecting"
    real.update("a", 10)
    has(page, "one", "job.progress === 10")
    page.evaluate("""
      listen('two', '/jobs/a/stream');
      listen('three', new URL('/jobs/a/stream', location));
    """)
    assert page.evaluate("seen.two[0].progress") == 10
    has(page, "three", "job.progress === 10")
    assert real.asked == [OWN]
    page.evaluate("leave.one(); leave.one(); leave.two()")
    real.update("a", 20)
    has(page, "three", "job.progress === 20")
    assert page.evaluate("seen.one.at(-1).progress") == 10
    page.evaluate("leave.three()")
    eventually(lambda: real.streams == [])
    assert real.asked == [OWN]


def test_nothing_is_asked_for_without_a_subscriber_or_a_job(page: Page, real: RealServer) -> None:
    real.begin("a")
    states = page.evaluate("""async () => {
      const states = [null, undefined, ""].map((source) => {
        const store = jobStore(source);
        store.subscribe(() => {})();
        store.cancel();
        return store.get().connection.state;
      });
      return [...states, jobStore("a").get().connection.state];
    }""")
    assert states == ["idle", "idle", "idle", "connecting"]
    page.wait_for_timeout(500)
    assert real.asked == []


def test_a_snapshot_is_frozen_and_stays_the_same_until_something_changes(
    page: Page, real: RealServer
) -> None:
    real.begin("a")
    page.evaluate("window.it = jobStore('a'); void it.subscribe(() => {})")
    page.wait_for_function("it.get().status === 'running'")
    page.evaluate("window.before = it.get()")
    assert page.evaluate("before === it.get() && Object.isFrozen(before)")
    assert page.evaluate("Object.isFrozen(before.details) && Object.isFrozen(before.connection)")
    real.update("a", 10, details={"rows": 1})
    page.wait_for_function("it.get().progress === 10")
    assert page.evaluate("before !== it.get() && before.progress === null")
    assert page.evaluate("it.get() === it.get() && it.get().cancel === it.cancel")
    # The same once more, but for its time.
    page.evaluate("window.before = it.get()")
    real.update("a", 10, details={"rows": 1})
    page.wait_for_timeout(300)
    assert page.evaluate("before === it.get()")


def test_progress_comes_once_a_frame_and_the_end_at_once(page: Page, real: RealServer) -> None:
    real.begin("a")
    page.evaluate("""
      window.frames = 0;
      const count = () => { frames++; requestAnimationFrame(count); };
      requestAnimationFrame(count);
      listen('a', 'a');
    """)
    has(page, "a", "job.status === 'running'")
    page.evaluate("frames = 0; seen.a.length = 0")
    for percent in range(1, 401):
        real.update("a", percent / 5)
    has(page, "a", "job.progress === 80")
    told, drawn = page.evaluate("[seen.a.length, frames]")
    assert 1 <= told <= drawn + 1 < 400
    # Where there are no frames at all, as on a page that isn't seen.
    page.evaluate("window.requestAnimationFrame = () => 0")
    real.update("a", 90)
    has(page, "a", "job.progress === 90")
    page.evaluate("window.setTimeout = () => 1")
    real.fail("a", JobFailed("No."))
    has(page, "a", "job.error?.code === 'failed'")


def test_what_a_subscriber_throws_harms_no_other(page: Page, real: RealServer) -> None:
    real.begin("a")
    page.evaluate("""
      window.reportError = ({ message }) => (window.reported = message);
      jobStore('a').subscribe(({ status }) => { if (status) throw Error("mine"); });
      listen('a', 'a');
    """)
    real.update("a", 10)
    has(page, "a", "job.progress === 10")
    assert page.evaluate("reported") == "mine"


def test_who_leaves_keeps_the_snapshot_and_may_come_back(
    page: Page, real: RealServer, eventually: Eventually
) -> None:
    real.begin("a")
    page.evaluate("window.it = jobStore('a'); void (window.leave = it.subscribe(() => {}))")
    real.update("a", 10)
    page.wait_for_function("it.get().progress === 10")
    page.evaluate("leave()")
    eventually(lambda: real.streams == [])
    state = page.evaluate("it.get()")
    assert (state["progress"], state["connection"]) == (10, {"state": "connecting"})
    real.update("a", 20)
    page.evaluate("void (leave = it.subscribe(() => {}))")
    page.wait_for_function("it.get().progress === 20")
    page.evaluate("""async () => { leave(); await 0; listen('other', 'a'); }""")
    real.update("a", 30)
    has(page, "other", "job.progress === 30")
    page.evaluate("void it.subscribe(() => {})")
    assert page.evaluate("it.get().progress") == 30
    assert len(real.streams) == 1


def test_a_job_that_was_not_known_is_asked_for_again_by_who_comes_later(
    page: Page, real: RealServer
) -> None:
    page.evaluate("listen('one', 'a')")
    has(page, "one", "job.connection.reason === 'gone'")
    real.begin("a")
    page.evaluate("listen('two', 'a')")
    has(page, "two", "job.status === 'running'")
    has(page, "one", "job.status === 'running'")


def test_a_token_is_sent_unless_another_is_given(page: Page, real: RealServer) -> None:
    real.begin("a")
    page.evaluate("defaults.csrf = () => () => 'default'")
    for options, headers, sent in (
        ("{}", "{}", "default"),
        ("{ csrf: () => 'own' }", "{ Accept: '*/*' }", "own"),
        ("{ csrf: 'own' }", "new Headers({ 'x-csrftoken': 'given' })", "given"),
    ):
        with page.expect_request("**/jobs/a/cancel") as asked:
            page.evaluate(f"jobStore('a', {options}).cancel({headers})")
        assert asked.value.headers["x-csrftoken"] == sent


def test_a_token_is_for_the_origin_of_the_base_alone(page: Page, real: RealServer) -> None:
    real.begin("a")
    page.evaluate("defaults.csrf = 'secret'")
    elsewhere = real.url.replace("127.0.0.1", "localhost")
    for job, base, sent in (
        (f"{elsewhere.removeprefix('http:')}/jobs/a/stream", "/jobs", None),
        (f"{elsewhere}/jobs/a/stream", "/jobs", None),
        (f"{real.url}/jobs/a/stream", "/jobs", "secret"),
    ):
        cancel = f"jobStore({job!r}, {{ base: {base!r} }}).cancel().catch(() => {{}})"
        with page.expect_request("**/jobs/a/cancel") as asked:
            page.evaluate(f"() => void {cancel}")
        assert asked.value.method in {"POST", "OPTIONS"}
        assert asked.value.headers.get("x-csrftoken") == sent


def test_a_cancellation_that_is_refused_rejects(page: Page, real: RealServer) -> None:
    assert page.evaluate("jobStore('a').cancel().catch(({ message }) => message)") == "404"


def test_a_bare_id_is_below_the_base(page: Page) -> None:
    assert page.evaluate("streamUrl('a:b')") == "/jobs/a%3Ab/stream"
    assert page.evaluate("streamUrl('a', '/api')") == "/api/a/stream"
    assert page.evaluate("streamUrl('/x/a/stream', '/api')") == "/x/a/stream"
    page.evaluate("defaults.base = 'https://example.org/jobs'")
    assert page.evaluate("streamUrl('a')") == "https://example.org/jobs/a/stream"
