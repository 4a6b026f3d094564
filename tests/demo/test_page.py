"""A person, a browser, and videos: from the file to the player."""

import base64
import http.server
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .conftest import NewContext, StartDemo
from .demo_page import DemoPage
from .demo_process import DemoProcess


def test_a_picked_file_becomes_a_card_that_lives(
    page: Page, demo: DemoProcess, long_clip: Path
) -> None:
    tab = DemoPage(page, demo.url)
    expect(page.locator("#empty")).to_be_visible()
    tab.pick(long_clip)
    card = tab.card("long.mp4")
    card.expect_status("running")

    expect(page.locator("#empty")).to_be_hidden()
    expect(card.steps).to_have_text(
        ["probing", "transcoding 480p", "packaging", "thumbnails", "verifying"]
    )
    expect(card.now).to_have_text("transcoding 480p")
    expect(card.live.locator("#stage")).to_have_text("transcoding 480p")
    parts = "(steps) => steps.map((step) => step.style.getPropertyValue('--part'))"
    done, now, *to_come = card.steps.evaluate_all(parts)
    assert done == "100%"
    assert now.endswith("%")
    assert to_come == ["0%"] * 3
    card.expect_percent_above(1)
    before = card.percent
    card.expect_percent_above(before)
    for fact in "Speed", "Frames", "Written":
        expect(card.node.locator("dt", has_text=fact)).to_have_count(1)
    expect(card.live.locator("#eta")).to_contain_text("left")
    expect(tab.count).to_have_text("1 running")
    expect(page).to_have_title(re.compile(r"^\([1-9]\d?%\) sseprog demo$"))

    card.cancel.click()
    card.expect_status("cancelled")
    expect(card.state).to_have_text("Cancelled")
    expect(page).to_have_title("sseprog demo")
    assert demo.ffmpegs() == []
    assert os.listdir(demo.output) == [".uploads"]
    assert os.listdir(demo.output / ".uploads") == []


def test_a_running_job_shows_its_speed(page: Page, demo: DemoProcess, long_clip: Path) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(long_clip)
    card = tab.card("long.mp4")
    card.expect_percent_above(1)

    for fact in "Speed", "Frames", "Written":
        expect(card.node.locator("dt", has_text=fact)).to_be_visible()


def test_a_finished_video_has_a_face_and_plays_from_where_one_clicks(
    page: Page, demo: DemoProcess, clip: Path
) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(clip)
    card = tab.card("holiday.mp4")
    card.expect_status("completed")

    expect(card.state).to_contain_text("Done in ")
    expect(card.node.get_by_label("Qualities").locator("li")).to_have_text(["180p"])
    facts = card.node.locator(".facts")
    expect(facts).to_contain_text("Length0:06")
    expect(facts).to_contain_text("Picture320 \N{MULTIPLICATION SIGN} 180")
    expect(tab.count).to_have_text("1 done")
    expect(page.locator("#said")).to_have_text("holiday.mp4 is done")
    size = "(video) => { const i = new Image(); i.src = video.poster; return i.decode().then(() => "
    assert card.video.evaluate(f"{size}[i.naturalWidth, i.naturalHeight])}}") == [320, 180]

    tiles = card.node.locator(".strip-tiles span")
    expect(tiles).to_have_count(9)
    pictures = tiles.evaluate_all("(all) => all.map((one) => one.style.backgroundImage)")
    assert set(pictures) == {f'url("/media/{card.job_id}/thumbnails.jpg")'}
    places = tiles.evaluate_all("(all) => all.map((one) => one.style.backgroundPosition)")
    assert len(set(places)) == 3, "one thumbnail per key frame, every 2 s"

    strip = card.node.get_by_role("slider", name="Seek in holiday.mp4")
    box = strip.bounding_box()
    assert box is not None
    strip.hover(position={"x": box["width"] * 0.55, "y": 5})
    expect(card.node.locator(".peek-time")).to_have_text("0:03")
    strip.click(position={"x": box["width"] * 0.55, "y": 5})
    page.wait_for_function(
        "() => { const v = document.querySelector('.card video');"
        " return !v.paused && v.readyState >= 3 && v.currentTime > 3.6 }"
    )
    video = card.video.evaluate("(v) => [v.videoWidth, v.videoHeight, v.duration, v.error]")
    assert video[:2] == [320, 180]
    assert abs(video[2] - 6) < 0.2
    assert video[3] is None
    page.wait_for_function("() => document.querySelector('.card video').ended")


