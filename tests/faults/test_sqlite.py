"""What breaks with a file: the process that writes to it, the disk, a lock."""

import random
import resource
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from .scene import Scene


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def test_without_a_fault_every_client_sees_every_event(url: str, tmp_path: Path) -> None:
    with Scene(url, tmp_path) as scene:
        scene.go_on()


def test_a_lock_that_is_held_for_seconds_holds_up_no_job(
    url: str, path: Path, tmp_path: Path
) -> None:
    with Scene(url, tmp_path) as scene:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as other:
            scene.fault_begins()
            other.execute("BEGIN IMMEDIATE")
            time.sleep(8)
            other.execute("COMMIT")
        scene.go_on()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_writer_that_is_killed_leaves_a_file_that_the_next_goes_on_with(
    url: str, path: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    with Scene(url, tmp_path, seed=seed) as scene:
        for _ in range(6):
            scene.fault_begins()
            scene.emitter.kill()
            with closing(sqlite3.connect(path)) as looking:
                assert looking.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            scene.start_emitter()
            scene.wait_begun()
            scene.fault_ends()
            time.sleep(chance.uniform(0, 0.1))
        scene.go_on()


def test_a_full_disk_harms_no_job_and_is_named_in_the_log(
    url: str, path: Path, tmp_path: Path
) -> None:
    with Scene(url, tmp_path) as scene:
        scene.fault_begins()
        room = (path.with_name(f"{path.name}-wal").stat().st_size, resource.RLIM_INFINITY)
        pid = scene.emitter.process.pid
        unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE, room)
        time.sleep(5)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
        assert "can't be used; reports wait" in scene.emitter.log
        assert "disk" in scene.emitter.log
        scene.go_on()


def test_a_file_that_is_removed_is_made_anew(url: str, path: Path, tmp_path: Path) -> None:
    with Scene(url, tmp_path) as scene:
        scene.fault_begins()
        for file in tmp_path.glob(f"{path.name}*"):
            file.unlink()
        scene.go_on()
