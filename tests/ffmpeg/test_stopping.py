"""Cancelled, killed, orphaned: ffmpeg never outlives its job, and the target stays clean."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sseprog.emitters.ffmpeg import transcode
from sseprog.errors import JobFailed
from sseprog.progress import Progress


def until(job: Iterator[Progress], wanted: Callable[[Progress], bool]) -> Progress:
    return next(report for report in job if wanted(report))


def is_encoding(report: Progress) -> bool:
    return report.stage.startswith("transcoding") and bool(report.details["size"])


def test_closing_the_generator_ends_ffmpeg_and_removes_its_work(
    ffmpeg: str, long_clip: Path, tmp_path: Path, ffmpegs_of_ours: Callable[[], list[int]]
) -> None:
    job = transcode(long_clip, tmp_path / "film", ffmpeg=ffmpeg, ladder=(480,))
    until(job, is_encoding)
    assert len(ffmpegs_of_ours()) == 1
    assert len(os.listdir(tmp_path)) == 1
    job.close()

    assert ffmpegs_of_ours() == []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("stage", ["probing", "packaging", "thumbnails", "verifying"])
def test_a_job_can_be_closed_in_every_stage(
    any_ffmpeg: str,
    clip: Path,
    tmp_path: Path,
    ffmpegs_of_ours: Callable[[], list[int]],
    stage: str,
) -> None:
    job = transcode(clip, tmp_path / "film", ffmpeg=any_ffmpeg, ladder=(144,), format="mp4")
    until(job, lambda report: report.stage == stage)
    job.close()

    assert ffmpegs_of_ours() == []
    assert os.listdir(tmp_path) == []


def test_a_job_that_was_never_begun_leaves_nothing(
    any_ffmpeg: str, clip: Path, tmp_path: Path
) -> None:
    transcode(clip, tmp_path / "film", ffmpeg=any_ffmpeg).close()

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_ffmpeg_that_somebody_kills_is_reported_as_killed(
    ffmpeg: str,
    long_clip: Path,
    tmp_path: Path,
    ffmpegs_of_ours: Callable[[], list[int]],
    number: signal.Signals,
) -> None:
    job = transcode(long_clip, tmp_path / "film", ffmpeg=ffmpeg, ladder=(480,))
    until(job, is_encoding)
    [pid] = ffmpegs_of_ours()
    os.kill(pid, number)

    with pytest.raises(JobFailed) as caught:
        list(job)
    assert caught.value.code == "killed"
    assert os.listdir(tmp_path) == []


def test_a_job_outlives_the_thread_that_began_it(
    any_ffmpeg: str, long_clip: Path, tmp_path: Path
) -> None:
    """The kernel's "tell me when my parent dies" means the parent's thread."""
    job = transcode(long_clip, tmp_path / "film", ffmpeg=any_ffmpeg, ladder=(144,))
    beginner = threading.Thread(target=until, args=(job, lambda r: r.stage.startswith("trans")))
    beginner.start()
    beginner.join()

    assert [report.stage for report in job][-1] == "verifying"
    assert (tmp_path / "film" / "master.m3u8").exists()


def test_a_job_works_in_a_forked_child(any_ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    """As in a pre-forking server that made a film before it forked."""
    program = (
        "import os, sys\n"
        "from sseprog.emitters.ffmpeg import transcode\n"
        "source, target, ffmpeg = sys.argv[1:]\n"
        "list(transcode(source, target + '/1', ffmpeg=ffmpeg, ladder=(144,)))\n"
        "if not (pid := os.fork()):\n"
        "    list(transcode(source, target + '/2', ffmpeg=ffmpeg, ladder=(144,)))\n"
        "    os._exit(0)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, clip, tmp_path, any_ffmpeg],
        check=True,
        timeout=60,
    )
    assert sorted(os.listdir(tmp_path)) == ["1", "2"]


def test_ffmpeg_dies_with_a_worker_that_was_killed(
    ffmpeg: str, long_clip: Path, tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "from sseprog.emitters.ffmpeg import transcode\n"
        "source, target, ffmpeg = sys.argv[1:]\n"
        "for report in transcode(source, target, ffmpeg=ffmpeg, ladder=(480,)):\n"
        "    if report.details['size']:\n"
        "        print('encoding', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, long_clip, tmp_path / "film", ffmpeg],
        stdout=subprocess.PIPE,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"encoding\n"
        [pid] = child_pids(worker.pid)
        orphan = os.pidfd_open(pid)
        worker.kill()
    try:
        assert select.select([orphan], [], [], 5)[0], "ffmpeg ran on"
    finally:
        os.close(orphan)


def child_pids(pid: int) -> list[int]:
    words: Any = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(pid)], text=True)
    return [int(word) for word in words.split()]
