"""What can't become a stream, on both builds: a code, a sentence, and nothing at the target."""

import base64
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Matroska's first bytes, then noise that makes ffmpeg say "End of file" rather than "Invalid data".
STUB = base64.b64decode(
    "GkXfo/p8n/emhlKbU/WTsJ0//p84uoqOPOTlID4Uhroe868lHZCudbOGeZccsrpVynQ/v6n19QLvotK9d7JKA4Qg"
    "k72s3GuVxwCkOYmKSpe6Eqagmu02OTqxk82FZqyzZ6otDdWPrvcNo3c7+syeamnuQotZkWUuoukcV/3prIY="
)

QUICK = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def pattern(size: str, seconds: float = 3) -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={seconds}"]


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("gone.mp4", None, "input_missing", "not there"),
        ("empty.mp4", b"", "input_invalid", "empty"),
        ("notes.mp4", b"The quick brown fox.\n" * 500, "input_invalid", "not a video"),
        ("noise.mp4", hashlib.shake_128(b"7").digest(50_000), "input_invalid", "not a video"),
        ("page.mp4", b"<!doctype html><video src=x>" * 100, "input_invalid", "not a video"),
        ("nul.mkv", bytes(100_000), "input_invalid", "not a video"),
        ("stub.mkv", STUB, "input_invalid", "not a video"),
    ],
)
def test_a_source_that_is_no_video_is_said_to_be_none(
    ffmpeg: str,
    tmp_path: Path,
    run_job: Callable[..., Any],
    name: str,
    content: bytes | None,
    code: str,
    words: str,
) -> None:
    source = tmp_path / name
    if content is not None:
        source.write_bytes(content)
    outcome = run_job(source, ffmpeg=ffmpeg)

    assert outcome.code == code
    assert words in outcome.failure.message
    assert outcome.leftovers == []


def test_a_folder_a_pipe_and_a_locked_file_are_no_sources(
    any_ffmpeg: str, tmp_path: Path, run_job: Callable[..., Any]
) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")

    assert run_job(tmp_path, ffmpeg=any_ffmpeg).code == "input_invalid"
    assert run_job(tmp_path / "pipe.mp4", ffmpeg=any_ffmpeg).code == "input_invalid"
    assert run_job(tmp_path / "loop.mp4", ffmpeg=any_ffmpeg).code == "input_missing"
    assert run_job("x" * 5000, ffmpeg=any_ffmpeg).code == "input_missing"


@pytest.mark.parametrize("index_first", [True, False])
def test_half_a_film_is_noticed_although_ffmpeg_is_content(
    ffmpeg: str,
    make_clip: Callable[..., Path],
    tmp_path: Path,
    run_job: Callable[..., Any],
    index_first: bool,
) -> None:
    flags = ("-movflags", "+faststart") if index_first else ()
    whole = make_clip(f"whole{index_first}.mp4", *pattern("320x180", 8), *QUICK, *flags)
    source = tmp_path / "half.mp4"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    outcome = run_job(source, ffmpeg=ffmpeg, ladder=(144,))

    assert outcome.code == "input_invalid"
    assert ("of its 8.0 seconds" in outcome.failure.message) is index_first
    assert "damaged" in outcome.failure.message
    assert outcome.leftovers == []


@pytest.mark.parametrize("cover", [False, True])
def test_music_is_not_a_film_with_or_without_a_cover(
    ffmpeg: str, make_clip: Callable[..., Path], run_job: Callable[..., Any], cover: bool
) -> None:
    words = ["-f", "lavfi", "-i", "sine=duration=3"]
    if cover:
        words += ["-f", "lavfi", "-i", "color=red:size=100x100:duration=1:rate=1", "-map", "0"]
        words += ["-map", "1", "-frames:v", "1", "-disposition:v", "attached_pic", "-c:v", "mjpeg"]
    source = make_clip(f"music{cover}.m4a", *words, "-c:a", "aac", "-f", "mp4")
    outcome = run_job(source, ffmpeg=ffmpeg)

    assert outcome.code == "no_video"
    assert outcome.leftovers == []


@pytest.mark.parametrize("kind", ["folder", "full folder", "file", "dangling link"])
def test_a_target_that_exists_is_left_as_it_is(
    any_ffmpeg: str, clip: Path, tmp_path: Path, run_job: Callable[..., Any], kind: str
) -> None:
    target = tmp_path / "results" / "film"
    target.parent.mkdir()
    match kind:
        case "folder":
            target.mkdir()
        case "full folder":
            target.mkdir()
            (target / "mine.txt").write_text("mine")
        case "file":
            target.write_text("mine")
        case "dangling link":
            target.symlink_to(tmp_path / "nowhere")
    before = sorted(map(str, target.parent.rglob("*")))
    outcome = run_job(clip, ffmpeg=any_ffmpeg)

    assert outcome.code == "target_exists"
    assert sorted(map(str, target.parent.rglob("*"))) == before


