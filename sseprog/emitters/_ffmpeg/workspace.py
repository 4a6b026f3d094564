"""The hidden folder that a job works in, and the one step that makes it the target."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...errors import JobFailed
from .failure import DISK_FULL

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_TRIED: Final = 64 * 1024  # bytes: less than a segment, which leaves none when it does not fit


@contextlib.contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """Give a new hidden folder beside ``target``, and remove it with all it holds at the end.

    Beside it, since only within one file system a folder can be renamed in one step. Raises
    `JobFailed` with code ``target_exists``, ``target_unwritable`` or ``disk_full``.
    """
    if os.path.lexists(target):
        raise _exists()
    work = target.parent / f".{target.name[:40]}.part-{secrets.token_hex(4)}"
    made = [folder for folder in target.parents if not folder.exists()]
    try:
        with _as_job_failure():
            target.parent.mkdir(parents=True, exist_ok=True)
            work.mkdir()
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):  # it holds something: the target, to begin with
                folder.rmdir()


def publish(work: Path, target: Path) -> None:
    """Make ``work`` the target, in one step; raises `JobFailed` as `workspace` does."""
    if os.path.lexists(target):
        raise _exists()
    try:
        work.rename(target)
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
            raise _exists() from error
        raise _unwritable() from error


def make_folder(path: Path) -> None:
    """Make a folder; raises `JobFailed` as `workspace` does."""
    with _as_job_failure():
        path.mkdir()


def write_text(path: Path, text: str) -> None:
    """Write a file; raises `JobFailed` as `workspace` does."""
    with _as_job_failure():
        path.write_text(text, "utf-8")


def is_full(folder: Path) -> bool:
    """Say whether the disk, or the quota, has no room: found out by a try, not by a number.

    ffmpeg's HLS goes on writing nothing and returns 0.
    """
    probe = folder / ".room"
    try:
        with probe.open("wb") as file:
            file.write(bytes(_TRIED))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in _FULL
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return False


def is_nearly_full(folder: Path) -> bool:
    """Say whether the disk has less room left than `is_full` tries; cheap enough to ask often.

    Only a hint: some file systems keep the number vaguely, and quotas don't show in it.
    """
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return free * found.f_frsize < _TRIED


@contextlib.contextmanager
def _as_job_failure() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise JobFailed(DISK_FULL, code="disk_full") from error
        raise _unwritable() from error


def _exists() -> JobFailed:
    return JobFailed("The target exists already; nothing was changed.", code="target_exists")


def _unwritable() -> JobFailed:
    return JobFailed("The target can't be written.", code="target_unwritable")
