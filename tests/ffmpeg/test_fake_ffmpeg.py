"""What real ffmpegs can't be made to do, by a fake one that follows a scenario."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sseprog.emitters.ffmpeg import transcode
from sseprog.errors import JobFailed


@pytest.fixture
def act(any_ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a fake's path after it was told its part."""
    fake = tmp_path / "bin" / "ffmpeg"
    fake.parent.mkdir()
    script = Path(__file__).with_name("fake_ffmpeg.py").read_text()
    fake.write_text(f"#!{sys.executable}\n{script}")
    fake.chmod(0o755)

    def take(*steps: tuple[object, ...], probe: str | None = None) -> str:
        monkeypatch.setenv("REAL_FFMPEG", any_ffmpeg)
        monkeypatch.setenv("FAKE_FFMPEG", json.dumps(steps))
        if probe is not None:
            monkeypatch.setenv("FAKE_PROBE", probe)
        return str(fake)

    return take


def block(**values: object) -> tuple[str, str]:
    """Write a block of ``-progress`` as ffmpeg does."""
    lines = [f"{key}={value}\n" for key, value in values.items()]
    return "out", "".join(lines) + "progress=continue\n"


def test_a_run_without_progress_is_stopped(
    act: Callable[..., str], clip: Path, run_job: Callable[..., Any]
) -> None:
    fake = act(block(frame=10, out_time_us=400_000, speed="1.00x"), ("wait", 600))
    outcome = run_job(clip, ffmpeg=fake, stall_timeout=1.5)

    assert outcome.code == "stalled"
    assert "1.5 seconds" in outcome.failure.message
    assert outcome.leftovers == []


def test_falling_speed_is_no_sign_of_life(
    act: Callable[..., str], clip: Path, run_job: Callable[..., Any]
) -> None:
    steps: list[tuple[object, ...]] = []
    for speed in range(40, 1, -1):
        steps += [block(frame=10, out_time_us=400_000, speed=f"{speed / 10}x"), ("wait", 0.2)]
    fake = act(*steps, ("work",))
    outcome = run_job(clip, ffmpeg=fake, stall_timeout=1.5, ladder=(144,))

    assert outcome.code == "stalled"


def test_a_slow_run_that_gets_on_is_left_alone(
    act: Callable[..., str], clip: Path, run_job: Callable[..., Any]
) -> None:
    steps: list[tuple[object, ...]] = []
    for n in range(8):
        steps += [block(frame=10 + n, out_time_us="N/A"), ("wait", 0.3)]
    fake = act(*steps, ("work",), ("exit", 0))
    outcome = run_job(clip, ffmpeg=fake, stall_timeout=2, ladder=(144,))

    assert outcome.failure is None


def test_waiting_is_said_before_it_is_given_up(
    act: Callable[..., str], clip: Path, run_job: Callable[..., Any]
) -> None:
    fake = act(block(frame=10, out_time_us=400_000), ("wait", 600))
    outcome = run_job(clip, ffmpeg=fake, stall_timeout=3)

    assert outcome.code == "stalled"
    assert "waiting for ffmpeg" in outcome.reports[-1].message
    assert "0:00 of 0:05" in [report.message for report in outcome.reports]


def test_odd_progress_moves_nothing_backwards(
    act: Callable[..., str], clip: Path, run_job: Callable[..., Any]
) -> None:
    fake = act(
        block(frame=0, fps="0.00", out_time_us="-9223372036854775807", speed="N/A"),
        ("wait", 0.5),
        block(frame=60, fps="30.5", out_time_us=2_500_000, speed="2.86e+03x"),
        ("wait", 0.5),
        block(frame=50, fps="30.5", out_time_us="N/A", out_time="N/A", speed="   0x"),
        ("wait", 0.5),
        block(frame=61, fps="30.5", out_time_us=1_000_000, speed="1x"),
        ("wait", 0.5),
        block(frame=62, out_time_us=900_000_000, total_size="N/A"),
        ("wait", 0.5),
        ("out", "progress=end\n"),
        ("work",),
    )
    outcome = run_job(clip, ffmpeg=fake, ladder=(144,))  # checks that it is monotone

    assert outcome.failure is None
    stage = [
        next(s["progress"] for s in r.details["stages"] if s["name"] == "transcoding 144p")
        for r in outcome.reports
        if r.stage == "transcoding 144p"
    ]
    known = [share for share in stage if share is not None]
    assert known == sorted(known)
    assert 50 in known
    assert None in stage, "at 900 s of 5, nobody knows how far it is"
    assert max(r.details["speed"] or 0 for r in outcome.reports) == 2860


