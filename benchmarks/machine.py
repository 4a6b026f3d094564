"""The machine that is measured on: its cores, and what a tree of processes takes of them."""

import os
import platform
import re
import resource
import shutil
import socket
import time
from pathlib import Path

__all__ = [
    "Cannot",
    "cpu",
    "described",
    "free_port",
    "memory",
    "open_files",
    "pinned",
    "raise_limit",
    "tree",
]


class Cannot(Exception):
    """Something can't be measured here; the text says why, and what would cure it."""


def pinned(core: int) -> list[str]:
    """Return what keeps a command on a core, put before it: 0 is the client's, 1 the server's."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Cannot("client and server need a core each, and there is one: use a larger machine")
    if not shutil.which("taskset"):
        raise Cannot("taskset is missing: apt install util-linux")
    return ["taskset", "-c", str(cores[core])]


def raise_limit(wanted: int) -> None:
    """Allow this process and its children ``wanted`` open files. Raises `Cannot`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Cannot(f"{wanted:,} open files are needed, {hard:,} allowed: ulimit -Hn {wanted}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def open_files() -> int:
    """Return how many files a process may have open at the most."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def tree(pid: int) -> list[int]:
    """Return a process and its descendants, those that still run."""
    found = [pid]
    for each in found:  # which grows
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, _read(task).split())
    return found


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process and its descendants have taken."""
    total = 0.0
    for each in tree(pid):
        try:
            total += time.clock_gettime((~each << 3) | 2)  # its clock: clock_getcpuclockid(3)
        except OSError:  # it has ended
            continue
    return total


def memory(pid: int) -> int:
    """Return the bytes of memory of a process and its descendants; shared pages are shared out."""
    text = "".join(_read(Path(f"/proc/{each}/smaps_rollup")) for each in tree(pid))
    return 1024 * sum(map(int, re.findall(r"^Pss: +(\d+)", text, re.MULTILINE)))


def described() -> str:
    """Describe the machine in general terms."""
    model = re.search(r"^model name\s*: (.+)$", _read(Path("/proc/cpuinfo")), re.MULTILINE)
    cores = len(os.sched_getaffinity(0))
    kind = model[1].strip() if model else platform.machine()
    return f"{cores} cores, {kind}, Linux {'.'.join(platform.release().split('.')[:2])}"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # its process has ended
        return ""
