"""The admin's pages in a real browser, under a strict policy."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from ..conftest import QUIET
from .served import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium for this module only: while Playwright is at work, Django refuses queries here."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def server(serve: Callable[[str, str], Served]) -> Served:
    return serve("with_streams", "sqlite")


@pytest.fixture
def page(browser: "Browser", server: Served) -> "Page":
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.goto("/admin/sseprog/job/")
    page.fill("#id_username", "chief")
    page.fill("#id_password", "chief")
    page.click("input[type=submit]")
    page.wait_for_selector("#result_list")
    return page


def test_the_list_keeps_itself_up_to_date_and_leads_to_a_job_that_can_be_cancelled(
    page: "Page", server: Served, screenshot: Callable[["Page", str], None]
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    server.drive("create", "shown", owner=1)
    row = page.locator('tr[data-job="shown"]')
    row.wait_for()  # nobody has reloaded the page
    link = row.locator("a")
    link.focus()
    server.drive("report", "shown", progress=42)
    row.get_by_text("42 %").wait_for()
    assert link.evaluate("node => node === document.activeElement"), "it has kept the focus"
    screenshot(page, "admin-jobs")

    link.click()
    element = page.locator("job-progress")
    element.locator("#percent").get_by_text("42", exact=True).wait_for()
    server.drive("report", "shown", progress=43)
    element.locator("#percent").get_by_text("43", exact=True).wait_for()
    screenshot(page, "admin-job")
    with page.expect_response("**/live/shown/cancel") as cancelled:
        element.get_by_role("button", name="Cancel").click()
    assert cancelled.value.status == 202
    assert complaints == []


def test_a_page_of_the_site_shows_a_job_and_cancels_it(browser: "Browser", server: Served) -> None:
    server.drive("create", "public")
    page = browser.new_page(base_url=server.url)
    page.goto("/page/public")
    server.drive("report", "public", progress=7)
    element = page.locator("job-progress")
    element.locator("#percent").get_by_text("7", exact=True).wait_for()
    with page.expect_response("**/jobs/public/cancel") as cancelled:
        element.get_by_role("button", name="Cancel").click()
    assert cancelled.value.status == 202
    page.close()