def test_the_strip_works_by_the_keyboard(page: Page, demo: DemoProcess, clip: Path) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(clip)
    strip = page.get_by_role("slider", name="Seek in holiday.mp4")
    strip.focus()
    page.keyboard.press("End")
    page.keyboard.press("Home")
    for _ in range(10):
        page.keyboard.press("ArrowRight")

    page.wait_for_function(
        "() => Math.abs(document.querySelector('.card video').currentTime - 1) < 0.01"
    )
    expect(strip).to_have_js_property("ariaValueText", "0:01")


def test_the_mp4_can_be_downloaded_under_the_videos_own_name(
    page: Page, demo: DemoProcess, clip: Path, tmp_path: Path
) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(clip)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download MP4").click()

    assert download.value.suggested_filename == "holiday.mp4"
    saved = tmp_path / "saved.mp4"
    download.value.save_as(saved)
    made = demo.output / tab.card("holiday.mp4").job_id / "video.mp4"
    assert saved.read_bytes() == made.read_bytes()


DROP = """
([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "video/mp4" }));
  data.items.add(new File(["no film"], "notes.mp4", { type: "video/mp4" }));
  window.data = data;
}
"""


COUNT_TWINS = """
() => {
  window.twins = 0;
  const name = (card) => (card.querySelector(".name")?.textContent ??
    card.querySelector("job-progress")?.getAttribute("label"));
  const cards = document.getElementById("cards");
  new MutationObserver(() => {
    const names = [...cards.children].map(name);
    if (new Set(names).size < names.length) window.twins++;
  }).observe(cards, { childList: true, subtree: true });
  setInterval(() => dispatchEvent(new Event("online")), 10);  // a look at the list, again and again
}
"""


def test_a_file_never_has_two_cards(page: Page, demo: DemoProcess, long_clip: Path) -> None:
    tab = DemoPage(page, demo.url)
    page.evaluate(COUNT_TWINS)
    tab.pick(long_clip)
    tab.card("long.mp4").expect_percent_above(0)

    assert page.evaluate("twins") == 0


def test_files_can_be_dropped_anywhere_on_the_page(
    page: Page, demo: DemoProcess, clip: Path
) -> None:
    tab = DemoPage(page, demo.url)
    page.evaluate(DROP, ["dropped.mp4", base64.b64encode(clip.read_bytes()).decode()])
    fire = """(type) => document.querySelector("footer").dispatchEvent(
      new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }))"""
    assert page.evaluate(fire, "dragover") is False, "the browser would leave the page"
    expect(page.get_by_text("Let go to begin")).to_be_visible()
    assert page.evaluate(fire, "drop") is False
    expect(page.get_by_text("Let go to begin")).to_be_hidden()

    tab.card("dropped.mp4").expect_status("completed")
    tab.card("notes.mp4").expect_status("failed")
    expect(tab.cards).to_have_count(2)


def test_a_reload_in_the_middle_loses_nothing(
    page: Page, demo: DemoProcess, long_clip: Path
) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(long_clip)
    card = tab.card("long.mp4")
    card.expect_percent_above(2)
    before, job_id = card.percent, card.job_id
    page.reload()

    card.expect_status("running")
    assert card.job_id == job_id
    card.expect_percent_above(0)
    assert card.percent >= before
    expect(tab.cards).to_have_count(1)
    expect(card.now).to_have_text("transcoding 480p")
    card.expect_percent_above(before)


