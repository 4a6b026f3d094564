"""What docs/react.md shows works, in a real Chromium and on a real server."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from sseprog import JobFailed

from ..browser.real_server import RealServer
from .conftest import HERE, REACTS, Bundle, Open, recipes, run

Eventually = Callable[..., None]
OWN = "/jobs/a/stream?heartbeat=event"


def compiled(name: str, source: str, folder: Path) -> str:
    (folder / name).write_text(source)
    return run("node", HERE / "compile.mjs", folder / name, cwd=HERE)


@pytest.fixture(params=[*REACTS, "vue", "svelte"])
def component(
    request: pytest.FixtureRequest, bundle: Bundle, project: Callable[[str], Path]
) -> str:
    """A page whose ``draw(id)`` shows a job by a component of the document, ``draw()`` nothing."""
    kind = request.param
    if kind in REACTS:
        source = (
            recipes("jsx")["Import.jsx"]
            + """
        import { createRoot } from "react-dom/client";
        const root = createRoot(document.getElementById("root"));
        window.draw = (id) => root.render(id && <Import id={id} />);
        """
        )
        return bundle("page.jsx", source, kind)
    folder = project("react19")
    if kind == "vue":
        (folder / "useJob.js").write_text(recipes("js")["useJob.js"])
        code = compiled("Import.vue", recipes("vue")["Import.vue"], folder)
        (folder / "ImportVue.js").write_text(code)
        source = """
        import { createApp, h, shallowRef } from "vue";
        import Import from "./ImportVue.js";
        const id = shallowRef();
        createApp(() => id.value && h(Import, { id: id.value })).mount("#root");
        window.draw = (now) => { id.value = now; };
        """
        flags = "--define:__VUE_OPTIONS_API__=true", "--define:__VUE_PROD_DEVTOOLS__=false"
        hydration = "--define:__VUE_PROD_HYDRATION_MISMATCH_DETAILS__=false"
        return bundle("page.js", source, "react19", *flags, hydration)
    code = compiled("Import.svelte", recipes("svelte")["Import.svelte"], folder)
    (folder / "ImportSvelte.js").write_text(code)
    (folder / "PageSvelte.js").write_text(
        compiled(
            "PageSvelte.svelte",
            """
            <script>
              import Import from "./ImportSvelte.js";
              let id = $state();
              window.draw = (now) => { id = now; };
            </script>
            {#if id}<Import {id} />{/if}
            """,
            folder,
        )
    )
    source = """
    import { mount } from "svelte";
    import Page from "./PageSvelte.js";
    mount(Page, { target: document.getElementById("root") });
    """
    return bundle("page.js", source, "react19", "--conditions=svelte,browser")


def shows(page: Page, percent: int) -> None:
    page.wait_for_function(
        "(percent) => document.querySelector('progress')?.value === percent", arg=percent
    )


def test_a_component_follows_its_job(
    component: str, show: Open, real: RealServer, eventually: Eventually
) -> None:
    for job_id in "ab":
        real.begin(job_id)
    page = show(component)
    page.wait_for_function("!!window.draw")
    page.evaluate("draw('a')")
    page.wait_for_selector("progress:indeterminate")
    real.update("a", 10)
    shows(page, 10)
    real.update("b", 20)
    page.evaluate("draw('b')")
    shows(page, 20)
    eventually(lambda: real.streams == ["/jobs/b/stream?heartbeat=event"])
    real.fail("b", JobFailed("The disk is full."))
    page.get_by_role("alert").get_by_text("The disk is full.").wait_for()
    page.evaluate("draw('a')")
    shows(page, 10)
    page.evaluate("draw()")
    page.wait_for_selector("progress", state="detached")
    eventually(lambda: real.streams == [])


@pytest.mark.parametrize("react", REACTS)
def test_the_card_tells_when_the_job_is_done(
    react: str, bundle: Bundle, show: Open, real: RealServer
) -> None:
    real.begin("a")
    source = (
        recipes("jsx")["Card.jsx"]
        + """
    import { createRoot } from "react-dom/client";
    const done = ({ job_id }) => { document.title = `${job_id} is done`; };
    createRoot(document.getElementById("root")).render(<Card id="a" onDone={done} />);
    """
    )
    page = show(bundle("page.jsx", source, react))
    page.get_by_role("button", name="Cancel").wait_for()
    real.complete("a")
    page.wait_for_function("document.title === 'a is done'")
    page.get_by_text("Rows are imported").wait_for()


def test_the_settings_are_those_of_all_stores(
    bundle: Bundle, show: Open, real: RealServer, project: Callable[[str], Path]
) -> None:
    (project("react19") / "settings.js").write_text(recipes("js")["settings.js"])
    source = """
    import "./settings.js";
    import { jobStore, streamUrl } from "sseprog/store";
    document.cookie = "csrftoken=abc123";
    document.title = streamUrl("a");
    window.cancel = () => jobStore("a").cancel().catch(String);
    """
    page = show(bundle("page.js", source))
    page.wait_for_function("document.title === '/api/jobs/a/stream'")
    with page.expect_request("**/api/jobs/a/cancel") as asked:
        page.evaluate("cancel()")
    assert asked.value.headers["x-csrftoken"] == "abc123"


HTMX = HERE / "node_modules" / "htmx.org" / "dist" / "htmx.min.js"
SSE = HERE / "node_modules" / "htmx-ext-sse" / "sse.js"


def with_htmx(name: str, show: Open, real: RealServer) -> Page:
    real.pages["/htmx.js"] = HTMX.read_text()
    real.pages["/sse.js"] = SSE.read_text()
    html = recipes("html")[name].replace("JOB_ID", "a")
    head = '<script src="/htmx.js"></script><script src="/sse.js"></script>'
    return show("", html, head, forgive="Event]")


def test_htmx_with_the_element_brings_the_result(show: Open, real: RealServer) -> None:
    real.begin("a")
    real.pages["/results/a"] = "<b>512 rows</b>"
    page = with_htmx("element.html", show, real)
    real.update("a", 10)
    page.locator("[aria-valuenow='10']").wait_for()
    real.complete("a")
    page.get_by_text("512 rows").wait_for()
    assert page.locator("job-progress").count() == 0


def test_htmx_with_its_extension_draws_and_stops_at_the_end(show: Open, real: RealServer) -> None:
    real.begin("a")
    page = with_htmx("extension.html", show, real)
    real.update("a", 10, stage="importing")
    page.get_by_text("importing 10 %").wait_for()
    real.complete("a")
    page.get_by_text("importing 100 %").wait_for()
    page.wait_for_timeout(3500)  # longer than the server's retry
    assert real.asked == ["/jobs/a/stream"]


def test_htmx_with_its_extension_tells_a_failure_from_a_lost_connection(
    show: Open, real: RealServer
) -> None:
    real.begin("a")
    page = with_htmx("extension.html", show, real)
    real.update("a", 10, stage="importing")
    page.get_by_text("importing 10 %").wait_for()
    with page.expect_console_message(lambda message: "Event]" in message.text):
        real.hub.drain()
    real.hub._draining = False
    real.update("a", 20, stage="importing")
    page.get_by_text("importing 20 %").wait_for()
    asked = len(real.asked)
    real.fail("a", JobFailed("The disk is full."))
    page.get_by_text("The disk is full.").wait_for()
    page.wait_for_timeout(3500)
    assert len(real.asked) == asked


def test_plain_html_by_the_store(show: Open, real: RealServer) -> None:
    real.begin("a")
    page = show("", recipes("html")["plain.html"].replace("JOB_ID", "a"))
    page.get_by_text("running").wait_for()
    page.wait_for_selector("progress:indeterminate")
    real.update("a", 10, stage="importing")
    shows(page, 10)
    page.get_by_text("importing").wait_for()
    real.hub.drain()
    page.get_by_text("…").wait_for()
    real.hub._draining = False
    page.get_by_text("importing").wait_for()
    real.fail("a", JobFailed("The disk is full."))
    page.get_by_text("The disk is full.").wait_for()
