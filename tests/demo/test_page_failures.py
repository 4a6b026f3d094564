"""What the page says of files that are no videos, and of a server that does not answer."""

import hashlib
import os
import re
import select
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import FilePayload, Page, expect

from .conftest import QUICK, Eventually, Serve, StartDemo
from .demo_page import DemoPage
from .demo_process import DemoProcess

VIDEO = "It should be a video file, such as MP4, MOV, MKV or WebM, that plays from start to end."
DAMAGED = "The file is not a video that can be read, or it is damaged."


def sent(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "video/mp4", "buffer": content}


def expect_failure(tab: DemoPage, demo: DemoProcess, name: str, why: str, advice: str) -> None:
    """Expect a card that says what is wrong, nothing of this machine, and nothing left behind."""
    card = tab.card(name)
    card.expect_status("failed")
    expect(card.state).to_have_text("Failed")
    expect(card.why).to_have_text(re.compile(why))
    expect(card.advice).to_have_text(advice)
    expect(tab.page.locator("#said")).to_have_text(f"{name} failed")
    tab.page.reload()
    card.expect_status("failed")
    text = tab.page.locator("body").inner_text()
    for path in "api/videos", f"jobs/{card.job_id}":
        text += httpx.get(f"{demo.url}{path}").text
    assert str(demo.temporary) not in text
    assert ".uploads" not in text
    assert "ffmpeg" not in text
    assert os.listdir(demo.output) == [".uploads"]
    assert os.listdir(demo.output / ".uploads") == []


# The same at every run: of random bytes, some make ffmpeg say what nobody has read yet.
NOISE = hashlib.shake_128(b"7").digest(5000)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"Milk, eggs, bread.\n" * 200, re.escape(DAMAGED)),
        (b"", r"^The file is empty\.$"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(5000), re.escape(DAMAGED)),
        (b"\x1a\x45\xdf\xa3" + NOISE, re.escape(DAMAGED)),
        (b"<!doctype html><video src=x onerror=alert(1)>", re.escape(DAMAGED)),
    ],
    ids=["text", "empty", "MP4's first bytes", "Matroska's first bytes", "a page"],
)
def test_a_file_that_is_no_video_gets_a_card_that_says_so(
    page: Page, demo: DemoProcess, content: bytes, why: str
) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(sent("film.mp4", content))

    expect_failure(tab, demo, "film.mp4", why, VIDEO)


