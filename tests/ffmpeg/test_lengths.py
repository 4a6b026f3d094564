"""Films whose parts are not of one length, are short, slow, joined, or end too soon."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import QUICK, pattern, sound

SMALL = "160x120"


def media(*words: str) -> list[str]:
    return [*words, *QUICK]


@pytest.mark.parametrize(
    ("name", "words", "seconds"),
    [
        ("long sound.mp4", [*pattern(SMALL, 4), *sound(9)], 4),
        ("long sound.mkv", [*pattern(SMALL, 4), *sound(9)], 4),
        ("short sound.mp4", [*pattern(SMALL, 6), *sound(2)], 6),
        (
            "long sound that is not used.mp4",
            [
                *pattern(SMALL, 4),
                *sound(4)[:4],
                *sound(12),
                *("-map", "0", "-map", "1", "-map", "2"),
            ],
            4,
        ),
    ],
)
def test_streams_of_different_lengths_are_no_damage(
    ffmpeg: str,
    make_clip: Callable[..., Path],
    run_job: Callable[..., Any],
    name: str,
    words: list[str],
    seconds: float,
) -> None:
    outcome = run_job(make_clip(name, *media(*words)), ffmpeg=ffmpeg, ladder=(144,), format="mp4")
    assert outcome.failure is None
    assert outcome.details["duration"] == pytest.approx(seconds, abs=0.2)


@pytest.mark.parametrize("frames", [1, 2, 5, 8, 12])
@pytest.mark.parametrize("with_sound", [False, True])
def test_the_shortest_films_have_a_poster_and_thumbnails(
    ffmpeg: str,
    make_clip: Callable[..., Path],
    run_job: Callable[..., Any],
    frames: int,
    with_sound: bool,
) -> None:
    words = [*pattern(SMALL, 3), *(sound(frames / 25) if with_sound else [])]
    name = f"{frames} frames, sound {with_sound}.mp4"
    source = make_clip(name, *media(*words, "-frames:v", str(frames)))
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,), format="mp4")
    assert outcome.failure is None
    for name in ("poster.jpg", "thumbnails.jpg", "thumbnails.vtt", "video.mp4"):
        assert (outcome.target / name).stat().st_size > 0


@pytest.mark.parametrize("rate", [0.2, 0.5, 1, 2, 3])
def test_slow_films_are_as_whole_as_others(
    ffmpeg: str, make_clip: Callable[..., Path], run_job: Callable[..., Any], rate: float
) -> None:
    words = ("-f", "lavfi", "-i", f"testsrc2=size={SMALL}:rate={rate}:duration=20")
    outcome = run_job(make_clip(f"{rate}.mp4", *media(*words)), ffmpeg=ffmpeg, ladder=(144,))
    assert outcome.failure is None
    assert outcome.details["duration"] == pytest.approx(20, abs=1.1)
    assert (outcome.target / "thumbnails.vtt").read_text().count("-->") == 10


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_a_film_that_ends_a_little_too_soon_is_noticed(
    ffmpeg: str,
    make_clip: Callable[..., Path],
    tmp_path: Path,
    run_job: Callable[..., Any],
    ending: str,
    share: float,
) -> None:
    words = [*pattern(SMALL, 20), *sound(20), *QUICK, "-movflags", "+faststart"]
    whole = make_clip(f"whole.{ending}", *(words if ending == "mp4" else words[:-2]))
    source = tmp_path / f"cut.{ending}"
    source.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,))
    assert outcome.code == "input_invalid"
    assert "could be read" in outcome.failure.message
    assert outcome.leftovers == []


def test_a_joined_recording_says_nothing_that_it_does_not_know(
    ffmpeg: str, make_clip: Callable[..., Path], tmp_path: Path, run_job: Callable[..., Any]
) -> None:
    """Its parts start at 0 each; ffmpeg says how long the last or the first of them is."""
    part = make_clip("part.ts", *media(*pattern(SMALL, 4), *sound(4)))
    source = tmp_path / "joined.ts"
    source.write_bytes(5 * part.read_bytes())
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,))
    assert outcome.failure is None
    assert outcome.details["duration"] == pytest.approx(20, abs=1)


def test_a_recording_whose_clock_jumps_is_whole(
    ffmpeg: str, make_clip: Callable[..., Path], tmp_path: Path, run_job: Callable[..., Any]
) -> None:
    part = make_clip("part.ts", *media(*pattern(SMALL, 4), *sound(4)))
    later = make_clip(
        "later.ts", *media(*pattern(SMALL, 4), *sound(4)), "-output_ts_offset", "1000"
    )
    source = tmp_path / "jump.ts"
    source.write_bytes(part.read_bytes() + later.read_bytes())
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,))
    assert outcome.failure is None
    assert outcome.details["duration"] == pytest.approx(8, abs=1)


def test_a_sound_track_without_any_sound_is_left_out(
    ffmpeg: str, make_clip: Callable[..., Path], tmp_path: Path, run_job: Callable[..., Any]
) -> None:
    """Take the packets of the sound out of a recording whose tables still name it."""
    whole = make_clip("heard.ts", *media(*pattern(SMALL, 4), *sound(4))).read_bytes()
    packets = [whole[at : at + 188] for at in range(0, len(whole), 188)]
    pid = 0x101  # of ffmpeg's second stream
    silent = [packet for packet in packets if int.from_bytes(packet[1:3]) & 0x1FFF != pid]
    assert len(silent) < len(packets)
    source = tmp_path / "dead microphone.ts"
    source.write_bytes(b"".join(silent))
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,))
    assert outcome.failure is None
    assert "mp4a" not in outcome.details["rungs"][0]["codecs"]


def test_a_short_last_segment_does_not_make_the_stream_look_wide(
    ffmpeg: str, make_clip: Callable[..., Path], run_job: Callable[..., Any]
) -> None:
    source = make_clip("4.04.mp4", *media(*pattern("320x180", 4.04), *sound(4.04)))
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,))
    [rung] = outcome.details["rungs"]
    assert rung["segments"] == 2
    assert rung["bandwidth"] < 1.2 * 8 * rung["size"] / outcome.details["duration"]


# Names


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.mp4",
        b"The French Connection.mp4",
        b"No space left on device.mp4",
        b"a\n  Stream #0:7: Video: h264, 64x64\n.mp4",
        b"moov atom not found\x01.mp4",
    ],
)
def test_a_name_says_nothing_about_the_film(
    ffmpeg: str, clip: Path, tmp_path: Path, run_job: Callable[..., Any], name: bytes
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = Path(str(folder), name.decode("utf-8", "surrogateescape"))
    source.write_bytes(clip.read_bytes())
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,))
    assert outcome.failure is None
    assert outcome.details["rungs"][0]["height"] == 144
    source.write_bytes(b"junk" * 1000)
    outcome = run_job(source, ffmpeg=ffmpeg, target=tmp_path / "other")
    assert outcome.code == "input_invalid"


def test_a_path_leads_where_the_system_says(
    clip: Path, tmp_path: Path, run_job: Callable[..., Any], any_ffmpeg: str
) -> None:
    inner = tmp_path / "real" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "link").symlink_to(inner)
    (tmp_path / "real" / "film.mp4").symlink_to(clip)
    source = f"{tmp_path}/link/../film.mp4"
    assert Path(source).exists()
    outcome = run_job(source, ffmpeg=any_ffmpeg, ladder=(144,))
    assert outcome.failure is None


def test_folders_that_were_made_for_nothing_are_removed(
    tmp_path: Path, run_job: Callable[..., Any], any_ffmpeg: str
) -> None:
    (tmp_path / "kept").mkdir()
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"junk" * 1000)
    outcome = run_job(junk, ffmpeg=any_ffmpeg, target=tmp_path / "kept" / "made" / "too" / "film")
    assert outcome.code == "input_invalid"
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_secret_in_a_url_stays_out_of_the_log(
    tmp_path: Path, run_job: Callable[..., Any], ffmpeg: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = "http://user:hunter2@127.0.0.1:9/film.mp4?token=SECRET"
    outcome = run_job(url, ffmpeg=ffmpeg, allow_urls=True)
    assert outcome.code == "input_missing"
    assert "127.0.0.1" in caplog.text
    assert "hunter2" not in caplog.text
    assert "SECRET" not in caplog.text
