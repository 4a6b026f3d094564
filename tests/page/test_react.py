"""The hook and the component, in React's strict mode, in a real Chromium."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from sseprog import JobCancelled, JobFailed

from ..browser.real_server import RealServer
from .conftest import HERE, REACTS, Bundle, Open

Eventually = Callable[..., None]
OWN = "/jobs/a/stream?heartbeat=event"


@pytest.fixture(scope="session", params=REACTS)
def react(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def script(react: str, bundle: Bundle) -> str:
    return bundle("app.jsx", (HERE / "app.jsx").read_text(), react)


@pytest.fixture
def app(show: Open, script: str) -> Page:
    page = show(script)
    page.wait_for_function("window.ready")
    return page


def says(page: Page, name: str, text: str) -> None:
    page.wait_for_function(
        "([name, text]) => document.getElementById(name)?.innerText.includes(text)",
        arg=[name, text],
    )


def last(page: Page, name: str = "a") -> Any:
    return page.evaluate(f"seen['{name}'].at(-1)")


def test_a_hook_that_is_mounted_twice_opens_one_stream(
    app: Page, real: RealServer, eventually: Eventually
) -> None:
    real.begin("a")
    app.evaluate("draw(['a'])")
    says(app, "a", "running -")
    real.update("a", 12, message="rows")
    says(app, "a", "running 12 rows")
    assert real.asked == real.streams == [OWN]
    app.evaluate("unmount()")
    eventually(lambda: real.streams == [])
    assert real.asked == [OWN]


def test_many_hooks_of_many_jobs_are_on_one_stream(app: Page, real: RealServer) -> None:
    for job_id in "abcde":
        real.begin(job_id)
    app.evaluate("""draw(Array.from({ length: 20 }, (_, n) => {
      const job = "abcde"[n % 5];
      return { name: job + n, job };
    }))""")
    for n in range(20):
        says(app, f"{'abcde'[n % 5]}{n}", "running")
    for percent, job_id in enumerate("abcde"):
        real.update(job_id, percent)
    for n in range(20):
        says(app, f"{'abcde'[n % 5]}{n}", f"running {n % 5}")
    joint = "/jobs/stream?job=a&job=b&job=c&job=d&job=e&heartbeat=event"
    assert real.asked == real.streams == [joint]


def test_another_id_is_another_job_and_none_is_none(
    app: Page, real: RealServer, eventually: Eventually
) -> None:
    for job_id in "ab":
        real.begin(job_id)
        real.update(job_id, 10, message=f"of {job_id}")
    app.evaluate("draw([{ name: 'it', job: null }])")
    says(app, "it", "nothing")
    assert last(app, "it")["connection"] == {"state": "idle"}
    app.evaluate("draw([{ name: 'it', job: 'a' }])")
    says(app, "it", "of a")
    app.evaluate("seen.it = []; draw([{ name: 'it', job: 'b' }])")
    says(app, "it", "of b")
    assert "of a" not in app.evaluate("seen.it.map(({ message }) => message)")
    assert app.evaluate("seen.it[0].status") is None
    eventually(lambda: real.streams == ["/jobs/b/stream?heartbeat=event"])
    app.evaluate("draw([{ name: 'it', job: undefined }])")
    says(app, "it", "nothing")
    eventually(lambda: real.streams == [])


def test_hooks_that_come_and_go_in_one_turn_keep_the_stream(app: Page, real: RealServer) -> None:
    real.begin("a")
    app.evaluate("draw(['a'])")
    says(app, "a", "running")
    app.evaluate("draw([{ name: 'other', job: 'a' }])")
    says(app, "other", "running")
    assert app.evaluate("seen.other.at(-1).connection.state") == "open"
    real.update("a", 30)
    says(app, "other", "running 30")
    assert real.asked == [OWN]


def test_the_options_may_be_new_each_time(app: Page, real: RealServer) -> None:
    real.begin("a")
    for token in "xyz":
        app.evaluate(f"draw([{{ name: 'a', job: 'a', options: {{ csrf: () => '{token}' }} }}])")
        says(app, "a", "running")
    with app.expect_request("**/cancel") as asked:
        app.click("button")
    assert asked.value.headers["x-csrftoken"] == "z"
    assert real.asked_for("/stream") == [OWN]


def test_a_job_that_completes(app: Page, real: RealServer) -> None:
    real.begin("a")
    app.evaluate("draw(['a'])")
    real.update("a", 99, details={"rows": 512})
    says(app, "a", "99")
    real.complete("a")
    says(app, "a", "completed 100")
    state = last(app)
    assert state["isComplete"] is True
    assert state["error"] is None
    assert state["details"] == {"rows": 512}
    assert state["connection"] == {"state": "closed", "reason": "ended"}
    app.wait_for_timeout(1000)
    assert real.asked == [OWN]
    # One that comes later is told at once.
    app.evaluate("draw(['a', { name: 'late', job: 'a' }])")
    says(app, "late", "completed 100")
    assert real.asked == [OWN]


def test_a_job_that_fails(app: Page, real: RealServer) -> None:
    real.begin("a")
    app.evaluate("draw(['a'])")
    says(app, "a", "running")
    real.fail("a", JobFailed("The disk is full.", code="disk_full"))
    says(app, "a", "error disk_full")
    state = last(app)
    assert state["error"] == {"message": "The disk is full.", "code": "disk_full"}
    assert state["isComplete"] is False
    assert state["connection"] == {"state": "closed", "reason": "ended"}


def test_a_job_that_is_cancelled_with_a_token(app: Page, real: RealServer) -> None:
    real.begin("a")
    app.evaluate("draw([{ name: 'a', job: 'a', options: { csrf: 'a token' } }])")
    says(app, "a", "running")
    with app.expect_request("**/jobs/a/cancel") as asked:
        app.click("button")
    assert asked.value.method == "POST"
    assert asked.value.headers["x-csrftoken"] == "a token"
    response = asked.value.response()
    assert response is not None
    assert response.status == 202
    with pytest.raises(JobCancelled) as stopped:
        for percent in range(100):
            real.update("a", percent)
            app.wait_for_timeout(10)
    real.fail("a", stopped.value)
    says(app, "a", "cancelled")
    assert last(app)["error"]["code"] == "cancelled"
    assert app.evaluate("told") == []


def test_a_lost_connection_is_no_error_and_loses_nothing(app: Page, real: RealServer) -> None:
    real.begin("a")
    app.evaluate("draw(['a'])")
    real.update("a", 10, message="ten")
    says(app, "a", "running 10 ten")
    real.refuse = lambda path, query: 502
    real.hub.drain()
    app.wait_for_function("seen.a.at(-1).connection.state === 'reconnecting'")
    state = last(app)
    assert (state["status"], state["progress"], state["message"]) == ("running", 10, "ten")
    assert state["error"] is None
    assert state["connection"]["attempt"] >= 1
    real.hub._draining = False
    real.refuse = lambda path, query: None
    real.update("a", 20, message="twenty")
    says(app, "a", "running 20 twenty")
    app.wait_for_function("seen.a.at(-1).connection.state === 'open'")
    assert None not in app.evaluate("seen.a.map(({ status }) => status).slice(2)")


def test_a_job_that_nobody_knows(app: Page) -> None:
    app.evaluate("draw(['unknown'])")
    app.wait_for_function("seen.unknown?.at(-1).connection.state === 'closed'")
    state = last(app, "unknown")
    assert state["connection"]["reason"] == "gone"
    assert state["status"] is None
    assert state["error"] is None


def test_the_component_draws_and_tells(app: Page, real: RealServer) -> None:
    for job_id in "ab":
        real.begin(job_id)
    real.update("a", 10, stage="importing")
    app.evaluate("""show({
      job: "a", label: "rows.csv", className: "wide", id: "card", style: { margin: "1px" },
      cancellable: false, children: "below",
    })""")
    card = app.locator("job-progress#card.wide[state=running]")
    card.wait_for()
    assert card.get_attribute("src") == "/jobs/a/stream"
    assert card.inner_text() == "below"
    assert card.get_attribute("style") == "margin: 1px;"
    assert not card.evaluate("(node) => node.hasAttribute('cancellable')")
    assert card.evaluate("(node) => Object.keys(node)").count("onComplete") == 0
    assert app.get_by_role("progressbar").get_attribute("aria-valuenow") == "10"
    real.update("a", 20)
    app.wait_for_function("told.some(([name]) => name === 'progress')")
    real.complete("a")
    app.wait_for_function("told.some(([name]) => name === 'complete')")
    assert [line for line in app.evaluate("told") if line[0] != "connection"] == [
        ["status", "running", "a"],
        ["progress", "running", "a"],
        ["complete", "completed", "a"],
    ]
    app.evaluate("told.length = 0; show({ job: 'b' })")
    app.locator("job-progress[state=running]").wait_for()
    real.fail("b", JobFailed("No."))
    app.wait_for_function("told.at(-1)[1] === 'closed'")
    links = [state for name, state, _ in app.evaluate("told") if name == "connection"]
    assert links.count("closed") == 1  # by its end, and not as it begins
    assert [line for line in app.evaluate("told") if line[0] == "error"] == [
        ["error", "failed", "b"]
    ]
    app.evaluate("show({ job: null })")
    app.locator("job-progress").wait_for(state="detached")
    assert real.asked == [OWN, "/jobs/b/stream?heartbeat=event"]


def test_a_ref_is_to_the_element(app: Page, real: RealServer) -> None:
    real.begin("a")
    app.evaluate("""
      window.nodes = [];
      window.box = { current: null };
      show({ job: "a", element: (node) => void nodes.push(node?.localName ?? null) });
    """)
    app.locator("job-progress[state=running]").wait_for()
    app.evaluate("show({ job: 'a', element: box })")
    app.wait_for_function("box.current?.getAttribute('state') === 'running'")
    assert app.evaluate("nodes.at(-1)") is None
    assert app.evaluate("nodes.includes('job-progress')")
    real.update("a", 20)
    app.wait_for_function("told.some(([name]) => name === 'progress')")
    assert app.evaluate("told.filter(([name]) => name === 'progress').length") == 1
    app.evaluate("show({ job: null, element: box })")
    app.wait_for_function("box.current === null")


def test_the_component_cancels_with_a_token_and_shares_with_the_hook(
    app: Page, real: RealServer
) -> None:
    real.begin("a")
    app.evaluate("draw([{ name: 'a', job: 'a' }])")
    says(app, "a", "running")
    app.evaluate("""() => {
      const other = document.body.appendChild(document.createElement("div"));
      other.id = "root";
      document.querySelector("main").id = "first";
      window.token = "one";
    }""")
    app.evaluate("draw([{ name: 'a', job: 'a' }])")
    app.evaluate("show({ job: 'a', cancellable: true, csrf: () => window.token })")
    button = app.get_by_role("button", name="Cancel")
    button.wait_for()
    app.evaluate("window.token = 'two'")
    with app.expect_request("**/jobs/a/cancel") as asked:
        button.click()
    assert asked.value.headers["x-csrftoken"] == "two"
    assert real.asked_for("/stream") == [OWN]


SERVER = """
import { renderToString } from "react-dom/server";
import { createElement } from "react";
import { App } from "./isle.js";
import { jobStore } from "sseprog/store";