def test_a_target_that_appears_in_the_meantime_is_left_as_it_is(
    any_ffmpeg: str, clip: Path, tmp_path: Path, run_job: Callable[..., Any]
) -> None:
    target = tmp_path / "results" / "film"

    def take_its_place(report: Any) -> None:
        if report.stage == "verifying" and not target.exists():
            target.mkdir()
            (target / "mine.txt").write_text("mine")

    outcome = run_job(clip, ffmpeg=any_ffmpeg, ladder=(144,), each=take_its_place)

    assert outcome.code == "target_exists"
    assert outcome.leftovers == ["film"]
    assert os.listdir(target) == ["mine.txt"]


def test_a_target_below_a_file_cannot_be_written(
    any_ffmpeg: str, clip: Path, run_job: Callable[..., Any]
) -> None:
    outcome = run_job(clip, target=clip / "film", ffmpeg=any_ffmpeg)

    assert outcome.code == "target_unwritable"
    assert outcome.leftovers == []


def test_folders_above_the_target_are_made(
    any_ffmpeg: str, clip: Path, tmp_path: Path, run_job: Callable[..., Any]
) -> None:
    target = tmp_path / "a" / "b" / "film"

    assert run_job(clip, target=target, ffmpeg=any_ffmpeg, ladder=(144,)).failure is None
    assert (target / "master.m3u8").exists()
    assert target.stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system of a given size; only root may."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        disk = tmp_path / f"disk{len(mounted)}"
        disk.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.fail(
                "this test fills a disk, and for that mounts a tmpfs: run it as root, in a "
                f"container with CAP_SYS_ADMIN ({done.stderr.strip()})"
            )
        mounted.append(disk)
        return disk

    yield mount
    for disk in mounted:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("room", "options"),
    [
        ("200k", {}),  # the HLS of 500 kB doesn't fit: ffmpeg returns 0
        ("900k", {"format": "mp4"}),  # the HLS fits, the MP4 doesn't: ffmpeg returns 1 or 228
    ],
)
def test_a_full_disk_is_called_by_its_name(
    ffmpeg: str,
    clip: Path,
    small_disk: Callable[[str], Path],
    run_job: Callable[..., Any],
    room: str,
    options: dict[str, Any],
) -> None:
    disk = small_disk(room)
    outcome = run_job(clip, target=disk / "film", ffmpeg=ffmpeg, ladder=(360,), **options)

    assert outcome.code == "disk_full"
    assert outcome.failure.message == "The disk is full."
    assert os.listdir(disk) == []
    stages = [report.stage for report in outcome.reports]
    assert ("packaging" in stages) is bool(options)


def test_a_disk_that_is_full_from_the_start_is_called_by_its_name(
    any_ffmpeg: str, clip: Path, small_disk: Callable[[str], Path], run_job: Callable[..., Any]
) -> None:
    disk = small_disk("64k")
    (disk / "filler").write_bytes(bytes(64 * 1024))
    outcome = run_job(clip, target=disk / "film", ffmpeg=any_ffmpeg)

    assert outcome.code == "disk_full"
    assert os.listdir(disk) == ["filler"]


def test_a_small_film_fits_on_a_small_disk(
    any_ffmpeg: str, clip: Path, small_disk: Callable[[str], Path], run_job: Callable[..., Any]
) -> None:
    outcome = run_job(clip, target=small_disk("900k") / "film", ffmpeg=any_ffmpeg, ladder=(144,))

    assert outcome.failure is None


def test_no_path_and_no_command_leaves_the_log(
    ffmpeg: str,
    tmp_path: Path,
    run_job: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And a name with a newline forges no entry in it."""
    source = tmp_path / "canary\nERROR forged entry.mp4"
    source.write_bytes(b"no video" * 100)
    outcome = run_job(source, ffmpeg=ffmpeg)

    assert outcome.code == "input_invalid"
    assert "canary" not in repr(outcome.failure) + repr(outcome.reports)
    texts = [r.getMessage() for r in caplog.records if r.name == "sseprog.ffmpeg"]
    assert any("canary" in text for text in texts)
    assert not any("\n" in text for text in texts)
