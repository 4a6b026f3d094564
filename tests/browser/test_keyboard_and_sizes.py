"""Elements, lists and toasts by the keyboard alone, with spaced text, and under a finger."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ..keyboard import presser
from .moody_server import MoodyServer
from .real_server import RealServer
from .test_list_states import FILL

Listing = Callable[..., Page]

# What has the focus when all is painted, in whichever shadow root, and whether that is seen.
FOCUS = """async () => {
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  let node = document.activeElement;
  while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(node);
  const seen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 1;
  return [node.ariaLabel || node.textContent.trim(), seen];
}"""

press = presser(FOCUS)


def test_a_list_and_its_toasts_by_the_keyboard_alone(
    listing: Listing, page: Page, real: RealServer
) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    for number, job_id in enumerate("abc"):
        real.begin(job_id)
        real.update(job_id, 10 * (number + 1))
    listing('label="Exports" jobs="a b c" cancellable')
    page.evaluate(
        "import('/jobs/static/notices.js').then(({ announce }) => void announce({ toast: true }))"
    )
    real.update("b", 25)
    expect(page.locator(".percent")).to_have_text(["10%", "25%", "30%"])
    order = ["Filter", "Status", "Exports", "Job", "Status", "Progress", "Time left"]
    buttons = ["Cancel a", "Cancel b", "Cancel c"]
    assert [press(page, "Tab") for _ in range(10)] == order + buttons
    assert [press(page, "Shift+Tab") for _ in range(9)] == [*order, *buttons][-2::-1]

    page.keyboard.type("b")
    expect(page.locator(".label")).to_have_text(["b"])
    press(page, "Backspace", "Tab", "ArrowDown")
    expect(page.locator(".label")).to_have_text(["a", "b", "c"])
    press(page, "ArrowDown")
    expect(page.locator("job-list .none")).to_be_visible()
    press(page, "Home")
    assert press(page, *["Tab"] * 4) == "Progress"
    press(page, "Enter", "Space")
    expect(page.locator(".label")).to_have_text(["c", "b", "a"])

    assert press(page, *["Tab"] * 3) == "Cancel b"
    press(page, "Enter")
    expect(page.locator(".status").nth(1)).to_have_text("Cancelling…")
    real.complete("b")
    row = page.locator(".row.completed")
    expect(row).to_be_focused()
    assert press(page, "Tab") in {"Cancel a", "Cancel c"}  # it has moved up, as the first of all
    while press(page, "Tab") != "Dismiss":
        pass
    page.keyboard.press("Enter")
    expect(page.get_by_text("b is done")).to_have_count(0)
    assert page.evaluate(FOCUS)[0].startswith("Cancel ")


def test_the_heads_of_the_columns_hide_no_focus(listing: Listing, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 500})
    listing('cancellable style="--sseprog-list-height: 20rem"')
    page.evaluate(FILL, [70, False])
    expect(page.locator(".label").first).to_have_text("holiday 0.mov")
    page.get_by_role("region").focus()
    for _ in range(12):
        press(page, "Tab")
    heads = page.locator(".columns").bounding_box()
    assert heads is not None
    for _ in range(6):
        assert press(page, "Shift+Tab").startswith("Cancel holiday")
        focused = page.locator(".cancel:focus").bounding_box()
        assert focused is not None
        assert focused["y"] >= heads["y"] + heads["height"]


# WCAG 1.4.12
SPACED = """* {
  line-height: 1.5 !important;
  letter-spacing: .12em !important;
  word-spacing: .16em !important;
}"""

# What is wide or cut off, what lies over another, and what is smaller than a finger needs.
FAULTS = """(spacing) => {
  const roots = [...document.querySelectorAll("*")].map((node) => node.shadowRoot).filter(Boolean);
  for (const root of [document, ...roots]) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(spacing);
    root.adoptedStyleSheets.push(sheet);
  }
  const found = [];
  const wide = document.scrollingElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) found.push(`the page is ${wide} px too wide`);
  for (const root of roots) {
    for (const node of root.querySelectorAll("button, input, select, div > a:not(.label)")) {
      const { width, height } = node.getBoundingClientRect();
      if (width && (width < 24 || height < 24))
        found.push(`${node.localName} ${node.className}: ${width} x ${height}`);
    }
    const parts = "#label, #stage, #percent, #message, #eta, #cancel, #reference, #hint, li";
    const groups = [[...root.querySelectorAll(parts)]];
    for (const each of root.querySelectorAll(".head, .about, .columns, .row, :host > div"))
      groups.push([...each.children]);
    for (const group of groups) {
      const boxes = group
        .map((node) => [node, node.getBoundingClientRect()])
        .filter(([{ className }, { width, height }]) => width && height && className !== "live");
      boxes.forEach(([node, a], index) => {
        const outer = node.closest(".row")?.getBoundingClientRect();
        if (outer && (a.top < outer.top - 1 || a.bottom > outer.bottom + 1))
          found.push(`${node.className} is taller than its row`);
        for (const [other, b] of boxes.slice(index + 1))
          if (
            Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
            Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1
          )
            found.push(`${node.id || node.className} lies over ${other.id || other.className}`);
      });
    }
  }
  return found;
}"""

ALL = """
import { announce, tell } from "/notices.js";
import "/sseprog.js";
import "/job-list.js";
announce({ toast: true, link: () => "/result" });
window.list = document.querySelector("job-list");
window.give = (job_id, status, state, about) => list.show({
  job_id, status, stage: "", progress: 0, message: "", details: {}, eta: null, ...state,
}, about);
for (const status of ["running", "completed"])
  tell({ job_id: "a", status, progress: 1, details: {} }, "A film of the summer, part 3 of 17.mov");
