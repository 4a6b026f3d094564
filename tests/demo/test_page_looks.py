"""How the page looks: pictures for people, and what a program can tell of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from .conftest import Screenshot
from .demo_page import DemoPage
from .demo_process import DemoProcess

WIDTHS = (1280, 640, 390, 320)  # a window, the same at 200 %, and telephones

# What is wider than the window, and what a card cuts off; the blurred picture behind is meant to.
STICKS_OUT = """
() => {
  const wide = document.scrollingElement.scrollWidth - document.documentElement.clientWidth;
  const found = wide > 0 ? [`the page, by ${wide} px`] : [];
  for (const box of document.querySelectorAll(".card, .drop, .top, .intro, .list-head, footer")) {
    const { left, right } = box.getBoundingClientRect();
    const inside = [...box.querySelectorAll("*:not(.backdrop, .visually-hidden)")];
    inside.push(...[...box.querySelectorAll("job-progress")].flatMap(
      (live) => [...live.shadowRoot.querySelectorAll("*:not(#bar, #live)")]));
    for (const node of inside) {
      const own = node.getBoundingClientRect();
      if (own.width && (own.left < left - 1 || own.right > right + 1))
        found.push(`${box.className}: <${node.localName} class="${node.className}" id=${node.id}>`);
    }
  }
  return found;
}
"""

CONTRASTS = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (parts) => {
    const [r, g, b] = parts.slice(0, 3)
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement ?? node.getRootNode().host) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const hasText = (node) => [...node.childNodes].some((child) => child.data?.trim());
  const live = [...document.querySelectorAll("job-progress")].map((one) => one.shadowRoot);
  return [document, ...live].flatMap((root) => [...root.querySelectorAll("body *, div, button")])
    .filter((node) => node.checkVisibility())
    .filter((node) => !node.closest(".visually-hidden, [aria-disabled=true]"))
    .filter(hasText)
    .map((node) => {
      const own = luminance(rgba(getComputedStyle(node).color));
      const other = luminance(behind(node));
      const ratio = (Math.max(own, other) + 0.05) / (Math.min(own, other) + 0.05);
      return [`${node.localName}.${node.className || node.id}: ${node.textContent.trim()}`, ratio];
    })
    .filter(([, ratio]) => ratio < 4.5);
}
"""


class SticksOut(AssertionError):
    """Something is wider than its card or than the window."""


@pytest.fixture
def look(page: Page, screenshot: Screenshot, axe: Callable[[Page], None]) -> Callable[[str], None]:
    """Keep pictures at each width in light and dark, and check what a program can tell of them."""

    def at_all(name: str) -> None:
        faint = {}
        outside = {}
        for scheme in "light", "dark":
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            faint[scheme] = page.evaluate(CONTRASTS)
            axe(page)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 844 if width < 600 else 900})
                outside[width] = page.evaluate(STICKS_OUT)
                if width in {1280, 390}:
                    screenshot(page, f"demo-{name}-{scheme}-{width}")
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light", reduced_motion="reduce", forced_colors="active")
        screenshot(page, f"demo-{name}-forced")
        axe(page)
        assert faint == {"light": [], "dark": []}
        if any(outside.values()):
            raise SticksOut(outside)

    return at_all


def test_an_empty_page_invites(page: Page, demo: DemoProcess, look: Callable[[str], None]) -> None:
    DemoPage(page, demo.url)
    expect(page.locator("#empty")).to_be_visible()

    look("empty")


def test_a_running_job_and_one_that_waits(
    page: Page, demo: DemoProcess, long_clips: list[Path], look: Callable[[str], None]
) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(*long_clips[:2])
    tab.card("0.mp4").expect_percent_above(4)
    tab.card("1.mp4").expect_status("pending")

    look("running")


def test_a_finished_video(
    page: Page, demo: DemoProcess, make_clip: Callable[..., Path], look: Callable[[str], None]
) -> None:
    picture = ("-f", "lavfi", "-i", "mandelbrot=size=1280x720:rate=25:end_pts=150", "-t", 6)
    film = make_clip("mandelbrot.mp4", *picture, "-c:v", "libx264", "-preset", "ultrafast")
    tab = DemoPage(page, demo.url)
    tab.pick(film)
    card = tab.card("mandelbrot.mp4")
    card.expect_status("completed", seconds=40)
    expect(card.node.locator(".strip-tiles span")).to_have_count(9)
    page.wait_for_load_state("networkidle")

    look("finished")


def test_an_upright_video(
    page: Page, demo: DemoProcess, make_clip: Callable[..., Path], look: Callable[[str], None]
) -> None:
    picture = ("-f", "lavfi", "-i", "mandelbrot=size=360x640:rate=25", "-t", 4)
    film = make_clip("upright.mp4", *picture, "-c:v", "libx264", "-preset", "ultrafast")
    tab = DemoPage(page, demo.url)
    tab.choose(360)
    tab.pick(film)
    card = tab.card("upright.mp4")
    card.expect_status("completed", seconds=40)
    expect(card.node.locator(".strip-tiles span").first).to_be_visible()
    page.wait_for_load_state("networkidle")

    look("upright")


def test_failures_and_endless_names(
    page: Page, demo: DemoProcess, clip: Path, look: Callable[[str], None]
) -> None:
    tab = DemoPage(page, demo.url)
    endless = "w" * 150
    files: list[tuple[str, bytes]] = [
        ("notes.mp4", b"no film"),
        ("empty.mp4", b""),
        (f"{endless}.mp4", b"no film"),
        (f"done {endless}.mp4", clip.read_bytes()),
    ]
    payloads: list[FilePayload] = [
        {"name": name, "mimeType": "video/mp4", "buffer": content} for name, content in files
    ]
    tab.pick(*payloads)
    tab.card("notes.mp4").expect_status("failed")
    tab.card("empty.mp4").expect_status("failed")
    tab.card(f"done {endless}").expect_status("completed")
    expect(tab.count).to_have_text("1 done")
    page.wait_for_load_state("networkidle")

    look("failed")


def test_an_endless_name_of_a_running_job(
    page: Page, demo: DemoProcess, long_clip: Path, tmp_path: Path, look: Callable[[str], None]
) -> None:
    film = tmp_path / f"{'w' * 150}.mp4"
    film.hardlink_to(long_clip)
    tab = DemoPage(page, demo.url)
    tab.pick(film, long_clip)
    tab.card("www").expect_percent_above(0)

    look("endless")
