"""Films of all kinds, through both builds, their results looked at by ffprobe."""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

QUICK = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
SINE = ("-f", "lavfi", "-i", "sine=duration=3", "-c:a", "aac")


def pattern(size: str, seconds: float = 3, rate: int = 25) -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]


def video(found: dict[str, Any]) -> dict[str, Any]:
    return next(stream for stream in found["streams"] if stream["codec_type"] == "video")


def test_a_film_becomes_a_ladder_an_mp4_a_poster_and_thumbnails(
    ffmpeg: str, clip: Path, run_job: Callable[..., Any], ffprobe: Callable[..., dict[str, Any]]
) -> None:
    outcome = run_job(clip, ffmpeg=ffmpeg, format="mp4", ladder=(1080, 360, 240, 144))

    assert outcome.failure is None
    assert outcome.leftovers == ["film"]
    assert [stage["name"] for stage in outcome.details["stages"]] == [
        "probing",
        "transcoding 360p",
        "transcoding 240p",
        "transcoding 144p",
        "packaging",
        "thumbnails",
        "verifying",
    ]
    assert all(stage["progress"] == 100 for stage in outcome.details["stages"])
    assert outcome.details["duration"] == pytest.approx(5, abs=0.1)
    target = outcome.target
    assert all((target / name).stat().st_size for name in outcome.details["files"])
    made = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert {name for name in made if not name.endswith(".ts")} == set(outcome.details["files"])

    for rung, (width, height) in zip(
        outcome.details["rungs"], [(640, 360), (426, 240), (256, 144)], strict=True
    ):
        found = ffprobe(target / rung["playlist"])
        assert (video(found)["width"], video(found)["height"]) == (width, height)
        assert (rung["width"], rung["height"], rung["name"]) == (width, height, f"{height}p")
        assert {s["codec_name"] for s in found["streams"]} == {"h264", "aac"}
        assert video(found)["pix_fmt"] == "yuv420p"
        assert float(found["format"]["duration"]) == pytest.approx(5, abs=0.1)
    mp4 = ffprobe(target / "video.mp4")
    assert float(mp4["format"]["duration"]) == pytest.approx(5, abs=0.1)
    head = (target / "video.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")


def test_the_master_tells_the_truth_about_each_rung(
    any_ffmpeg: str,
    clip: Path,
    run_job: Callable[..., Any],
    ffprobe: Callable[..., dict[str, Any]],
) -> None:
    outcome = run_job(clip, ffmpeg=any_ffmpeg, ladder=(360, 144))

    lines = (outcome.target / "master.m3u8").read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    listed = list(zip(lines[3::2], lines[4::2], strict=True))
    assert [name for _, name in listed] == ["360p/index.m3u8", "144p/index.m3u8"]
    for about, name in listed:
        told = dict(re.findall(r'([A-Z-]+)=("[^"]*"|[^,]+)', about))
        segments = list((outcome.target / name).parent.glob("*.ts"))
        stream = video(ffprobe(outcome.target / name))
        assert told["RESOLUTION"] == f"{stream['width']}x{stream['height']}"
        # 100 is High, then no constraints, then the level: RFC 6381, section 3.3
        assert told["CODECS"] == f'"avc1.6400{stream["level"]:02x},mp4a.40.2"'
        assert stream["profile"] == "High"
        assert float(told["FRAME-RATE"]) == 25
        assert int(told["BANDWIDTH"]) >= int(told["AVERAGE-BANDWIDTH"])
        bits = 8 * sum(path.stat().st_size for path in segments)
        assert int(told["AVERAGE-BANDWIDTH"]) == pytest.approx(bits / 5, rel=0.02)


def test_key_frames_and_segments_are_at_the_same_times_in_each_rung(
    ffmpeg: str,
    make_clip: Callable[..., Path],
    run_job: Callable[..., Any],
    ffprobe: Callable[..., dict[str, Any]],
) -> None:
    # Cuts at odd moments and an odd rate: what tempts an encoder to key frames of its own.
    source = make_clip(
        "cuts.mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30000/1001:duration=9"),
        *("-vf", "negate=enable='between(mod(t,3),1,2)'", *QUICK),
    )
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(360, 144))

    times = []
    for rung in outcome.details["rungs"]:
        playlist = outcome.target / rung["playlist"]
        found = ffprobe(playlist, "-show_entries", "packet=pts_time,flags", "-select_streams", "v")
        keys = [float(p["pts_time"]) for p in found["packets"] if "K" in p["flags"]]
        times.append([round(key - keys[0], 3) for key in keys])
        assert re.findall(r"#EXTINF:([\d.]+)", playlist.read_text())[:2] == ["4.004000", "4.004000"]
    assert times[0] == times[1]
    assert times[0] == pytest.approx([0, 2, 4, 6, 8], abs=0.05)