@pytest.mark.parametrize(
    ("index_first", "why"),
    [
        (True, r"^The video is damaged or cut short.* of its 6\.0 seconds"),
        (False, re.escape(DAMAGED)),
    ],
    ids=["index in front", "index at the end"],
)
def test_a_film_that_is_cut_short_gets_a_card_that_says_so(
    page: Page, demo: DemoProcess, make_clip: Callable[..., Path], index_first: bool, why: str
) -> None:
    flags = ("-movflags", "+faststart") if index_first else ()
    picture = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=6")
    film = make_clip(f"whole{index_first}.mp4", *picture, *QUICK, *flags).read_bytes()
    tab = DemoPage(page, demo.url)
    tab.pick(sent("half.mp4", film[: len(film) // 2]))

    expect_failure(tab, demo, "half.mp4", why, VIDEO)


def test_sound_alone_gets_a_card_that_says_so(
    page: Page, demo: DemoProcess, make_clip: Callable[..., Path]
) -> None:
    song = make_clip("song.mp4", "-f", "lavfi", "-i", "sine=duration=3", "-c:a", "aac")
    tab = DemoPage(page, demo.url)
    tab.pick(song)
    expect_failure(
        tab,
        demo,
        "song.mp4",
        r"^The file holds no video, only sound or pictures\.$",
        "There must be a picture in it; sound alone makes no stream.",
    )


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
    "HLS with a key": (
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n"
        '#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n'
    ),
    "concat": "ffconcat version 1.0\nfile '{url}'\n",
    "concat of a file": "ffconcat version 1.0\nfile 'file:///etc/passwd'\n",
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
    "<BaseURL>{url}</BaseURL></Period></MPD>",
    "SDP": (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    ),
    "QuickTime's text": "<?xml version='1.0'?><?quicktime type='x'?><embed src='{url}'/>",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_in_disguise_is_refused_and_nobody_calls_what_it_names(
    page: Page, demo: DemoProcess, kind: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        port = trap.getsockname()[1]
        text = PLAYLISTS[kind].format(url=f"http://127.0.0.1:{port}/canary.ts", port=port)
        tab = DemoPage(page, demo.url)
        tab.pick(sent("film.mp4", text.encode()))
        expect_failure(tab, demo, "film.mp4", re.escape(DAMAGED), VIDEO)

        assert select.select([trap], [], [], 0)[0] == [], "somebody called"


def test_a_good_file_between_bad_ones_is_not_held_up(
    page: Page, demo: DemoProcess, clip: Path
) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(
        sent("one.mp4", b"no film"), sent("two.mp4", clip.read_bytes()), sent("three.mp4", b"")
    )

    tab.card("one.mp4").expect_status("failed")
    tab.card("two.mp4").expect_status("completed")
    tab.card("three.mp4").expect_status("failed")


def test_a_file_that_is_too_large_is_not_even_sent(page: Page, serve: Serve, clip: Path) -> None:
    server = serve(max_upload=100_000)
    tab = DemoPage(page, server.url)
    expect(page.locator("#limit")).to_have_text("100 kB")
    tab.pick(clip)
    card = tab.card("holiday.mp4")
    card.expect_status("refused")

    expect(card.state).to_have_text("Not sent")
    expect(card.why).to_have_text(re.compile(r"^It has \d+ kB; at most 100 kB can be sent\.$"))
    card.node.get_by_role("button", name="Dismiss").click()
    expect(tab.cards).to_have_count(0)
    tab.pick(sent("notes.mp4", b"no film"))
    tab.card("notes.mp4").expect_status("failed")


def test_an_upload_that_is_cancelled_on_its_way_leaves_nothing(
    page: Page, demo: DemoProcess, long_clip: Path, eventually: Eventually
) -> None:
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 500_000}
    network = page.context.new_cdp_session(page)
    network.send("Network.emulateNetworkConditions", slow)
    tab = DemoPage(page, demo.url)
    tab.pick(long_clip)
    card = tab.card("long.mp4")
    card.expect_status("sending")
    expect(card.state).to_have_text(re.compile(r"^Sending [1-9][\d.]* [kM]B of 32 MB"))
    eventually(lambda: os.listdir(demo.output / ".uploads"))
    card.cancel.click()

    expect(tab.cards).to_have_count(0)
    eventually(lambda: not os.listdir(demo.output / ".uploads"))
    assert httpx.get(f"{demo.url}api/videos").json()["videos"] == []


def test_a_server_that_goes_is_said_and_one_that_comes_back_is_found(
    page: Page,
    demo: DemoProcess,
    start_demo: StartDemo,
    long_clip: Path,
    clip: Path,
    complaints: list[str],
) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(long_clip)
    tab.card("long.mp4").expect_percent_above(0)
    port = demo.port
    assert demo.end() == 0
    expect(tab.banner).to_have_text("The demo's server does not answer. Trying again…")
    tab.pick(clip)
    refused = tab.card("holiday.mp4")
    refused.expect_status("refused")
    expect(refused.why).to_have_text("The connection broke, or the file could not be read.")
    start_demo(port=port)

    expect(tab.banner).to_be_empty(timeout=15_000)
    expect(tab.cards.filter(has_text="long.mp4")).to_have_count(0)
    refused.node.get_by_role("button", name="Dismiss").click()
    tab.pick(clip)
    tab.card("holiday.mp4").expect_status("completed")
    # Refused, or answered by the new server that it knows no such job.
    assert all(text.startswith("Failed to load resource: ") for text in complaints)
    complaints.clear()


def test_a_network_that_is_away_for_a_while_costs_nothing(
    page: Page, demo: DemoProcess, long_clip: Path, complaints: list[str]
) -> None:
    tab = DemoPage(page, demo.url)
    tab.pick(long_clip)
    card = tab.card("long.mp4")
    card.expect_percent_above(0)
    job_id = card.job_id
    page.context.set_offline(True)
    expect(tab.banner).to_have_text("The demo's server does not answer. Trying again…")
    before = card.percent
    page.context.set_offline(False)

    expect(tab.banner).to_be_empty(timeout=15_000)
    card.expect_percent_above(before)
    assert card.job_id == job_id
    complaints.clear()
