"""What `<job-progress>` shows and says in each state of a job."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .moody_server import MoodyServer

Show = Callable[..., Page]

STAGES = [
    {"name": "probing", "progress": 100},
    {"name": "transcoding 720p", "progress": 42.5},
    {"name": "transcoding 480p", "progress": 0},
    {"name": "thumbnails", "progress": 0},
]
WORK = {"stage": "transcoding 720p", "progress": 41.9, "message": "frame 812 of 1966"}

# name, event, state, then what is shown: stage line, percent, message
STATES: list[tuple[str, str, dict[str, Any], str, str, str]] = [
    (
        "pending",
        "progress",
        {"status": "pending", "progress": None, "message": "3rd in the queue"},
        "Waiting",
        "",
        "3rd in the queue",
    ),
    (
        "running",
        "progress",
        {**WORK, "eta": 171, "details": {"stages": STAGES}},
        "transcoding 720p",
        "41",
        "frame 812 of 1966",
    ),
    (
        "indeterminate",
        "progress",
        {"stage": "downloading", "progress": None, "message": "12 MB"},
        "downloading",
        "",
        "12 MB",
    ),
    (
        "almost",
        "progress",
        {"stage": "verifying", "progress": 100},
        "verifying",
        "99",
        "",
    ),
    (
        "stalled",
        "progress",
        {**WORK, "status": "stalled", "eta": 171},
        "No sign of life · transcoding 720p",
        "41",
        "frame 812 of 1966",
    ),
    (
        "completed",
        "complete",
        {"status": "completed", "progress": 100, "stage": "verifying", "message": "4 files"},
        "Done",
        "100",
        "4 files",
    ),
    (
        "failed",
        "error",
        {
            **WORK,
            "status": "failed",
            "message": "The job failed.",
            "details": {"code": "unexpected", "reference": "7f3a9c21", "stages": STAGES},
        },
        "Failed · transcoding 720p",
        "41",
        "The job failed.",
    ),
    (
        "cancelled",
        "error",
        {**WORK, "status": "cancelled", "message": "Cancelled."},
        "Cancelled · transcoding 720p",
        "41",
        "Cancelled.",
    ),
    (
        "lost",
        "error",
        {**WORK, "status": "lost", "message": ""},
        "Lost · transcoding 720p",
        "41",
        "Lost · transcoding 720p",
    ),
]

CONTRASTS = """
(host) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data]
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = luminance(getComputedStyle(host).backgroundColor);
  return [...host.shadowRoot.querySelectorAll("*")]
    .filter((node) => [...node.childNodes].some((child) => child.data?.trim()))
    .map((node) => [node.id || node.part.value, luminance(getComputedStyle(node).color)])
    .map(([name, own]) => [name, (Math.max(own, behind) + 0.05) / (Math.min(own, behind) + 0.05)]);
}
"""


@pytest.mark.parametrize(
    ("name", "event", "state", "stage", "percent", "message"),
    STATES,
    ids=[state[0] for state in STATES],
)
def test_a_state_is_shown(
    show: Show,
    server: MoodyServer,
    screenshot: Callable[[Page, str], None],
    axe: Callable[[Page], None],
    name: str,
    event: str,
    state: dict[str, Any],
    stage: str,
    percent: str,
    message: str,
) -> None:
    server.publish(event, **state)
    page = show('label="holiday.mov" cancellable')
    part = page.locator("job-progress").locator
    bar = page.get_by_role("progressbar", name="holiday.mov")
    expect(part("#stage")).to_have_text(stage)
    expect(part("#percent")).to_have_text(percent)
    expect(part("#message")).to_have_text(message)
    status = state.get("status", "running")
    expect(page.locator("job-progress")).to_have_attribute("state", status)

    assert bar.get_attribute("aria-valuenow") == (percent or None)
    assert (bar.get_attribute("aria-valuetext") or "").startswith(stage)
    assert page.get_by_role("alert").count() == (status in {"failed", "lost"})
    running = status in {"pending", "running", "stalled"}
    expect(page.get_by_role("button", name="Cancel")).to_have_count(1 if running else 0)
    reference = state.get("details", {}).get("reference")
    expect(part("#reference")).to_have_text(f"Reference {reference}" if reference else "")

    for scheme in "light", "dark":
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        contrasts = page.locator("job-progress").evaluate(CONTRASTS)
        assert {"label", "stage"} <= {where for where, _ in contrasts}
        assert [(where, ratio) for where, ratio in contrasts if ratio < 4.5] == []
        axe(page)
        for width in 360, 1200:
            page.set_viewport_size({"width": width, "height": 320})
            screenshot(page, f"{name}-{scheme}-{width}")
    page.emulate_media(color_scheme="light", forced_colors="active")
    screenshot(page, f"{name}-forced")
    axe(page)


@pytest.mark.parametrize("width", [280, 360, 1200])
@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_nothing_sticks_out(
    show: Show,
    server: MoodyServer,
    screenshot: Callable[[Page, str], None],
    width: int,
    direction: str,
) -> None:
    long = "w" * 300
    stages = [*STAGES, {"name": long, "progress": 10}]
    server.publish("progress", stage=long, progress=5, message=long, details={"stages": stages})
    page = show(f'label="{long}" cancellable')
    expect(page.locator("#message")).to_have_text(long)
    page.set_viewport_size({"width": width + 16, "height": 600})
    page.evaluate(f"document.dir = '{direction}'")
    screenshot(page, f"long-{direction}-{width}")
    box = page.locator("job-progress").bounding_box()
    assert box is not None
    assert box["width"] == width
    wide = page.evaluate("document.scrollingElement.scrollWidth")
    assert wide <= width + 16


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_texts_of_either_direction_stand_where_the_page_begins(
    show: Show, server: MoodyServer, direction: str
) -> None:
    server.publish("progress", stage="קידוד 720p", progress=5, message="12 MB of 30 MB.")
    page = show('label="סרט חופשה.mov"')
    page.evaluate(f"document.dir = '{direction}'")
    for part in "label", "stage", "message":
        text = page.locator(f"#{part}")
        side = "left" if direction == "ltr" else "right"
        expect(text).to_have_css("text-align", side)
        expect(text).to_have_css("unicode-bidi", "plaintext")


def test_the_stages_are_listed_with_what_runs_now(show: Show, server: MoodyServer) -> None:
    server.publish("progress", **WORK, details={"stages": STAGES})
    page = show()
    steps = page.get_by_role("listitem")
    expect(steps).to_have_text([str(stage["name"]) for stage in STAGES])
    expect(page.locator("job-progress [aria-current=step]")).to_have_text("transcoding 720p")
    server.publish("progress", stage="other", progress=50, details={"stages": STAGES[:2]})
    expect(steps).to_have_count(2)
    expect(page.locator("job-progress [aria-current=step]")).to_have_count(0)


@pytest.mark.parametrize("stages", ["text", {"a": 1}, [None, 3, "x", {"name": None}], [[]]])
def test_stages_of_another_shape_do_no_harm(
    show: Show, server: MoodyServer, page: Page, stages: Any
) -> None:
    errors: list[Any] = []
    page.on("pageerror", lambda error: errors.append(error))
    server.publish("progress", progress=41, message="fine", details={"stages": stages})
    show()
    expect(page.locator("#message")).to_have_text("fine")
    assert errors == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (7300, "about 3 h left"),
        (171, "about 3 min left"),
        (24, "about 30 s left"),
        (3, "about 10 s left"),
        (0, ""),
    ],
)
def test_the_time_left_is_told_roughly(
    show: Show, server: MoodyServer, seconds: float | None, text: str
) -> None:
    server.publish("progress", progress=41, message="here", eta=seconds)
    page = show()
    expect(page.locator("#message")).to_have_text("here")
    expect(page.locator("#eta")).to_have_text(text)


def test_the_time_left_counts_down_between_events(show: Show, server: MoodyServer) -> None:
    server.publish("progress", progress=41, eta=171)
    page = show()
    expect(page.locator("#eta")).to_have_text("about 3 min left")
    page.evaluate("() => { const now = Date.now() + 60_000; Date.now = () => now; }")
    expect(page.locator("#eta")).to_have_text("about 2 min left")


def test_people_who_want_no_motion_get_none(show: Show, server: MoodyServer) -> None:
    server.publish("progress", progress=None, message="here")
    page = show()
    expect(page.locator("#message")).to_have_text("here")
    moving = (
        "(bar) => [getComputedStyle(bar).animationName, getComputedStyle(bar).transitionDuration]"
    )
    assert page.locator("#bar").evaluate(moving) == ["flow", "0.5s"]
    page.emulate_media(reduced_motion="reduce")
    assert page.locator("#bar").evaluate(moving) == ["none", "0s"]
