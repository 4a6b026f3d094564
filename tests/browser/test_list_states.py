"""How `<job-list>` looks, and what it is to a screen reader, at any size and in any colours."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from .conftest import ELEMENT
from .moody_server import MoodyServer
from .test_element_states import CONTRASTS

Listing = Callable[..., Page]
Screenshot = Callable[[Page, str], None]

FILL = """([count, long]) => {
  const kinds = ["running", "pending", "stalled", "completed", "failed", "cancelled", "lost"];
  for (let i = 0; i < count; i++) {
    const status = kinds[i % 7];
    give(`job-${i}`, status, {
      stage: status === "pending" ? "" : "transcoding 720p",
      progress: status === "completed" ? 100 : i % 7 === 1 || i % 14 === 7 ? null : (i * 37) % 100,
      message: long ? "m".repeat(300) : `frame ${31 * i} of 1966`,
      eta: 20 + ((i * 97) % 7000),
    }, { label: long ? "w".repeat(300) : `holiday ${i}.mov` });
  }
}"""


@pytest.mark.parametrize("count", [0, 1, 12, 1000])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_can_be_read(
    listing: Listing,
    page: Page,
    screenshot: Screenshot,
    axe: Callable[[Page], None],
    count: int,
    width: int,
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(reduced_motion="reduce")
    listing('label="Transcodings" cancellable')
    page.evaluate(FILL, [count, False])
    expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", str(count + 1))
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    for scheme in "light", "dark":
        page.emulate_media(color_scheme=scheme)
        contrasts = page.locator("job-list").evaluate(CONTRASTS)
        assert ("title", "summary")[: 1 + bool(count)] == tuple(
            name for name, _ in contrasts if name in {"title", "summary"}
        )
        assert [(name, ratio) for name, ratio in contrasts if ratio < 4.5] == []
        screenshot(page, f"list-{count}-{scheme}-{width}")
        axe(page)
    page.emulate_media(color_scheme="light", forced_colors="active")
    screenshot(page, f"list-{count}-forced-{width}")
    axe(page)


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_sticks_out(
    listing: Listing, page: Page, screenshot: Screenshot, width: int, direction: str
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    listing('label="Transcodings" cancellable')
    page.evaluate(f"document.dir = '{direction}'")
    page.evaluate(FILL, [12, True])
    expect(page.locator(".row").first).to_be_visible()
    screenshot(page, f"list-long-{direction}-{width}")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    cells = page.locator(".row").first.evaluate(
        """(row) => {
          const { left, right, top, bottom } = row.getBoundingClientRect();
          return [...row.querySelectorAll("*")]
            .filter((node) => !/bar|message|status/.test(node.className))
            .filter((node) => {
              const box = node.getBoundingClientRect();
              return box.left < left || box.right > right || box.top < top || box.bottom > bottom;
            })
            .map((node) => node.className);
        }"""
    )
    assert cells == []


def test_twice_as_large_it_is_still_whole(
    listing: Listing, page: Page, screenshot: Screenshot
) -> None:
    page.set_viewport_size({"width": 640, "height": 500})  # 1280 at 200 %
    listing('label="Transcodings" cancellable')
    page.evaluate(FILL, [12, False])
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    expect(page.locator(".row").first).to_be_visible()
    screenshot(page, "list-12-text-200")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 640


def test_it_is_a_table_to_who_hears_it(listing: Listing, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 1000})
    listing('label="Transcodings" cancellable')
    page.evaluate(FILL, [7, False])
    table = page.get_by_role("table", name="Transcodings")
    expect(table.get_by_role("row")).to_have_count(8)
    expect(table.get_by_role("columnheader")).to_have_count(5)
    expect(table.get_by_role("row").first).to_have_attribute("aria-rowindex", "1")
    row = table.get_by_role("row").nth(1)
    expect(row).to_have_attribute("aria-rowindex", "2")
    expect(row.get_by_role("cell")).to_have_count(5)
    bar = row.get_by_role("progressbar", name="holiday 0.mov")
    expect(bar).to_have_attribute("aria-valuenow", "0")
    expect(bar).to_have_attribute("aria-valuetext", "Running · transcoding 720p, 20 s left")
    unknown = table.get_by_role("progressbar", name="holiday 1.mov")
    assert unknown.get_attribute("aria-valuenow") is None
    expect(row.get_by_role("button", name="Cancel holiday 0.mov")).to_be_visible()


@pytest.mark.parametrize(
    ("status", "progress", "text", "percent", "button"),
    [
        ("pending", None, "Waiting · copying", "", 1),
        ("running", 41.9, "Running · copying", "41%", 1),
        ("running", 100, "Running · copying", "99%", 1),
        ("running", 0, "Running · copying", "0%", 1),
        ("stalled", 41.9, "No sign of life · copying", "41%", 1),
        ("completed", 100, "Done", "100%", 0),
        ("failed", 41.9, "Failed · copying", "41%", 0),
        ("cancelled", 41.9, "Cancelled · copying", "41%", 0),
        ("lost", 41.9, "Lost · copying", "41%", 0),
    ],
)
def test_a_state_is_shown(
    listing: Listing, status: str, progress: float | None, text: str, percent: str, button: int
) -> None:
    page = listing("cancellable")
    page.evaluate(
        "([status, progress]) => give('a', status, { stage: 'copying', progress })",
        [status, progress],
    )
    expect(page.locator(".status")).to_have_text(text)
    expect(page.locator(".percent")).to_have_text(percent)
    expect(page.locator(".row")).to_have_attribute("part", f"row {status}")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(button)


def test_people_who_want_no_motion_get_none(listing: Listing, page: Page) -> None:
    listing()
    page.evaluate("give('a', 'running', { progress: null })")
    bar = page.locator(".row .bar")
    moving = (
        "(bar) => [getComputedStyle(bar).animationName, getComputedStyle(bar).transitionDuration]"
    )
    expect(bar).to_be_attached()
    assert bar.evaluate(moving) == ["seek", "0.3s"]
    page.emulate_media(reduced_motion="reduce")
    assert bar.evaluate(moving) == ["none", "0s"]


def test_it_works_under_a_strict_content_security_policy(page: Page, server: MoodyServer) -> None:
    server.page_headers = {
        "Content-Security-Policy": "default-src 'self'; require-trusted-types-for 'script'"
    }
    server.pages["/page.js"] = ELEMENT
    server.pages["/"] = """<!doctype html><html lang="en"><title>Jobs</title>
      <script src="/page.js"></script><script type="module" src="/job-list.js"></script>
      <job-list jobs="it" cancellable></job-list>"""
    server.publish("progress", stage="reading", progress=41)
    page.goto(server.url)
    # Not by page.evaluate, which needs the eval that this policy forbids.
    expect(page.locator(".percent")).to_have_text("41%")
    expect(page.locator("job-list")).to_have_css("border-radius", "16px")
    bar, track = (page.locator(f".row {part}").bounding_box() for part in (".bar", ".track"))
    assert bar is not None
    assert track is not None
    assert bar["x"] < track["x"]
    expect(page.locator("html")).to_have_attribute("data-violations", "")