window.ready = true;
"""


@pytest.fixture
def everything(page: Page, server: MoodyServer) -> Page:
    """A page with an element, a list and a toast."""
    server.pages["/page.js"] = ALL
    server.pages["/"] = """<!doctype html><html lang="en"><title>All</title>
      <meta name="viewport" content="width=device-width">
      <main><h1>All</h1>
        <job-progress src="/jobs/it/stream" label="A film of the summer, part 3 of 17.mov"
          cancellable></job-progress>
        <job-list label="Transcodings" cancellable></job-list></main>
      <script type="module" src="/page.js"></script>"""
    stages: list[dict[str, Any]] = [{"name": "probing"}, {"name": "transcoding 720p"}]
    details = {"stages": stages, "reference": "7f3a9c21"}
    server.publish(
        "progress",
        stage="transcoding 720p",
        progress=41,
        message="frame 812 of 1966",
        eta=171,
        details=details,
    )
    page.goto(server.url)
    page.wait_for_function("window.ready")
    page.evaluate(FILL, [7, False])
    expect(page.locator(".row")).to_have_count(7)
    expect(page.locator("#message")).to_have_text("frame 812 of 1966")
    return page


@pytest.mark.parametrize("width", [320, 390, 640, 1280])
@pytest.mark.parametrize("spacing", ["", SPACED], ids=["as it is", "spaced"])
def test_nothing_is_cut_off_or_too_small_for_a_finger(
    everything: Page, screenshot: Callable[[Page, str], None], width: int, spacing: str
) -> None:
    everything.set_viewport_size({"width": width, "height": 800})
    screenshot(everything, f"all-{width}-{'spaced' if spacing else 'plain'}")
    assert everything.evaluate(FAULTS, spacing) == []


@pytest.mark.parametrize("element", ["job-progress", "job-list"])
def test_what_only_screen_readers_see_makes_no_page_longer(everything: Page, element: str) -> None:
    everything.evaluate(
        f"document.querySelector('{element}').parentNode.style = 'overflow: auto; height: 99px'"
    )
    longer = "document.scrollingElement.scrollHeight > document.documentElement.clientHeight"
    assert everything.evaluate(longer) is False