ROTATED = ("-display_rotation", "90")


@pytest.mark.parametrize(
    ("name", "words", "ladder", "size"),
    [
        ("silent.mp4", [*pattern("640x360"), *QUICK], (360,), (640, 360)),
        ("odd.mkv", [*pattern("641x359"), "-c:v", "ffv1"], (360,), (640, 358)),
        ("upright.mp4", [*pattern("360x640"), *SINE, *QUICK], (720, 240), (240, 426)),
        ("anamorphic.mp4", [*pattern("360x360"), "-vf", "setsar=16/9", *QUICK], (360,), (640, 360)),
        (
            "10bit.mkv",
            [*pattern("640x360"), "-c:v", "libx264", "-pix_fmt", "yuv420p10le"],
            (360,),
            (640, 360),
        ),
        (
            "444.mkv",
            [*pattern("640x360"), "-c:v", "libx264", "-pix_fmt", "yuv444p"],
            (360,),
            (640, 360),
        ),
        ("full range.avi", [*pattern("640x360"), "-c:v", "mjpeg"], (360,), (640, 360)),
        (
            "interlaced.mpg",
            [
                *pattern("720x480"),
                "-c:v",
                "mpeg2video",
                "-flags",
                "+ildct+ilme",
                "-vf",
                "setfield=tff",
            ],
            (480,),
            (720, 480),
        ),
        ("tiny.gif", [*pattern("64x48", 2, 10)], None, (64, 48)),
        (
            "open.webm",
            [*pattern("320x180"), "-c:v", "libvpx", "-b:v", "500k", "-deadline", "realtime"],
            (144,),
            (256, 144),
        ),
        (
            "pieces.mp4",
            [*pattern("640x360"), *SINE, *QUICK, "-movflags", "+frag_keyframe+empty_moov"],
            (360,),
            (640, 360),
        ),
        (
            "late.ts",
            [*pattern("640x360"), *SINE, *QUICK, "-output_ts_offset", "100"],
            (360,),
            (640, 360),
        ),
        ("fast.mp4", [*pattern("320x180", 3, 120), *QUICK], (144,), (256, 144)),
        ("-o it's %03d [x]: a,b.mp4", [*pattern("320x180"), *QUICK], (144,), (256, 144)),
    ],
)
def test_odd_films_come_out_playable(
    ffmpeg: str,
    make_clip: Callable[..., Path],
    run_job: Callable[..., Any],
    ffprobe: Callable[..., dict[str, Any]],
    name: str,
    words: list[str],
    ladder: tuple[int, ...] | None,
    size: tuple[int, int],
) -> None:
    outcome = run_job(make_clip(name, *words), ffmpeg=ffmpeg, ladder=ladder)

    assert outcome.failure is None
    assert len(outcome.details["rungs"]) == 1
    found = ffprobe(outcome.target / outcome.details["rungs"][0]["playlist"])
    stream = video(found)
    assert (stream["width"], stream["height"]) == size
    assert stream["pix_fmt"] == "yuv420p"
    assert stream["profile"] == "High"
    assert stream.get("sample_aspect_ratio", "1:1") in {"1:1", "N/A"}
    assert stream.get("field_order", "progressive") == "progressive"
    numerator, denominator = map(int, stream["r_frame_rate"].split("/"))
    assert numerator / denominator <= 60
    has_sound = any(word.startswith("sine") for word in words)
    assert len(found["streams"]) == 1 + has_sound


def test_a_rotated_film_is_made_upright(
    ffmpeg: str,
    make_clip: Callable[..., Path],
    run_job: Callable[..., Any],
    ffprobe: Callable[..., dict[str, Any]],
) -> None:
    lying = make_clip("lying.mp4", *pattern("640x360"), *QUICK)
    source = make_clip("turned.mp4", *ROTATED, "-i", str(lying), "-c", "copy")
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(360, 240), format="mp4")

    sizes = [(rung["width"], rung["height"]) for rung in outcome.details["rungs"]]
    assert sizes == [(360, 640), (240, 426)]
    for name in ("360p/index.m3u8", "video.mp4"):
        stream = video(ffprobe(outcome.target / name))
        assert (stream["width"], stream["height"]) == (360, 640)
        assert "side_data_list" not in stream  # or players would turn it once more


def test_a_variable_frame_rate_keeps_its_length_and_counts_by_time(
    ffmpeg: str, make_clip: Callable[..., Path], run_job: Callable[..., Any]
) -> None:
    source = make_clip(
        "variable.mkv",
        *pattern("320x180", 6, 50),
        *("-vf", "select='if(lt(t,3),1,not(mod(n,25)))'", "-vsync", "vfr", *QUICK),
    )
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,))

    assert outcome.failure is None
    assert outcome.details["duration"] == pytest.approx(6, abs=0.6)


