"""A real Chromium, and a server of ours to show it pages."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from .moody_server import MoodyServer
from .real_server import RealServer


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 640, "height": 480})
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def server() -> Iterator[MoodyServer]:
    moody = MoodyServer()
    yield moody
    moody.close()


TRACKING = """
import { JobProgressTracker } from "/sseprog.js";
Object.assign(window, { JobProgressTracker, log: [], links: [] });
const record = (name) => (job) => log.push([name, job.status, job.message]);
window.make = (url, options) => new JobProgressTracker(url, {
  onStatus: record("status"),
  onProgress: record("progress"),
  onComplete: record("complete"),
  onError: record("error"),
  onConnection: (state, info) => links.push({ state, ...info }),
  ...options,
});
window.names = (name) => log.filter((line) => line[0] === name).map((line) => line[2]);
window.ready = true;
"""


@pytest.fixture
def track(page: Page, server: MoodyServer) -> Callable[..., Page]:
    """Follow the server's job from a page whose scripts see `log` and `links`.

    ``random`` is what the page's dice always show: 0.1 makes delays short, ``None`` leaves them.
    """
    server.pages["/"] = "<title>tracking</title><script type=module src=/page.js></script>"
    server.pages["/page.js"] = TRACKING

    def follow(query: str = "", random: float | None = 0.1, **options: Any) -> Page:
        if random is not None:
            page.add_init_script(f"Math.random = () => {random}")
        page.goto(server.url)
        page.wait_for_function("window.ready")
        url = json.dumps(f"/jobs/it/stream{query}")
        page.evaluate(f"() => (window.tracker = make({url}, {json.dumps(options)})).start()")
        return page

    return follow


ELEMENT = """
window.events = [];
for (const name of ["status", "progress", "complete", "error", "connection"])
  document.addEventListener(`job-${name}`, ({ type, detail }) => events.push({ type, detail }));
document.documentElement.dataset.violations = "";
document.addEventListener("securitypolicyviolation", (event) => {
  document.documentElement.dataset.violations += event.violatedDirective + " ";
});
"""


@pytest.fixture
def show(page: Page, server: MoodyServer) -> Callable[..., Page]:
    """Show the server's job in a `<job-progress>` with these attributes."""
    server.pages["/page.js"] = ELEMENT
    server.pages["/page.css"] = "body { margin: 8px; background: light-dark(#f5f6fa, #11131a) }"

    def display(attributes: str = "", ready: bool = True) -> Page:
        server.pages["/"] = f"""<!doctype html><html lang="en"><title>A job</title>
          <meta name="viewport" content="width=device-width">
          <meta name="color-scheme" content="light dark">
          <link rel="stylesheet" href="/page.css">
          <script src="/page.js"></script>
          <script type="module" src="/sseprog.js"></script>
          <main>
            <h1>A job</h1>
            <job-progress src="/jobs/it/stream" {attributes}></job-progress>
          </main>"""
        page.goto(server.url)
        if ready:
            page.evaluate("customElements.whenDefined('job-progress').then(() => true)")
        return page

    return display


@pytest.fixture
def real() -> Iterator[RealServer]:
    server = RealServer(heartbeat=1)
    yield server
    server.close()


FOLLOWING = """
import { JobProgressTracker } from "/jobs/static/tracker.js";
Object.assign(window, { seen: {}, links: {}, trackers: {} });
window.follow = (id, options = {}) => {
  const log = (seen[id] ??= []), link = (links[id] ??= []);
  const record = (name) => (job) => log.push([name, job.progress, job.job_id]);
  trackers[id]?.stop();
  trackers[id] = new JobProgressTracker(`/jobs/${id}/stream`, {
    onStatus: record("status"),
    onProgress: record("progress"),
    onComplete: record("complete"),
    onError: record("error"),
    onConnection: (state, info) => link.push(info.reason ? `${state}: ${info.reason}` : state),
    ...options,
  });
  trackers[id].start();
};
window.ready = true;
"""


@pytest.fixture
def following(page: Page, real: RealServer) -> Page:
    """A page whose ``follow(id)`` follows jobs, and whose ``seen[id]`` is what it was told."""
    real.pages["/"] = "<title>following</title><script type=module src=/page.js></script>"
    real.pages["/page.js"] = FOLLOWING
    page.goto(real.url)
    page.wait_for_function("window.ready")
    return page


LISTING = """
window.list = document.querySelector("job-list");
window.give = (job_id, status, state, about) => list.show({
  job_id, status, stage: "", progress: 0, message: "", details: {}, eta: null, ...state,
}, about);
"""


@pytest.fixture
def listing(page: Page, real: RealServer) -> Callable[..., Page]:
    """Show a ``<job-list>``; the page's ``give(id, status, state)`` shows a job in it."""
    real.pages["/page.js"] = ELEMENT + LISTING

    def display(attributes: str = "", inside: str = "") -> Page:
        real.pages["/"] = f"""<!doctype html><html lang="en"><title>Jobs</title>
          <meta name="viewport" content="width=device-width">
          <meta name="color-scheme" content="light dark">
          <script type="module" src="/jobs/static/job-list.js"></script>
          <script type="module" src="/page.js"></script>
          <main><h1>The list</h1><job-list {attributes}>{inside}</job-list></main>"""
        page.goto(real.url)
        page.wait_for_function("!!window.give")
        return page

    return display