const asked = [];
globalThis.fetch = (url) => asked.push(url);
globalThis.EventSource = class { constructor(url) { asked.push(url) } };
globalThis.setTimeout = globalThis.setInterval = () => asked.push("a timer");
const html = renderToString(createElement(App));
let value;
jobStore("a").subscribe((now) => (value = now))();
await 0;
process.stdout.write(JSON.stringify({ html, asked, status: value.status }));
"""

ISLE = """
import { createElement as h, StrictMode } from "react";
import { JobProgress, useJobProgress } from "sseprog/react";

const Line = ({ job }) => {
  const { status, connection } = useJobProgress(job);
  return h("p", { id: job ?? "none" }, status ?? connection.state);
};
export const App = () =>
  h(StrictMode, null, h(Line, { job: "a" }), h(Line, { job: null }),
    h(JobProgress, { job: "a", label: "rows.csv", cancellable: true, className: "wide" }, "below"));
"""

HYDRATE = """
import { createElement } from "react";
import { hydrateRoot } from "react-dom/client";
import "sseprog"; // the element may be there before React is
import { jobStore } from "sseprog/store";
import { App } from "./isle.js";

// Others on the page may know more than the server did.
jobStore("a").subscribe(({ status }) => {
  if (status && !window.hydrated)
    window.hydrated = hydrateRoot(document.getElementById("root"), createElement(App));
});
"""


def test_a_server_renders_it_without_the_network_and_the_page_goes_on(
    react: str, bundle: Bundle, show: Open, real: RealServer, project: Callable[[str], Any]
) -> None:
    folder = project(react)
    (folder / "isle.js").write_text(ISLE)
    (folder / "server.mjs").write_text(SERVER)
    ran = subprocess.run(
        ["node", "server.mjs"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    rendered = json.loads(ran.stdout)
    assert rendered["asked"] == []
    assert rendered["status"] is None
    assert rendered["html"] == (
        '<p id="a">connecting</p><p id="none">idle</p>'
        '<job-progress label="rows.csv" src="/jobs/a/stream" cancellable="" class="wide">'
        "below</job-progress>"
    )
    real.begin("a")
    html = rendered["html"].replace('"/jobs/a/stream"', '"/elsewhere/a/stream"')
    page = show(bundle("hydrate.js", HYDRATE, react), f'<main id="root">{html}</main>')
    says(page, "a", "running")
    says(page, "none", "idle")
    real.update("a", 40)
    page.locator("job-progress[state=running]").wait_for()
    page.wait_for_function("document.querySelectorAll('p').length === 2")
    assert real.asked == [OWN]


def test_without_a_build_by_an_import_map(
    react: str, bundle: Bundle, show: Open, real: RealServer
) -> None:
    # React itself has no modules: these have what a CDN would serve.
    names = "createElement, forwardRef, useEffect, useInsertionEffect, useMemo, useRef, useState"
    real.pages["/react.js"] = bundle(
        "whole.js",
        f'export {{ {names}, useSyncExternalStore }} from "react";'
        'export { createRoot } from "react-dom/client";',
        react,
    )
    real.begin("a")
    page = show(
        """
        import { createElement as h, createRoot } from "react";
        import { JobProgress, useJobProgress } from "/jobs/static/react.js";
        const Line = () => h("p", { id: "a" }, useJobProgress("a").status);
        const root = createRoot(document.getElementById("root"));
        root.render(h("div", null, h(Line), h(JobProgress, { job: "a" })));
        """,
        head='<script type="importmap">{ "imports": { "react": "/react.js" } }</script>',
    )
    says(page, "a", "running")
    page.locator("job-progress[state=running]").wait_for()
    assert real.asked == [OWN]
