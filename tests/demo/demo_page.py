"""The demo's page in a browser: what a person finds on it."""

import re
from pathlib import Path

from playwright.sync_api import FilePayload, Locator, Page, expect


class DemoPage:
    """One tab that shows the demo."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(url)
        self.cards = page.locator("#cards > .card")
        self.banner = page.locator("#link")
        self.problem = page.locator("#problem")
        self.count = page.locator("#count")

    def choose(self, *sizes: int) -> None:
        """Tick these sizes and no others."""
        for size in 1080, 720, 480, 360:
            self.page.get_by_role("checkbox", name=f"{size}p").set_checked(size in sizes)

    def pick(self, *files: Path | FilePayload) -> None:
        """Choose files as in the browser's dialogue."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_text("choose files").click()
        chooser.value.set_files(list(files))  # type: ignore[arg-type]

    def card(self, name: str) -> "Card":
        """Find the newest card of that name; a file that was sent just now may have two."""
        return Card(self.cards.filter(has_text=name).first)


class Card:
    """What is shown of one video."""

    def __init__(self, node: Locator) -> None:
        self.node = node
        self.live = node.locator("job-progress")
        self.steps = node.locator("job-progress li")
        self.now = node.locator("job-progress li[aria-current=step]")
        self.cancel = node.get_by_role("button", name=re.compile("^Cancel"))
        self.state = node.locator(".state")
        self.video = node.locator("video")
        self.why = node.locator(".why")
        self.advice = node.locator(".advice")

    def expect_status(self, status: str, seconds: float = 20) -> None:
        expect(self.node).to_have_attribute("data-status", status, timeout=1000 * seconds)

    @property
    def job_id(self) -> str:
        return self.node.get_attribute("data-job") or ""

    @property
    def percent(self) -> int:
        return int(self.live.locator("#percent").text_content() or 0)

    def expect_percent_above(self, least: int) -> None:
        """Wait until the bar is past this."""
        above = re.compile(f"^(?:{'|'.join(map(str, range(least + 1, 101)))})$")
        expect(self.live.locator("#track")).to_have_attribute(
            "aria-valuenow", above, timeout=20_000
        )
