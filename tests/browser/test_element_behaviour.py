"""What `<job-progress>` does: events, cancelling, announcements, and pages with strict rules."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from .moody_server import MoodyServer, reply

Show = Callable[..., Page]


def test_text_of_the_job_is_never_markup(show: Show, server: MoodyServer) -> None:
    evil = "<img src=x onerror='window.pwned = 1'>"
    server.publish("progress", stage=evil, message=evil, details={"stages": [{"name": evil}]})
    page = show("label=\"<img src=x onerror='window.pwned = 1'>\"")
    for part in "label", "stage", "message", "stages":
        expect(page.locator(f"job-progress #{part}")).to_have_text(evil)
    server.publish("error", status="failed", message=evil, details={"reference": evil})
    expect(page.locator("#reference")).to_have_text(f"Reference {evil}")
    assert page.locator("job-progress img").count() == 0
    assert page.evaluate("window.pwned") is None


def test_it_works_under_a_strict_content_security_policy(show: Show, server: MoodyServer) -> None:
    server.page_headers = {
        "Content-Security-Policy": "default-src 'self'; require-trusted-types-for 'script'"
    }
    server.publish("progress", stage="reading", progress=41, details={"stages": [{"name": "a"}]})
    page = show("cancellable", ready=False)
    # Not by page.evaluate, which needs the eval that this policy forbids.
    expect(page.locator("#percent")).to_have_text("41")
    expect(page.locator("job-progress")).to_have_css("border-radius", "16px")
    bar, track = (page.locator(part).bounding_box() for part in ("#bar", "#track"))
    assert bar is not None
    assert track is not None
    expect(page.locator("html")).to_have_attribute("data-violations", "")
    page.get_by_role("button").click()
    server.wait_for("cancel", 1)
    server.publish("error", status="cancelled")
    expect(page.locator("#stage")).to_have_text("Cancelled")
    expect(page.locator("html")).to_have_attribute("data-violations", "")


def test_its_events_bubble_with_the_document(show: Show, server: MoodyServer) -> None:
    page = show()
    page.wait_for_function("events.length >= 3")
    server.publish("progress", progress=41, message="one")
    server.publish("complete", status="completed", progress=100, message="two")
    page.wait_for_function("events.at(-1).detail.state === 'closed'")
    told = page.evaluate("events.map(({ type, detail }) => [type, detail.state ?? detail.status])")
    assert told == [
        ["job-connection", "connecting"],
        ["job-connection", "open"],
        ["job-status", "running"],
        ["job-progress", "running"],
        ["job-complete", "completed"],
        ["job-connection", "closed"],
    ]
    assert page.evaluate("events[3].detail.message") == "one"


def test_a_lost_connection_is_a_hint_and_no_failure(
    show: Show, server: MoodyServer, screenshot: Callable[[Page, str], None]
) -> None:
    server.publish("progress", stage="reading", progress=41, eta=171)
    page = show('label="rows.csv" cancellable')
    expect(page.locator("#percent")).to_have_text("41")
    server.refuse()
    expect(page.locator("#hint")).to_contain_text("reconnecting")
    expect(page.locator("job-progress")).to_have_attribute("state", "running")
    expect(page.locator("#stage")).to_have_text("reading")
    assert page.get_by_role("alert").count() == 0
    for scheme in "light", "dark":
        page.emulate_media(color_scheme=scheme)
        screenshot(page, f"reconnecting-{scheme}")
    server.listen()
    expect(page.locator("#hint")).to_have_text("")


def test_a_job_that_is_gone_is_said_to_be(show: Show, server: MoodyServer) -> None:
    server.moods["stream"] += [reply(404)]
    server.moods["snapshot"] += [reply(404)]
    page = show()
    expect(page.locator("#hint")).to_have_text("This job is not known.")
    assert page.get_by_role("alert").count() == 0


def test_cancelling_lasts_until_the_server_says_cancelled(
    show: Show, server: MoodyServer, screenshot: Callable[[Page, str], None]
) -> None:
    server.publish("progress", stage="reading", progress=41)
    page = show('cancellable csrf-token="t0ken"')
    page.get_by_role("button", name="Cancel").press("Enter")
    asked = server.wait_for("cancel", 1)[0]
    assert (asked.method, asked.headers["x-csrftoken"]) == ("POST", "t0ken")
    button = page.get_by_role("button", name="Cancelling…")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_be_focused()
    screenshot(page, "cancelling")
    button.press("Enter")
    server.publish("progress", stage="reading", progress=42)
    expect(page.locator("#percent")).to_have_text("42")
    expect(button).to_have_text("Cancelling…")
    server.publish("error", status="cancelled", progress=42)
    expect(page.locator("#stage")).to_have_text("Cancelled")
    expect(page.get_by_role("button")).to_have_count(0)
    assert len(server.seen("cancel")) == 1


def test_the_keyboard_alone_is_enough(show: Show, server: MoodyServer) -> None:
    server.publish("progress", stage="reading", progress=41)
    page = show("cancellable")
    page.evaluate(
        """() => {
          const link = Object.assign(document.createElement("a"), { href: "#", textContent: "it" });
          document.querySelector("job-progress").append(link);
        }"""
    )
    button = page.get_by_role("button")
    expect(button).to_have_text("Cancel")
    page.keyboard.press("Tab")
    expect(button).to_be_focused()
    outline = "(node) => getComputedStyle(node).outlineStyle"
    assert button.evaluate(outline) != "none"
    page.keyboard.press("Space")
    server.wait_for("cancel", 1)
    server.publish("progress", stage="reading", progress=42)
    expect(page.locator("#percent")).to_have_text("42")
    expect(button).to_be_focused()
    server.publish("error", status="cancelled", progress=42)
    expect(button).to_have_count(0)
    # What says how it ended has the focus then, and what comes after it is next.
    bar = page.get_by_role("progressbar")
    expect(bar).to_be_focused()
    assert bar.evaluate(outline) != "none"
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="it")).to_be_focused()


def test_a_cancel_that_fails_says_so_and_can_be_repeated(show: Show, server: MoodyServer) -> None:
    server.moods["cancel"] += [reply(500), reply(409)]
    page = show("cancellable")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#hint")).to_have_text("Not cancelled. Try again.")
    expect(page.get_by_role("button")).to_have_text("Cancel")
    page.get_by_role("button", name="Cancel").click()
    server.wait_for("cancel", 2)
    expect(page.locator("#hint")).to_have_text("")
    expect(page.get_by_role("button")).to_have_text("Cancelling…")
    assert "x-csrftoken" not in server.seen("cancel")[0].headers


def test_there_is_no_cancel_button_unless_asked_for(show: Show, server: MoodyServer) -> None:
    page = show()
    expect(page.locator("job-progress")).to_have_attribute("state", "running")
    expect(page.get_by_role("button")).to_have_count(0)


def test_announcements_are_few(show: Show, server: MoodyServer) -> None:
    server.publish("progress", stage="reading", progress=1)
    page = show()
    live = page.locator("#live")
    expect(live).to_have_text("reading, 1%")
    page.evaluate(
        """() => {
          window.said = [];
          const live = document.querySelector("job-progress").shadowRoot.querySelector("#live");
          const note = () => said.push(live.textContent);
          new MutationObserver(note).observe(live, { childList: true });
        }"""
    )
    for progress in range(2, 40):
        server.publish("progress", stage="reading", progress=progress)
    expect(page.locator("#percent")).to_have_text("39")
    assert page.evaluate("said") == []
    page.evaluate("() => { const now = Date.now(); Date.now = () => now + 31_000; }")
    server.publish("progress", stage="reading", progress=40)
    expect(live).to_have_text("reading, 40%")
    server.publish("progress", stage="writing", progress=41)
    expect(live).to_have_text("writing, 41%")
    server.publish("error", stage="writing", progress=41, status="failed", message="No room.")
    expect(page.get_by_role("alert")).to_have_text("No room.")
    assert page.evaluate("said") == ["reading, 40%", "writing, 41%", ""]


def test_another_source_is_another_job(show: Show, server: MoodyServer) -> None:
    server.publish("progress", stage="reading", progress=41)
    page = show()
    expect(page.locator("#percent")).to_have_text("41")
    job = page.locator("job-progress")
    job.evaluate("(element) => element.setAttribute('src', '/jobs/it/stream?other=1')")
    server.wait_for("stream", 2)
    expect(page.locator("#percent")).to_have_text("41")
    assert server.seen("stream")[1].query == {"other": "1", "heartbeat": "event"}
    server.wait_for_connections(1)


def test_moved_it_goes_on_and_removed_it_lets_go(show: Show, server: MoodyServer) -> None:
    server.publish("progress", stage="reading", progress=41)
    page = show()
    expect(page.locator("#percent")).to_have_text("41")
    job = page.locator("job-progress")
    job.evaluate("(element) => document.body.append(element)")
    assert server.wait_for("stream", 2)[1].cursor == "e-1-1"
    server.publish("progress", stage="reading", progress=42)
    expect(page.locator("#percent")).to_have_text("42")
    job.evaluate("(element) => element.remove()")
    server.publish("progress", stage="reading", progress=43)
    page.wait_for_timeout(600)  # longer than the retry, and than the tracker's own tick
    server.wait_for_connections(0)
    assert len(server.seen("stream")) == 2


def test_the_module_may_be_loaded_twice(show: Show, server: MoodyServer, page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    show()
    page.evaluate("import('/sseprog.js?again')")
    assert errors == []