def test_a_second_tab_shows_the_same_job_and_can_cancel_it(
    new_context: NewContext, demo: DemoProcess, long_clip: Path
) -> None:
    context = new_context()
    first = DemoPage(context.new_page(), demo.url)
    first.pick(long_clip)
    first.card("long.mp4").expect_percent_above(0)
    second = DemoPage(context.new_page(), demo.url)
    card = second.card("long.mp4")
    card.expect_percent_above(0)
    assert card.job_id == first.card("long.mp4").job_id
    card.cancel.click()

    first.card("long.mp4").expect_status("cancelled")
    card.expect_status("cancelled")


def test_a_browser_that_was_started_anew_finds_everything(
    new_context: NewContext, demo: DemoProcess, clip: Path, long_clip: Path
) -> None:
    context = new_context()
    tab = DemoPage(context.new_page(), demo.url)
    tab.pick(clip)
    tab.card("holiday.mp4").expect_status("completed")
    tab.pick(long_clip)
    tab.card("long.mp4").expect_percent_above(0)
    context.close()
    again = DemoPage(new_context().new_page(), demo.url)

    again.card("holiday.mp4").expect_status("completed")
    again.card("long.mp4").expect_percent_above(0)
    expect(again.cards.locator("h3, #label")).to_have_text(["long.mp4", "holiday.mp4"])
    expect(again.count).to_have_text("1 running · 1 done")


def test_a_job_of_the_command_line_is_on_the_page(
    page: Page, start_demo: StartDemo, long_clip: Path
) -> None:
    demo = start_demo(long_clip)
    tab = DemoPage(page, demo.url)

    tab.card("long.mp4").expect_percent_above(0)
    assert demo.line(r"^job (\S+)")[1] == tab.card("long.mp4").job_id


def test_who_waits_is_told_the_place_in_the_queue_and_moves_up(
    page: Page, demo: DemoProcess, long_clips: list[Path]
) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(*long_clips[:3])
    one, two, three = (tab.card(path.name) for path in long_clips[:3])

    one.expect_status("running")
    expect(two.state).to_have_text("Waiting · number 1 in the queue")
    expect(three.state).to_have_text("Waiting · number 2 in the queue")
    expect(tab.count).to_have_text("1 running · 2 waiting")
    assert len(demo.ffmpegs()) == 1
    two.cancel.click()
    two.expect_status("cancelled")
    expect(three.state).to_have_text("Waiting · number 1 in the queue")
    one.cancel.click()
    one.expect_status("cancelled")
    three.expect_status("running")
    three.expect_percent_above(0)
    expect(tab.count).to_have_text("1 running")
    assert len(demo.ffmpegs()) == 1