def test_a_flood_on_both_pipes_blocks_nobody_while_nobody_asks(
    act: Callable[..., str], clip: Path, tmp_path: Path
) -> None:
    """A consumer that takes its time must not hold up ffmpeg: pipes hold 64 kB."""
    fake = act(
        ("flood", 2, 1_000_000), ("flood", 1, 1_000_000), ("make", "../../flooded", ""), ("work",)
    )
    job = transcode(clip, tmp_path / "film", ffmpeg=fake, ladder=(144,))
    next(report for report in job if report.stage == "transcoding 144p")
    next(job)
    deadline = time.monotonic() + 10
    while not (tmp_path / "flooded").exists():  # and nobody iterates
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert [report.stage for report in job][-1] == "verifying"


def test_of_a_flood_of_errors_the_log_gets_the_first_and_the_last(
    act: Callable[..., str],
    clip: Path,
    run_job: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = act(("err", "first cause\n"), ("flood", 2, 500_000), ("err", "last word\n"), ("exit", 1))
    outcome = run_job(clip, ffmpeg=fake)

    assert outcome.code == "transcode_failed"
    record, whose = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert str(clip) in whose.getMessage()
    assert "first cause" in record.getMessage()
    assert "last word" in record.getMessage()
    assert len(record.getMessage()) < 20_000


SPOILT: dict[str, tuple[tuple[object, ...], ...]] = {
    "nothing was written": (),
    "an empty playlist": (("make", "index.m3u8", ""),),
    "no segments listed": (("make", "index.m3u8", "#EXTM3U\n#EXT-X-ENDLIST\n"),),
    "no end": (("work",), ("spoil", "index.m3u8", 150)),
    "a segment is missing": (("work",), ("spoil", "00001.ts", 0)),
    "a segment is empty": (("work",), ("blank", "00001.ts")),
    "a segment is cut in a packet": (("work",), ("spoil", "00001.ts", 5000)),
    "a segment is cut between packets": (("work",), ("spoil", "00000.ts", 188 * 20)),
    "a segment elsewhere": (
        ("make", "index.m3u8", "#EXTM3U\n#EXTINF:5,\n../../../x.ts\n#EXT-X-ENDLIST\n"),
    ),
    "no picture in it": (
        ("make", "00000.ts", "x" * 188),
        ("make", "index.m3u8", "#EXTM3U\n#EXTINF:5,\n00000.ts\n#EXT-X-ENDLIST\n"),
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_neither_0_nor_progress_end_is_success(
    act: Callable[..., str], clip: Path, run_job: Callable[..., Any], case: str
) -> None:
    end = block(out_time_us=5_000_000, frame=125), ("out", "progress=end\n"), ("exit", 0)
    fake = act(*SPOILT[case], *end)
    outcome = run_job(clip, ffmpeg=fake, ladder=(144,))

    assert outcome.code == "output_invalid"
    assert outcome.leftovers == []


def test_a_run_that_closes_its_pipes_early_is_waited_for(
    act: Callable[..., str], clip: Path, run_job: Callable[..., Any]
) -> None:
    fake = act(("close", 1), ("close", 2), ("wait", 1), ("work",))
    outcome = run_job(clip, ffmpeg=fake, ladder=(144,))

    assert outcome.failure is None


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([("err", "Unknown encoder 'libx264'\nError opening output files\n"), ("exit", 8)],
         "codec_missing"),
        ([("err", "[x @ 0x1] No space left on device\n"), ("exit", 1)], "disk_full"),
        ([("exit", 228)], "disk_full"),
        ([("err", "Cannot allocate memory\n"), ("exit", 1)], "no_memory"),
        ([("die of", 11)], "killed"),
        ([("die of", 9)], "killed"),
        ([("exit", 255)], "killed"),
        ([("err", "something new\n"), ("exit", 187)], "transcode_failed"),
        ([("err", "\xff\x1b[31m\r\n\0"), ("exit", 1)], "transcode_failed"),
    ],
)  # fmt: skip
def test_a_failure_gets_a_code_and_a_sentence(
    act: Callable[..., str],
    clip: Path,
    run_job: Callable[..., Any],
    steps: list[tuple[object, ...]],
    code: str,
) -> None:
    outcome = run_job(clip, ffmpeg=act(*steps))

    assert outcome.code == code
    assert outcome.failure.message.endswith(".")
    assert outcome.failure.message.isprintable()


def test_one_that_ignores_sigterm_is_killed_with_all_its_children(
    act: Callable[..., str], clip: Path, tmp_path: Path
) -> None:
    fake = act(
        ("ignore SIGTERM",), ("have a child",), block(frame=1, out_time_us=40_000), ("wait", 600)
    )
    job = transcode(clip, tmp_path / "film", ffmpeg=fake, ladder=(144,))
    next(report for report in job if "0:00 of" in report.message)
    group = next(pgid for pid, pgid in children() if pgid == pid)
    assert len(alive(group)) == 2
    began = time.monotonic()
    job.close()

    assert 4 < time.monotonic() - began < 7  # it was given its 5 s
    deadline = time.monotonic() + 2
    while alive(group):
        assert time.monotonic() < deadline
    assert os.listdir(tmp_path) == ["bin"]


def ps(*words: str) -> list[list[str]]:
    return [
        line.split() for line in subprocess.check_output(["ps", *words], text=True).splitlines()
    ]


def children() -> list[tuple[int, int]]:
    return [
        (int(pid), int(pgid)) for pid, pgid in ps("-o", "pid=,pgid=", "--ppid", str(os.getpid()))
    ]


def alive(group: int) -> list[str]:
    """List the processes of a group but those that only wait to be collected."""
    return [
        pid
        for pid, pgid, stat in ps("-eo", "pid=,pgid=,stat=")
        if pgid == str(group) and stat[0] != "Z"
    ]


def test_an_ffmpeg_that_has_gone_is_a_failure_of_the_job(
    act: Callable[..., str], clip: Path, tmp_path: Path
) -> None:
    fake = act()
    job = transcode(clip, tmp_path / "film", ffmpeg=fake)
    shutil.rmtree(tmp_path / "bin")

    with pytest.raises(JobFailed, match="can't be started") as caught:
        list(job)
    assert caught.value.code == "ffmpeg_missing"


def test_metadata_cannot_pose_as_a_stream(
    act: Callable[..., str], clip: Path, run_job: Callable[..., Any]
) -> None:
    probe = (
        "Input #0, matroska,webm, from 'file:x':\n"
        "  Metadata:\n"
        "    Stream #0:7: Video: h264, yuv420p, 99999x99999: x\n"
        "    title           : a\n"
        "                    :   Stream #0:8: Video: h264, yuv420p, 99999x99999\n"
        "    Duration: 09:00:00.00 : x\n"
        "  Duration: 00:00:05.00, start: 0.000000, bitrate: 744 kb/s\n"
        "  Stream #0:0: Video: h264 (High), yuv420p, 640x360, 25 fps, 25 tbr, 1k tbn\n"
    )
    outcome = run_job(clip, ffmpeg=act(("work",), probe=probe), ladder=(144,))

    assert outcome.failure is None
    assert outcome.details["rungs"][0]["width"] == 256
