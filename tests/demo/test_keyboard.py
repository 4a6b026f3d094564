"""The demo by the keyboard alone: the focus can be seen, and is never lost."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..keyboard import presser
from .conftest import Serve
from .demo_page import DemoPage
from .demo_process import DemoProcess

# What has the focus, in whichever shadow root, and whether that is seen: a field that is drawn by
# its label shows it there.
FOCUS = """() => {
  let node = document.activeElement;
  while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
  const outlined = (each) => each && getComputedStyle(each).outlineStyle !== "none";
  const label = node.labels?.[0];
  const shown = [node, node.nextElementSibling, node.closest(".strip-tiles")];
  const name = node.ariaLabel || label?.textContent || node.textContent;
  // A player shows it at its own buttons.
  return [name.trim(), shown.some(outlined) || node.localName === "video"];
}"""

press = presser(FOCUS)


def press_until(page: Page, key: str, name: str) -> None:
    """Go on until something of that name has the focus, and no further than there are things."""
    met = []
    for _ in range(40):
        met.append(press(page, key))
        if name in met[-1]:
            return
    pytest.fail(f"{name} is not among {met}")


def choose(page: Page, *paths: Path) -> None:
    """Choose files, where the focus is on the field for files."""
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(paths)


def test_from_the_file_to_the_result(
    page: Page, demo: DemoProcess, clip: Path, long_clip: Path
) -> None:
    tab = DemoPage(page, demo.url)
    expect(page.locator("#empty")).to_be_visible()
    order = [press(page, "Tab") for _ in range(7)]
    assert order[0].startswith("Drop videos here")
    assert order[1:5] == ["1080p", "720p", "480p", "360p"]
    assert order[5:] == ["Make a 20 s test clip", "All jobs as JSON"]
    assert [press(page, "Shift+Tab") for _ in range(6)] == order[-2::-1]

    choose(page, long_clip)
    running = tab.card("long.mp4")
    running.expect_percent_above(0)
    press_until(page, "Tab", "Cancel")
    assert press(page, "Enter")
    running.expect_status("cancelled")
    expect(running.node).to_be_focused()
    assert press(page).startswith("long.mp4")

    press_until(page, "Shift+Tab", "720p")
    press(page, "Space")
    press_until(page, "Shift+Tab", "Drop videos here")
    choose(page, clip)
    done = tab.card("holiday.mp4")
    done.expect_status("completed")
    press_until(page, "Tab", "Seek in holiday.mp4")
    press(page, "ArrowRight")
    press_until(page, "Tab", "Download MP4")
    with page.expect_download():
        page.keyboard.press("Enter")
    press_until(page, "Tab", "Follow it from anywhere")
    press(page, "Enter")
    expect(done.node.locator("pre")).to_be_visible()


def test_a_button_that_works_keeps_the_focus(page: Page, demo: DemoProcess) -> None:
    tab = DemoPage(page, demo.url)
    tab.choose(360)
    press_until(page, "Tab", "Make a 20 s test clip")
    press(page, "Enter")
    tab.card("Test clip").expect_status("running")
    assert press(page) == "Make a 20 s test clip"
    press_until(page, "Tab", "Cancel")
    press(page, "Space")
    tab.card("Test clip").expect_status("cancelled")
    assert press(page).startswith("Test clip")


def test_a_card_that_goes_leaves_the_focus_to_the_next_or_to_the_files(
    page: Page, serve: Serve, clip: Path, long_clip: Path
) -> None:
    DemoPage(page, serve(max_upload=100_000).url)
    expect(page.locator("#limit")).to_have_text("100 kB")
    press_until(page, "Tab", "Drop videos here")
    choose(page, long_clip, clip)
    cards = page.locator(".card")
    expect(cards).to_have_count(2)
    press_until(page, "Tab", "Dismiss")
    assert press(page, "Enter").startswith("long.mp4")
    expect(cards).to_be_focused()
    press_until(page, "Tab", "Dismiss")
    assert press(page, "Enter").startswith("Drop videos here")
