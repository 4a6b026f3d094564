"""One stream for all tabs, and another tab that goes on when the one that has it is gone."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from .conftest import FOLLOWING
from .real_server import RealServer

Eventually = Callable[..., None]
Open = Callable[..., Page]

SHARING = """
import { shareTabs } from "/jobs/static/tabs.js";
shareTabs();
"""


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def tab(context: BrowserContext, real: RealServer) -> Open:
    """Open a tab that follows these jobs."""
    real.pages["/"] = "<title>a tab</title><script type=module src=/page.js></script>"
    real.pages["/page.js"] = SHARING + FOLLOWING

    def open_tab(*jobs: str, script: str = "") -> Page:
        page = context.new_page()
        if script:
            page.add_init_script(script)
        page.goto(real.url)
        page.wait_for_function("window.ready")
        for job_id in jobs:
            page.evaluate(f"follow('{job_id}')")
        return page

    return open_tab


def knows(page: Page, job_id: str, progress: float | None) -> None:
    value = "null" if progress is None else progress
    page.wait_for_function(f"seen['{job_id}']?.at(-1)?.[1] === {value}")


def test_eight_tabs_have_one_stream(tab: Open, real: RealServer) -> None:
    real.begin("a")
    tabs = [tab("a") for _ in range(8)]
    for page in tabs:
        knows(page, "a", None)
    for percent in range(1, 51):
        real.update("a", percent)
    for page in tabs:
        knows(page, "a", 50)
        told = page.evaluate("seen.a.map(([, progress]) => progress)")
        assert told == [None, *range(1, 51)]
        assert page.evaluate("fetch('/').then(({ status }) => status)") == 200
    assert real.streams == ["/jobs/a/stream?heartbeat=event"]
    real.complete("a")
    for page in tabs:
        page.wait_for_function("links.a.at(-1) === 'closed: ended'")
        assert page.evaluate("seen.a.at(-1)[0]") == "complete"
        assert page.evaluate("links.a") == ["connecting", "open", "closed: ended"]
    assert real.streams == []


def test_each_tab_hears_of_its_own_jobs(
    tab: Open, real: RealServer, eventually: Eventually
) -> None:
    for job_id in ("a", "b", "c"):
        real.begin(job_id)
    first, second, third = tab("a"), tab("b", "c"), tab("a", "c")
    for page, job_id in ((first, "a"), (second, "b"), (second, "c"), (third, "a"), (third, "c")):
        knows(page, job_id, None)
    eventually(lambda: real.streams == ["/jobs/stream?job=a&job=b&job=c&heartbeat=event"])
    for job_id in ("a", "b", "c"):
        real.update(job_id, 10)
    for page, job_id in ((first, "a"), (second, "b"), (second, "c"), (third, "a"), (third, "c")):
        knows(page, job_id, 10)
    assert first.evaluate("Object.keys(seen)") == ["a"]
    second.evaluate("trackers.b.stop()")
    eventually(lambda: real.streams == ["/jobs/stream?job=a&job=c&heartbeat=event"])
    second.close()
    third.close()
    eventually(lambda: real.streams == ["/jobs/a/stream?heartbeat=event"])
    first.close()
    eventually(lambda: real.streams == [])


def test_when_the_tab_that_leads_is_closed_another_goes_on_at_its_cursor(
    tab: Open, real: RealServer, eventually: Eventually
) -> None:
    real.begin("a")
    first, *others = (tab("a") for _ in range(4))
    for page in others:
        knows(page, "a", None)
    for percent in range(1, 91):
        real.update("a", percent)
        if percent == 30:
            first.close()
        elif percent == 60:
            knows(others[0], "a", 60)
            others.pop(0).close()
    for page in others:
        knows(page, "a", 90)
        assert page.evaluate("seen.a.map(([, progress]) => progress)") == [None, *range(1, 91)]
    assert len(real.streams) == 1
    assert "last_event_id" in real.streams[0]
    assert len(real.asked_for("/stream")) == 3


def test_who_is_slow_to_ask_the_next_tab_that_leads_misses_nothing(
    tab: Open, real: RealServer
) -> None:
    real.begin("a")
    first, second = tab("a"), tab("a")
    script = """
      const { postMessage } = BroadcastChannel.prototype;
      BroadcastChannel.prototype.postMessage = function (...values) {
        setTimeout(() => postMessage.apply(this, values), 300);
      };
    """
    third = tab("a", script=script)
    for page in (second, third):
        knows(page, "a", None)
    for percent in range(1, 61):
        real.update("a", percent)
        if percent == 30:
            first.close()
    for page in (second, third):
        knows(page, "a", 60)
        assert page.evaluate("seen.a.map(([, progress]) => progress)") == [None, *range(1, 61)]


def test_a_tab_that_hangs_is_not_waited_for(
    tab: Open, real: RealServer, eventually: Eventually
) -> None:
    real.begin("a")
    leader = tab("a")
    knows(leader, "a", None)
    other = tab("a", script="const now = Date.now; Date.now = () => 12 * now();")
    knows(other, "a", None)
    leader.evaluate(
        "setTimeout(() => { const end = Date.now() + 12000; while (Date.now() < end); })"
    )
    real.update("a", 10)
    knows(other, "a", 10)
    leader.wait_for_function("seen.a.at(-1)[1] === 10")
    real.update("a", 20)
    for page in (leader, other):
        knows(page, "a", 20)
        assert page.evaluate("seen.a.map(([, progress]) => progress)") == [None, 10, 20]
    eventually(lambda: len(real.streams) == 1)


def test_an_unknown_job_is_gone_in_every_tab(tab: Open, real: RealServer) -> None:
    tabs = [tab("unknown") for _ in range(2)]
    for page in tabs:
        page.wait_for_function("links.unknown.at(-1) === 'closed: gone'")
    assert real.streams == []


def test_without_locks_each_tab_has_its_own(tab: Open, real: RealServer) -> None:
    real.begin("a")
    script = "Object.defineProperty(navigator, 'locks', { value: undefined })"
    tabs = [tab("a", script=script) for _ in range(2)]
    for page in tabs:
        knows(page, "a", None)
    assert len(real.streams) == 2


def test_a_page_without_a_script_of_its_own_shares_by_the_modules_name(
    context: BrowserContext, real: RealServer, eventually: Eventually
) -> None:
    real.begin("a")
    real.update("a", 40)
    real.pages["/"] = """<title>a tab</title>
      <script type="module" src="/jobs/static/tabs.js?share"></script>
      <script type="module" src="/jobs/static/sseprog.js"></script>
      <job-progress src="/jobs/a/stream"></job-progress>"""
    tabs = [context.new_page() for _ in range(8)]
    for page in tabs:
        page.goto(real.url)
    for page in tabs:
        page.wait_for_function(
            "document.querySelector('job-progress').shadowRoot.textContent.includes('40')"
        )
    eventually(lambda: real.streams == ["/jobs/a/stream?heartbeat=event"])


def test_where_locks_are_denied_each_tab_has_its_own(tab: Open, real: RealServer) -> None:
    real.begin("a")
    script = """
      window.asked = 0;
      navigator.locks.request = async () => {
        if (++asked > 1000) await new Promise(() => {});
        throw new DOMException("Access to the Locks API is denied", "SecurityError");
      };
    """
    tabs = [tab("a", script=script) for _ in range(2)]
    for page in tabs:
        knows(page, "a", None)
        assert page.evaluate("asked") == 1
    assert len(real.streams) == 2


def test_sharing_twice_is_sharing_once(tab: Open, real: RealServer) -> None:
    real.begin("a")
    page = tab()
    page.evaluate("import('/jobs/static/tabs.js?share')")
    page.wait_for_timeout(100)
    page.evaluate("follow('a')")
    knows(page, "a", None)


def test_who_is_slow_to_say_that_it_is_there_is_heard(tab: Open, real: RealServer) -> None:
    real.begin("a")
    leader = tab("a")
    knows(leader, "a", None)
    script = """
      const { request } = LockManager.prototype;
      LockManager.prototype.request = async function (...values) {
        await new Promise((go) => setTimeout(go, 500));
        return request.apply(this, values);
      };
    """
    other = tab("a", script=script)
    other.wait_for_timeout(1000)
    real.update("a", 10)
    knows(other, "a", 10)
    knows(leader, "a", 10)
    real.complete("a")
    other.wait_for_function("links.a.at(-1) === 'closed: ended'")


def test_a_tab_that_is_seen_takes_over_from_one_that_polls_and_is_not(
    tab: Open, real: RealServer, eventually: Eventually
) -> None:
    for job_id in ("a", "b"):
        real.begin(job_id)
    script = "Object.defineProperty(document, 'hidden', { get: () => !!window.hides });"
    leader = tab("a", script=script)
    knows(leader, "a", None)
    other = tab("a", "b")
    knows(other, "b", None)
    real.refuse = lambda path, query: 500 if path.endswith("/stream") else None
    leader.evaluate("dispatchEvent(new Event('online'))")
    for job_id in ("a", "b"):
        other.wait_for_function(f"links.{job_id}.at(-1) === 'polling: blocked'")
    leader.evaluate("hides = true")
    real.refuse = lambda path, query: None
    real.update("a", 50)
    other.wait_for_function("links.a.at(-1) === 'open'", timeout=25_000)
    for page in (leader, other):
        knows(page, "a", 50)
    eventually(lambda: len(real.streams) == 1)
