"""What `notices.js` tells people who look elsewhere."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .moody_server import MoodyServer

Noticing = Callable[..., Page]

# A headless page is never hidden, and shows no notification: both are the browser's, not ours.
NOTING = """
import * as notices from "/notices.js";
import "/sseprog.js";
Object.assign(window, notices, { noted: [] });
let hidden = false;
Object.defineProperty(document, "hidden", { get: () => hidden });
window.hide = (value) => (hidden = value);
window.Notification = class {
  static permission = "default";
  static async requestPermission() {
    return (this.permission = navigator.userActivation.isActive ? "granted" : "denied");
  }
  constructor(text, options) {
    noted.push([text, options.tag]);
    window.notification = this;
  }
};
window.ready = true;
"""


@pytest.fixture
def noticing(page: Page, server: MoodyServer) -> Noticing:
    """Announce the server's job, or what the page's ``tell()`` tells."""

    def display(options: str, element: str = "") -> Page:
        server.pages["/page.js"] = NOTING
        server.pages["/"] = f"""<!doctype html><html lang="en"><title>Videos</title>
          <meta name="color-scheme" content="light dark">
          <script type="module" src="/page.js"></script><button id=allow>Allow</button>{element}"""
        page.goto(server.url)
        page.wait_for_function("window.ready")
        page.evaluate(f"void (window.undo = announce({options}))")
        return page

    return display


ELEMENT = '<job-progress src="/jobs/it/stream" label="holiday.mov"></job-progress>'
JOB = """window.job = (job_id, status, progress, details = {}) =>
  tell({ job_id, status, progress, details }, job_id + ".mov")"""


def test_the_title_tells_how_far_it_is_and_is_restored(
    noticing: Noticing, server: MoodyServer
) -> None:
    page = noticing("{ title: true }", ELEMENT)
    server.publish("progress", progress=41.9)
    expect(page).to_have_title("(41%) Videos")
    page.evaluate("document.title = 'Films'")
    server.publish("progress", progress=50)
    expect(page).to_have_title("(50%) Films")
    server.publish("complete", status="completed", progress=100)
    expect(page).to_have_title("Films")
    assert page.locator("[role=status]").filter(has_text="holiday").count() == 0


def test_the_title_of_several_jobs_is_their_mean(noticing: Noticing) -> None:
    page = noticing("{ title: true }")
    page.evaluate(JOB)
    page.evaluate("job('a', 'running', 50); job('b', 'running', null)")
    expect(page).to_have_title("(25%) Videos")
    page.evaluate("job('a', 'completed', 100)")
    expect(page).to_have_title("(50%) Videos")
    page.evaluate("job('b', 'lost', 3)")
    expect(page).to_have_title("Videos")


def test_an_element_that_is_removed_leaves_no_title(
    noticing: Noticing, server: MoodyServer
) -> None:
    page = noticing("{ title: true }", ELEMENT)
    server.publish("progress", progress=41)
    expect(page).to_have_title("(41%) Videos")
    page.evaluate("document.querySelector('job-progress').remove()")
    expect(page).to_have_title("Videos")


def test_a_toast_tells_of_the_end_and_leads_to_the_result(
    noticing: Noticing, server: MoodyServer, screenshot: Callable[[Page, str], None]
) -> None:
    page = noticing("{ toast: true }", ELEMENT)
    server.publish("progress", progress=41)
    expect(page.locator("job-progress #percent")).to_have_text("41")
    server.publish("complete", status="completed", details={"url": "/videos/7"})
    toast = page.get_by_role("status").filter(has_text="holiday.mov is done")
    expect(toast).to_be_visible()
    expect(toast.get_by_role("link")).to_have_attribute("href", f"{server.url}/videos/7")
    for scheme in "light", "dark":
        page.emulate_media(color_scheme=scheme)
        screenshot(page, f"toast-{scheme}")
    page.emulate_media(color_scheme="light", forced_colors="active")
    screenshot(page, "toast-forced")
    toast.get_by_role("button", name="Dismiss").press("Enter")
    expect(page.get_by_text("is done")).to_have_count(0)
    assert page.title() == "Videos"


@pytest.mark.parametrize(
    ("url", "link", "leads"),
    [
        ("/videos/7", "", "{}/videos/7"),
        ("javascript:alert(1)", "", None),
        ("https://elsewhere.test/", "", None),
        ("//elsewhere.test/", "", None),
        ("data:text/html,x", "", None),
        (None, "", None),
        ("4 files", "", None),
        ("http://[", "", None),
        (None, ", link: () => 'https://elsewhere.test/x'", "https://elsewhere.test/x"),
        (None, ", link: (job) => `/files/${job.job_id}`", "{}/files/a"),
        (None, ", link: () => 'javascript:alert(1)'", None),
        ("/videos/7", ", link: () => null", None),
    ],
)
def test_a_document_leads_to_this_site_only(
    noticing: Noticing, server: MoodyServer, url: str | None, link: str, leads: str | None
) -> None:
    page = noticing(f"{{ toast: true {link} }}")
    page.evaluate(JOB)
    page.evaluate("job('a', 'running', 1)")
    page.evaluate("(url) => job('a', 'completed', 100, { url })", url)
    expect(page.get_by_text("a.mov is done")).to_be_visible()
    found = page.get_by_role("link").evaluate_all("(links) => links.map(({ href }) => href)")
    assert found == ([leads.format(server.url)] if leads else [])


def test_toasts_are_stacked_and_success_goes_after_a_while(
    noticing: Noticing, page: Page, screenshot: Callable[[Page, str], None]
) -> None:
    page.clock.install()
    noticing("{ toast: true }")
    page.evaluate(JOB)
    page.evaluate(
        "for (const id of 'abcdef') { job(id, 'running', 1); job(id, 'completed', 100); }"
    )
    page.evaluate("job('x', 'running', 1); job('x', 'failed', 1); job('x', 'failed', 1)")
    toasts = page.get_by_role("status").locator("div")
    expect(toasts).to_have_count(4)
    expect(toasts.last).to_contain_text("x.mov failed")
    screenshot(page, "toasts")
    page.evaluate("hide(true)")
    page.clock.run_for(30_000)
    expect(toasts).to_have_count(4)  # nobody has seen them
    page.evaluate("hide(false)")
    toasts.first.hover()
    page.clock.run_for(30_000)
    expect(toasts).to_have_count(2)
    page.mouse.move(0, 0)
    page.clock.run_for(30_000)
    expect(toasts).to_have_count(1)


def test_a_failure_stays_when_others_succeed(noticing: Noticing) -> None:
    page = noticing("{ toast: true }")
    page.evaluate(JOB)
    page.evaluate("""() => {
      for (const id of "abcdef") job(id, "running", 1);
      job("a", "failed", 1);
      for (const id of "bcdef") job(id, "completed", 100);
    }""")
    lines = page.get_by_role("status").locator("div")
    expect(lines).to_have_count(4)
    expect(lines.first).to_contain_text("a.mov failed")


def test_a_job_that_had_ended_before_is_no_news(noticing: Noticing, server: MoodyServer) -> None:
    server.publish("complete", status="completed", progress=100)
    page = noticing("{ title: true, toast: true }", ELEMENT)
    expect(page.locator("job-progress")).to_have_attribute("state", "completed")
    expect(page.get_by_text("is done")).to_have_count(0)
    assert page.title() == "Videos"


def test_a_hidden_page_notifies_when_a_person_has_allowed_it(noticing: Noticing) -> None:
    page = noticing("{ notification: true, link: () => '#result' }")
    page.evaluate(JOB)

    def ends(job_id: str) -> Any:
        page.evaluate(f"job('{job_id}', 'running', 1); job('{job_id}', 'completed', 100)")
        return page.evaluate("noted")

    page.evaluate("hide(true)")
    assert ends("a") == []
    page.evaluate("""() => {
      allow.onclick = async () => (window.allowed = await allowNotifications());
    }""")
    page.get_by_role("button", name="Allow").click()
    page.wait_for_function("window.allowed === true")
    assert ends("b") == [["b.mov is done", "sseprog"]]
    page.evaluate("notification.onclick()")
    assert page.url.endswith("#result")
    page.evaluate("hide(false)")
    assert len(ends("c")) == 1
    expect(page.get_by_text("c.mov is done")).to_have_count(0)


def test_the_focus_goes_from_toast_to_toast_and_back(noticing: Noticing) -> None:
    page = noticing("{ toast: true }")
    page.evaluate(JOB)
    page.evaluate("for (const id of 'abc') { job(id, 'running', 1); job(id, 'failed', 1); }")
    allow = page.get_by_role("button", name="Allow")
    page.keyboard.press("Tab")
    expect(allow).to_be_focused()
    page.keyboard.press("Tab")
    toasts = page.get_by_role("status").locator("div")
    for count in 3, 2, 1:
        expect(toasts).to_have_count(count)
        expect(toasts.first.get_by_role("button", name="Dismiss")).to_be_focused()
        page.keyboard.press("Enter")
    expect(allow).to_be_focused()


def test_a_toast_is_read_out_alone(noticing: Noticing) -> None:
    page = noticing("{ toast: true }")
    expect(page.get_by_role("status")).to_have_attribute("aria-atomic", "false")


def test_undone_it_leaves_nothing(noticing: Noticing) -> None:
    page = noticing("{ title: true, toast: true }")
    page.evaluate(JOB)
    page.evaluate("job('a', 'running', 1); job('b', 'running', 1); job('b', 'failed', 1)")
    expect(page.get_by_text("b.mov failed")).to_be_visible()
    page.evaluate("undo()")
    expect(page.get_by_text("b.mov failed")).to_have_count(0)
    expect(page).to_have_title("Videos")
    page.evaluate("job('a', 'failed', 1)")
    expect(page.get_by_text("a.mov failed")).to_have_count(0)
    assert page.locator("body > div").count() == 0
