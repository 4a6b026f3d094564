"""Uploads and names that want more than to be transcoded, on both builds."""

import functools
import http.server
import os
import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sseprog.emitters.ffmpeg import transcode

QUICK = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.fixture
def secret(make_clip: Callable[..., Path], tmp_path: Path) -> Path:
    """Give somebody else's film, which lies where the attacker may guess it."""
    made = make_clip(
        "secret.ts", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", *QUICK
    )
    return Path(shutil.copy(made, tmp_path / "secret.ts"))


def playlist(segment: str) -> str:
    return "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n" + segment + "\n#EXT-X-ENDLIST\n"


DASH = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S">
<Period><AdaptationSet mimeType="video/mp2t"><Representation id="1" bandwidth="1">
<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>
"""
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"

DISGUISES = {
    "playlist, absolute": lambda secret: playlist(f"file://{secret}"),
    "playlist, relative": lambda secret: playlist(secret.name),
    "playlist, concat": lambda secret: playlist(f"concat:{secret}|{secret}"),
    "playlist, http": lambda _: playlist("http://127.0.0.1:9/x.ts"),
    "playlist, key": lambda secret: playlist(secret.name).replace(
        "#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="file://{secret}"\n#EXTINF', 1
    ),
    "ffconcat, relative": lambda secret: f"ffconcat version 1.0\nfile {secret.name}\n",
    "ffconcat, absolute": lambda secret: f"ffconcat version 1.0\nfile '{secret}'\n",
    "DASH": lambda secret: DASH.format(secret),
    "SDP": lambda _: SDP,
    "subtitles": lambda _: "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    "ffmetadata": lambda _: ";FFMETADATA1\ntitle=x\n",
}


@pytest.mark.parametrize("name", ["video.m3u8", "video.mp4", "video.txt"])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_file_that_names_other_files_is_refused(
    ffmpeg: str,
    secret: Path,
    tmp_path: Path,
    run_job: Callable[..., Any],
    disguise: str,
    name: str,
) -> None:
    source = tmp_path / name
    source.write_text(DISGUISES[disguise](secret))
    outcome = run_job(source, ffmpeg=ffmpeg)

    assert outcome.code == "input_invalid"
    assert outcome.leftovers == []


@pytest.mark.parametrize(
    "name",
    [
        "concat:{0}|{0}",
        "subfile,,start,0,end,0,,:{0}",
        "file:{0}",
        "file://{0}",
        "tcp://127.0.0.1:9",
        "rtsp://127.0.0.1:9/x",
        "pipe:0",
        "data:video/mp4;base64,AAAA",
        "lavfi:testsrc",
        "-i",
        "-version",
    ],
)
def test_a_name_is_a_path_and_nothing_else(
    ffmpeg: str, secret: Path, run_job: Callable[..., Any], name: str
) -> None:
    assert run_job(name.format(secret), ffmpeg=ffmpeg).code == "input_missing"


@pytest.mark.parametrize(
    "name",
    [
        "-y.mp4",
        "-version",
        "a:b.mp4",
        "file:x",
        "http:x",
        "%03d.mp4",
        "it's [a] 'b', c;d.mp4",
        "ü🎬",
    ],
)
def test_files_and_folders_with_names_like_options_are_just_files_and_folders(
    ffmpeg: str,
    secret: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    shutil.copy(secret, tmp_path / "in" / name)
    monkeypatch.chdir(tmp_path / "in")
    target = Path("..", "out", name)
    list(transcode(name, target, ffmpeg=ffmpeg, ladder=(144,), format="mp4"))

    assert sorted(os.listdir(target)) == [
        *("144p", "master.m3u8", "poster.jpg", "thumbnails.jpg", "thumbnails.vtt", "video.mp4")
    ]
    assert os.listdir(tmp_path / "in") == [name]


def test_a_picture_of_four_billion_pixels_is_refused(
    ffmpeg: str, tmp_path: Path, run_job: Callable[..., Any]
) -> None:
    header = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x44\x01\x00;"
    source = tmp_path / "bomb.gif"
    source.write_bytes(header + frame)
    outcome = run_job(source, ffmpeg=ffmpeg)

    assert outcome.code == "input_invalid"


@dataclass
class Site:
    url: str
    root: Path
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "site"
    root.mkdir()
    found = Site("", root)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "HTTP", "https"])
def test_a_url_is_refused_at_the_call_and_nobody_is_asked(
    any_ffmpeg: str, site: Site, tmp_path: Path, scheme: str
) -> None:
    url = site.url.replace("http", scheme, 1) + "/film.mp4"
    with pytest.raises(ValueError, match="allow_urls"):
        transcode(url, tmp_path / "film", ffmpeg=any_ffmpeg)
    assert site.asked == []


def test_a_url_is_read_if_the_caller_opts_in(
    ffmpeg: str, site: Site, secret: Path, run_job: Callable[..., Any]
) -> None:
    shutil.copy(secret, site.root / "film.ts")
    outcome = run_job(f"{site.url}/film.ts", ffmpeg=ffmpeg, allow_urls=True, ladder=(144,))

    assert outcome.failure is None
    assert outcome.details["duration"] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("disguise", ["playlist, absolute", "playlist, relative", "DASH"])
def test_a_url_may_not_lead_to_files_or_further_urls(
    ffmpeg: str, site: Site, secret: Path, run_job: Callable[..., Any], disguise: str
) -> None:
    shutil.copy(secret, site.root)
    (site.root / "film.m3u8").write_text(DISGUISES[disguise](secret))
    outcome = run_job(f"{site.url}/film.m3u8", ffmpeg=ffmpeg, allow_urls=True)

    assert outcome.code == "input_invalid"
    assert set(site.asked) == {"/film.m3u8"}


def test_a_url_that_leads_nowhere_is_missing(
    ffmpeg: str, site: Site, run_job: Callable[..., Any]
) -> None:
    assert run_job(f"{site.url}/gone.mp4", ffmpeg=ffmpeg, allow_urls=True).code == "input_missing"


def test_where_a_film_was_taken_is_not_published(
    ffmpeg: str, make_clip: Callable[..., Path], run_job: Callable[..., Any]
) -> None:
    source = make_clip(
        "holiday.mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", *QUICK),
        *("-metadata", "location=+46.9480+007.4474/", "-metadata", "title=CANARY"),
        *("-movflags", "use_metadata_tags"),
    )
    assert b"CANARY" in source.read_bytes()
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,), format="mp4")

    for path in outcome.target.rglob("*"):
        if path.is_file():
            assert b"CANARY" not in path.read_bytes()
            assert b"+46.9480" not in path.read_bytes()


def test_ffmpeg_writes_no_report_of_its_own(
    any_ffmpeg: str, clip: Path, run_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFREPORT would leave a file with the command line in the published folder."""
    monkeypatch.setenv("FFREPORT", "file=report.log")
    outcome = run_job(clip, ffmpeg=any_ffmpeg, ladder=(144,))

    assert not list(outcome.target.rglob("report.log"))