def test_a_film_that_does_not_say_its_length_has_no_percentage_until_it_is_known(
    ffmpeg: str, make_clip: Callable[..., Path], run_job: Callable[..., Any]
) -> None:
    source = make_clip("raw.h264", *pattern("640x360", 8), *QUICK)
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(360, 240))

    assert outcome.failure is None
    assert outcome.details["duration"] == pytest.approx(8, abs=0.1)
    first = [r for r in outcome.reports if r.stage == "transcoding 360p"]
    assert all(r.progress is None for r in first[:-1])
    assert all(r.eta is None for r in first[:-1])
    second = [r for r in outcome.reports if r.stage == "transcoding 240p"]
    assert all(r.progress is not None for r in second)


def test_a_film_with_a_stopwatch_of_subtitles_beyond_its_end_is_whole(
    ffmpeg: str, make_clip: Callable[..., Path], run_job: Callable[..., Any], tmp_path: Path
) -> None:
    subtitles = tmp_path / "late.srt"
    subtitles.write_text("1\n00:00:09,000 --> 00:00:12,000\nThe end\n")
    source = make_clip("subtitled.mkv", *pattern("320x180"), "-i", str(subtitles), *QUICK)

    assert run_job(source, ffmpeg=ffmpeg, ladder=(144,)).failure is None


def test_the_picture_of_an_upright_phone_film_is_not_upside_down(
    any_ffmpeg: str,
    make_clip: Callable[..., Path],
    run_job: Callable[..., Any],
) -> None:
    """White on top after a turn by 180 degrees of a film that is white at its bottom."""
    lying = make_clip(
        "half.mp4",
        *("-f", "lavfi", "-i", "color=black:size=320x180:duration=3:rate=25"),
        *("-vf", "drawbox=y=90:h=90:color=white:t=fill", *QUICK),
    )
    source = make_clip("headstand.mp4", "-display_rotation", "180", "-i", str(lying), "-c", "copy")
    outcome = run_job(source, ffmpeg=any_ffmpeg, ladder=(144,))
    command = [any_ffmpeg, "-v", "error", "-i", outcome.target / "poster.jpg"]
    two_pixels = ["-vf", "scale=1:2,format=gray", "-f", "rawvideo", "-"]
    gray = subprocess.check_output([*command, *two_pixels])
    assert gray[0] > 200
    assert gray[1] < 50


def test_thumbnails_and_their_cues_fit_the_film(
    ffmpeg: str,
    clip: Path,
    run_job: Callable[..., Any],
    ffprobe: Callable[..., dict[str, Any]],
) -> None:
    outcome = run_job(clip, ffmpeg=ffmpeg, ladder=(144,))

    sprite = video(ffprobe(outcome.target / "thumbnails.jpg"))
    cues = re.findall(
        r"(\S+) --> (\S+)\nthumbnails\.jpg#xywh=(\d+),(\d+),(\d+),(\d+)",
        (outcome.target / "thumbnails.vtt").read_text(),
    )
    assert [(begin, end) for begin, end, *_ in cues] == [
        ("00:00:00.000", "00:00:02.000"),
        ("00:00:02.000", "00:00:04.000"),
        ("00:00:04.000", "00:00:05.000"),
    ]
    for _, _, left, top, width, height in cues:
        assert int(left) + int(width) <= sprite["width"]
        assert int(top) + int(height) <= sprite["height"]
    assert sprite["width"] == 3 * 160
    poster = video(ffprobe(outcome.target / "poster.jpg"))
    assert (poster["width"], poster["height"]) == (256, 144)


def test_reports_come_twice_a_second_and_say_how_fast_it_goes(
    ffmpeg: str, long_clip: Path, run_job: Callable[..., Any]
) -> None:
    gaps, last = [], time.monotonic()

    def note(_: object) -> None:
        nonlocal last
        now = time.monotonic()
        gaps.append(now - last)
        last = now

    outcome = run_job(long_clip, ffmpeg=ffmpeg, ladder=(480, 240), each=note)

    assert max(gaps) < 1.0
    running = [r for r in outcome.reports if r.stage == "transcoding 480p"]
    assert running[-1].details["rung"] == "480p"
    assert running[-1].details["size"] > 0
    assert any(r.details["fps"] for r in running)
    assert any(r.details["speed"] for r in running)
    assert any("of 0:12" in r.message for r in running)
    # By cost, 480p is more than half of it: one of two rungs is no 50 %.
    assert 55 < max(r.progress for r in running) < 90
