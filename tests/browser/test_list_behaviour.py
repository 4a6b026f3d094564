"""What `<job-list>` does: jobs in and out, order, filters, focus, cancelling, few writes."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from sseprog import JobCancelled

from .real_server import RealServer

Listing = Callable[..., Page]
Eventually = Callable[..., None]


def rows(page: Page) -> Locator:
    return page.locator("job-list .row")


def shown(page: Page) -> Any:
    return page.locator("job-list .label").all_inner_texts()


def test_jobs_come_from_the_attribute_and_go_with_it(
    listing: Listing, real: RealServer, eventually: Eventually
) -> None:
    for job_id in "abc":
        real.begin(job_id)
    page = listing('jobs="a b"')
    expect(rows(page)).to_have_count(2)
    expect(page.locator(".status")).to_have_text(["Running", "Running"])
    assert real.streams == ["/jobs/stream?job=a&job=b&heartbeat=event"]
    real.update("b", 41, stage="reading", message="row 812")
    row = rows(page).nth(1)
    expect(row.locator(".percent")).to_have_text("41%")
    expect(row.locator(".status")).to_have_text("Running · reading")
    expect(row.locator(".message")).to_have_text("row 812")
    page.evaluate("list.setAttribute('jobs', 'b c')")
    expect(page.locator(".label")).to_have_text(["b", "c"])
    eventually(lambda: real.streams == ["/jobs/stream?job=b&job=c&heartbeat=event"])


def test_jobs_are_added_and_removed(
    listing: Listing, real: RealServer, eventually: Eventually
) -> None:
    real.begin("a")
    real.update("a", 10)
    page = listing()
    expect(page.locator("job-list .none")).to_have_text("No jobs")
    page.evaluate("list.add('a', { label: 'rows.csv' })")
    expect(page.get_by_role("progressbar", name="rows.csv")).to_have_attribute(
        "aria-valuenow", "10"
    )
    page.evaluate("list.add('a', { label: 'columns.csv' })")
    expect(page.locator(".label")).to_have_text(["columns.csv"])
    assert page.evaluate("list.labelOf('a')") == "columns.csv"
    page.evaluate("list.remove('a')")
    expect(rows(page)).to_have_count(0)
    eventually(lambda: real.streams == [])
    assert real.asked == ["/jobs/a/stream?heartbeat=event"]


def test_a_job_that_is_removed_when_it_ends_does_not_come_back(
    listing: Listing, real: RealServer
) -> None:
    for job_id in "ab":
        real.begin(job_id)
    page = listing('jobs="a b"')
    expect(rows(page)).to_have_count(2)
    page.evaluate("""
      list.addEventListener('job-complete', ({ detail }) => list.remove(detail.job_id));
      list.addEventListener('job-connection', ({ detail }) => {
        if (detail.state === 'closed') window.left = detail.job_id;
      });
    """)
    real.complete("a")
    page.wait_for_function("window.left === 'a'")
    page.wait_for_timeout(500)
    assert shown(page) == ["b"]
    expect(page.locator("job-list .summary")).to_have_text("0 of 1 done")


def test_jobs_that_the_document_lists_are_followed(listing: Listing, real: RealServer) -> None:
    real.begin("a")
    real.update("a", 10)
    page = listing(inside='<ul><li><a data-job="a" href="/videos/7">holiday.mov</a></li></ul>')
    expect(page.get_by_role("link", name="holiday.mov")).to_have_attribute(
        "href", f"{real.url}/videos/7"
    )
    expect(page.locator(".percent")).to_have_text("10%")
    expect(page.locator("ul")).not_to_be_visible()


def test_removed_it_lets_go_and_put_back_it_goes_on(
    listing: Listing, real: RealServer, eventually: Eventually
) -> None:
    real.begin("a")
    page = listing('jobs="a"')
    expect(page.locator(".status")).to_have_text("Running")
    page.evaluate("list.remove()")
    eventually(lambda: real.streams == [])
    real.update("a", 20)
    page.evaluate("document.body.append(list)")
    expect(page.locator(".percent")).to_have_text("20%")


def test_a_job_that_is_not_known_or_not_allowed_says_so(listing: Listing, real: RealServer) -> None:
    real.begin("b")
    real.refuse = lambda path, query: 403 if path.startswith("/jobs/b") else None
    page = listing('jobs="a b" cancellable')
    expect(page.locator(".status")).to_have_text(["Not known", "Not allowed"])
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_the_events_of_its_jobs_bubble(listing: Listing, real: RealServer) -> None:
    real.begin("a")
    page = listing()
    page.evaluate("""() => {
      window.told = [];
      for (const name of ["status", "progress", "complete", "error", "connection"])
        document.addEventListener(`job-${name}`, ({ type, detail }) =>
          told.push([type, detail.job_id, detail.state ?? detail.status]));
      document.addEventListener("job-list-change", ({ detail }) => (window.change = detail));
      list.add("a");
    }""")
    expect(page.locator(".status")).to_have_text("Running")
    real.update("a", 50)
    expect(page.locator(".percent")).to_have_text("50%")
    page.wait_for_function("change.progress === 50")
    real.complete("a")
    page.wait_for_function("change.done === 1")
    assert page.evaluate("told") == [
        ["job-connection", "a", "connecting"],
        ["job-connection", "a", "open"],
        ["job-status", "a", "running"],
        ["job-progress", "a", "running"],
        ["job-complete", "a", "completed"],
        ["job-connection", "a", "closed"],
    ]
    assert page.evaluate("change") == {"total": 1, "done": 1, "failed": 0, "progress": 100}


def test_headers_sort_by_mouse_and_keyboard(listing: Listing) -> None:
    page = listing()
    page.evaluate("""() => {
      give("b10", "running", { progress: 10, eta: 60 });
      give("b9", "completed", { progress: 100 });
      give("a", "running", { progress: null, eta: 20 });
      give("c", "failed", { progress: 40 });
    }""")
    expect(page.locator(".label")).to_have_text(["b10", "b9", "a", "c"])

    def sorts(name: str, up: list[str], down: list[str]) -> None:
        header = page.get_by_role("columnheader", name=name)
        header.get_by_role("button").click()
        expect(header).to_have_attribute("aria-sort", "ascending")
        expect(page.locator(".label")).to_have_text(up)
        page.keyboard.press("Enter")
        expect(header).to_have_attribute("aria-sort", "descending")
        expect(page.locator(".label")).to_have_text(down)
        expect(page.locator("job-list [aria-sort]")).to_have_count(1)

    sorts("Job", ["a", "b9", "b10", "c"], ["c", "b10", "b9", "a"])
    sorts("Status", ["b10", "a", "b9", "c"], ["c", "b9", "b10", "a"])
    sorts("Progress", ["b10", "c", "b9", "a"], ["b9", "c", "b10", "a"])
    sorts("Time left", ["a", "b10", "b9", "c"], ["b10", "a", "b9", "c"])
    assert page.evaluate("list.getAttribute('sort')") == "-eta"
    expect(rows(page).nth(1)).to_have_attribute("aria-rowindex", "3")
    page.evaluate("give('c', 'running', { progress: 41, eta: 600 })")
    expect(page.locator(".label")).to_have_text(["c", "b10", "a", "b9"])


def test_filters_by_text_and_by_status(listing: Listing) -> None:
    page = listing()
    page.evaluate("""() => {
      give("a", "running", { stage: "Reading", progress: 10 });
      give("b", "failed", { message: "The disk is full." });
      give("c", "running", { progress: 50 });
    }""")
    box = page.get_by_role("searchbox", name="Filter")
    for text, found in [
        ("read", ["a"]),
        ("DISK", ["b"]),
        ("c", ["c"]),
        ("nothing", []),
        ("", "abc"),
    ]:
        box.fill(text)
        expect(page.locator(".label")).to_have_text(list(found))
    choice = page.get_by_role("combobox", name="Status")
    choice.select_option("Running (2)")
    expect(page.locator(".label")).to_have_text(["a", "c"])
    expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", "3")
    page.evaluate("give('a', 'completed', { progress: 100 })")
    expect(page.locator(".label")).to_have_text(["c"])
    choice.select_option("Lost (0)")
    expect(page.locator("job-list .none")).to_have_text("No job matches")


def test_the_whole_is_summed_up(listing: Listing) -> None:
    page = listing('label="Exports"')
    whole = page.get_by_role("progressbar", name="Exports")
    page.evaluate("""() => {
      give("a", "running", { progress: 30 });
      give("b", "completed", { progress: 100 });
      give("c", "lost", { progress: 5 });
      give("d", "pending", { progress: null });
    }""")
    expect(page.locator(".summary")).to_have_text("1 of 4 done, 1 failed")
    expect(whole).to_have_attribute("aria-valuenow", "57")
    expect(whole).to_have_attribute("aria-valuetext", "1 of 4 done, 1 failed")


def test_what_is_not_known_or_was_cancelled_is_not_done(listing: Listing, real: RealServer) -> None:
    real.begin("a")
    real.update("a", 40)
    page = listing('label="Exports" jobs="a x y"')
    whole = page.get_by_role("progressbar", name="Exports")
    expect(page.locator(".summary")).to_have_text("0 of 3 done, 2 not known")
    expect(whole).to_have_attribute("aria-valuenow", "40")
    page.get_by_role("combobox", name="Status").select_option("Not known (2)")
    expect(page.locator(".label")).to_have_text(["x", "y"])
    real.fail("a", JobCancelled())
    expect(page.locator(".summary")).to_have_text("0 of 3 done, 1 cancelled, 2 not known")
    page.evaluate("list.remove('a')")
    expect(page.locator(".summary")).to_have_text("0 of 2 done, 2 not known")
    expect(page.locator("job-list .overall")).to_be_hidden()
    assert page.locator(".track").first.get_attribute("aria-valuenow") is None


def test_the_summary_is_announced_and_seldom(listing: Listing) -> None:
    page = listing()
    live = page.get_by_role("status")
    page.evaluate("give('a', 'running', { progress: 1 })")
    expect(live).to_have_text("0 of 1 done")
    page.evaluate("give('b', 'completed', { progress: 100 })")
    expect(page.locator(".summary")).to_have_text("1 of 2 done")
    page.wait_for_timeout(1500)  # longer than from one look to the next
    expect(live).to_have_text("0 of 1 done")
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 30_000; }")
    expect(live).to_have_text("1 of 2 done")
    assert page.locator("job-list").get_by_role("status").count() == 1


@pytest.mark.parametrize("ancient", [False, True], ids=["moveBefore", "insertBefore"])
def test_the_focus_stays_in_a_row_that_moves(listing: Listing, page: Page, ancient: bool) -> None:
    if ancient:
        page.add_init_script("delete Element.prototype.moveBefore")
    listing('cancellable sort="progress"')
    page.evaluate("""() => {
      for (let i = 0; i < 1000; i++) give(`j${i}`, "running", { progress: i / 11 });
    }""")
    button = page.get_by_role("button", name="Cancel j2", exact=True)
    button.focus()
    page.evaluate("give('j2', 'running', { progress: 95 })")
    row = page.locator(".row", has=page.get_by_text("j2", exact=True))
    expect(row).to_have_attribute("aria-rowindex", "1001")
    expect(button).to_be_focused()
    expect(page.locator(".row").last.locator(".label")).to_have_text("j2")
    page.evaluate("give('j2', 'running', { progress: 0.1 })")
    page.evaluate("give('j2', 'completed', { progress: 100 })")
    expect(row).to_be_focused()
    expect(row).to_have_css("outline-style", "solid")
    page.get_by_role("combobox", name="Status").evaluate(
        """(only) => { only.value = "running"; only.onchange(); }"""
    )
    expect(page.get_by_role("region")).to_be_focused()


def test_no_row_slips_away_under_the_pointer_that_would_cancel_it(listing: Listing) -> None:
    page = listing('cancellable sort="progress"')
    page.evaluate("give('a', 'running', { progress: 1 }); give('b', 'running', { progress: 2 })")
    page.get_by_role("button", name="Cancel a").hover()
    page.evaluate("give('a', 'running', { progress: 50 })")
    expect(rows(page).first.locator(".percent")).to_have_text("50%")
    page.wait_for_timeout(600)  # twice the time between two sortings
    assert shown(page) == ["a", "b"]
    page.mouse.move(0, 0)
    expect(page.locator(".label")).to_have_text(["b", "a"])


def test_cancelling_lasts_until_the_server_says_cancelled(
    listing: Listing, real: RealServer
) -> None:
    real.begin("a")
    page = listing('jobs="a" cancellable csrf-token="t0ken"')
    button = page.get_by_role("button", name="Cancel a")
    expect(page.locator(".status")).to_have_text("Running")
    real.refuse = lambda path, query: 500 if path.endswith("/cancel") else None
    button.press("Enter")
    expect(page.locator(".status")).to_have_text("Not cancelled. Try again.")
    real.refuse = lambda path, query: None
    with page.expect_request("**/cancel") as asked:
        button.press("Enter")
    assert (asked.value.method, asked.value.headers["x-csrftoken"]) == ("POST", "t0ken")
    expect(page.locator(".status")).to_have_text("Cancelling…")
    expect(button).to_have_attribute("aria-disabled", "true")
    real.complete("a")
    expect(button).to_have_count(0)


def test_a_job_that_is_shown_is_cancelled_below_the_base(
    listing: Listing, real: RealServer, eventually: Eventually
) -> None:
    real.begin("a")
    page = listing('cancellable base="/jobs"')
    page.evaluate("give('a', 'running', { progress: 1 })")
    page.get_by_role("button", name="Cancel a").click()
    expect(page.locator(".status")).to_have_text("Cancelling…")
    eventually(lambda: real.asked == ["/jobs/a/cancel"])


def test_text_of_jobs_is_never_markup(listing: Listing) -> None:
    evil = "<img src=x onerror='window.pwned = 1'>"
    page = listing()
    page.evaluate("(evil) => give(evil, 'running', { stage: evil, message: evil })", evil)
    expect(page.locator(".label")).to_have_text(evil)
    expect(page.locator(".message")).to_have_text(evil)
    assert page.locator("job-list img").count() == 0
    assert page.evaluate("window.pwned") is None


def test_a_thousand_jobs_have_few_nodes_and_few_writes(listing: Listing) -> None:
    page = listing("cancellable")
    page.evaluate("""() => {
      for (let i = 0; i < 1000; i++) give(`j${i}`, "running", { progress: 1, message: "m" });
    }""")
    expect(page.locator(".label").first).to_have_text("j0")
    expect(page.get_by_role("status")).to_have_text("0 of 1000 done")  # once, after a second
    drawn = rows(page).count()
    assert drawn <= 20
    counted = page.evaluate("""async () => {
      const settled = () => new Promise((done) => setTimeout(done, 700));
      let asked = 0;
      const real = window.requestAnimationFrame;
      window.requestAnimationFrame = (callback) => { asked++; return real(callback); };
      const writes = [];
      new MutationObserver((list) => writes.push(...list)).observe(list.shadowRoot,
        { subtree: true, childList: true, attributes: true, characterData: true });
      const all = () => {
        for (let i = 0; i < 1000; i++) give(`j${i}`, "running", { progress: 2, message: "n" });
      };
      for (let round = 0; round < 10; round++) all();
      await new Promise(real); await new Promise(real);
      const first = [asked, writes.length];
      await settled(); // the summary, too
      asked = writes.length = 0;
      for (let round = 0; round < 10; round++) all();
      await settled();
      return [...first, asked, writes.length];
    }""")
    requests, writes, later, repeated = counted
    assert 1 <= requests <= 3  # of 10,000 updates
    # A bar, two values of its, a percentage and a message a row; and the summary.
    assert 2 * drawn <= writes <= 5 * drawn + 10
    assert repeated == 0  # nothing had changed
    assert later <= 60  # one a frame, and none when all is drawn


def test_scrolled_to_its_end_it_draws_the_last_rows(listing: Listing) -> None:
    page = listing()
    page.evaluate("() => { for (let i = 0; i < 1000; i++) give(`j${i}`, 'running', {}); }")
    expect(page.locator(".label").first).to_have_text("j0")
    region = page.get_by_role("region")
    region.focus()
    page.keyboard.press("End")
    expect(page.locator(".label").last).to_have_text("j999")
    expect(rows(page).last).to_be_in_viewport()
    expect(rows(page).last).to_have_attribute("aria-rowindex", "1001")
    expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", "1001")
    assert rows(page).count() <= 20


def test_a_page_that_is_not_seen_paints_nothing(listing: Listing, page: Page) -> None:
    # A headless page is always seen: what a hidden one lacks is frames.
    page.add_init_script("""
      const real = window.requestAnimationFrame, kept = [];
      window.requestAnimationFrame = (callback) => kept.push(callback);
      window.seen = () => {
        window.requestAnimationFrame = real;
        kept.forEach((each) => real(each));
      };
    """)
    listing()
    page.evaluate("give('a', 'running', { progress: 7 })")
    page.wait_for_timeout(1500)
    expect(rows(page)).to_have_count(0)
    page.evaluate("seen()")
    expect(page.locator(".percent")).to_have_text("7%")


def test_the_time_left_counts_down(listing: Listing) -> None:
    page = listing()
    page.evaluate("give('a', 'running', { eta: 171 })")
    expect(page.locator(".row .eta")).to_have_text("3 min left")
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 60_000; }")
    expect(page.locator(".row .eta")).to_have_text("2 min left")