def test_half_of_the_cores_work_unless_it_is_said(
    page: Page, start_demo: StartDemo, long_clip: Path, tmp_path: Path
) -> None:
    demo = start_demo()
    tab = DemoPage(page, demo.url)
    half = max(1, (os.cpu_count() or 1) // 2)
    files = [tmp_path / f"film {number}.mp4" for number in range(half + 1)]
    for file in files:
        file.hardlink_to(long_clip)
    tab.pick(*files)

    expect(tab.count).to_have_text(f"{half} running · 1 waiting", timeout=30_000)
    tab.card(files[-1].name).expect_status("pending")


def test_more_jobs_than_a_browser_has_connections_all_move(
    new_context: NewContext, start_demo: StartDemo, long_clips: list[Path]
) -> None:
    """Of its six, streams take three; the other cards live on the list."""
    demo = start_demo("--workers", 5)
    context = new_context()
    tab = DemoPage(context.new_page(), demo.url)
    names = [path.name for path in long_clips]
    tab.pick(*long_clips)

    for name in names:
        tab.card(name).expect_status("running", seconds=30)
    expect(tab.page.locator("job-progress")).to_have_count(3)
    quiet = tab.page.locator("#cards > .card:not(:has(job-progress)) .state")
    expect(quiet).to_have_text([re.compile(r"^transcoding 480p · [1-9]\d?%")] * 2)
    for bar in tab.page.locator("job-progress").all():
        expect(bar.locator("#percent")).to_have_text(re.compile(r"^[1-9]"))
    other = DemoPage(context.new_page(), demo.url)
    expect(other.cards).to_have_count(5)
    expect(other.page.locator("job-progress")).to_have_count(0)
    for name in names:
        expect(other.card(name).state).to_contain_text("transcoding 480p")
    for name in names:
        other.card(name).cancel.click()
        tab.card(name).expect_status("cancelled")


def test_the_button_makes_a_clip_and_a_stream_of_it(page: Page, demo: DemoProcess) -> None:
    tab = DemoPage(page, demo.url)
    tab.choose(360)
    page.get_by_role("button", name="Make a 20 s test clip").click()
    card = tab.card("Test clip, 20 seconds")
    card.expect_status("running")
    expect(card.steps.first).to_have_text("making a test clip")
    card.expect_status("completed", seconds=50)

    expect(card.node.locator(".facts")).to_contain_text("Length0:20")
    expect(card.node.get_by_label("Qualities")).to_have_text("360p")
    expect(card.node.locator(".strip-tiles span")).to_have_count(9)
    assert sorted(os.listdir(demo.output)) == sorted([".uploads", card.job_id])


def test_without_a_size_nothing_is_sent(page: Page, demo: DemoProcess, clip: Path) -> None:
    tab = DemoPage(page, demo.url)
    tab.choose()
    tab.pick(clip)
    expect(tab.problem).to_have_text("Choose at least one size first.")
    page.get_by_role("button", name="Make a 20 s test clip").click()
    expect(tab.problem).to_have_text("Choose at least one size first.")
    tab.choose(480)
    expect(tab.problem).to_be_empty()
    expect(tab.cards).to_have_count(0)
    tab.pick(clip)
    tab.card("holiday.mp4").expect_status("completed")


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.mp4", "&lt;b&gt; \"'`.mp4"])
def test_markup_in_a_name_is_text(page: Page, demo: DemoProcess, clip: Path, name: str) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    tab = DemoPage(page, demo.url)
    film = clip.read_bytes()
    tab.pick({"name": name, "mimeType": "video/mp4", "buffer": film})
    tab.card(name).expect_status("completed")
    page.reload()
    tab.card(name).expect_status("completed")

    expect(page.get_by_role("heading", name=name)).to_have_text(name)
    expect(page.get_by_role("slider")).to_have_accessible_name(f"Seek in {name}")
    assert page.locator("#cards img:not(.backdrop)").count() == 0


class Blank(http.server.BaseHTTPRequestHandler):
    """An empty page, without any policy."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>elsewhere</title>")

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_page_of_anybody_s_may_watch_a_job_but_not_list_them(
    page: Page, demo: DemoProcess, clip: Path, elsewhere_url: str, complaints: list[str]
) -> None:
    """It is served elsewhere, and made of nothing but the browser's own EventSource."""
    tab = DemoPage(page, demo.url)
    tab.pick(clip)
    card = tab.card("holiday.mp4")
    card.expect_status("completed")
    elsewhere = page.context.new_page()
    elsewhere.goto(elsewhere_url)
    seen = elsewhere.evaluate(
        """(url) => new Promise((resolve) => {
          const seen = [];
          const source = new EventSource(url);
          for (const name of ["status", "progress", "complete"])
            source.addEventListener(name, ({ type }) => seen.push(type));
          source.onerror = () => { source.close(); resolve(seen); };
          source.addEventListener("complete", () => { source.close(); resolve(seen); });
        })""",
        f"{demo.url}jobs/{card.job_id}/stream?from=start",
    )
    assert seen[0] == "status"
    assert seen[-1] == "complete"
    listed = "(url) => fetch(url).then(() => true, () => false)"
    assert elsewhere.evaluate(listed, f"{demo.url}api/videos") is False
    cancelled = "(url) => fetch(url, { method: 'POST' }).then(({ ok }) => ok, () => false)"
    assert elsewhere.evaluate(cancelled, f"{demo.url}jobs/{card.job_id}/cancel") is False
    assert all("CORS" in text or "Failed to load" in text for text in complaints)
    complaints.clear()
