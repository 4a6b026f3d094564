"""Start programs that die with us, even if we are killed with -9."""

import functools
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

_Request = tuple[Future["subprocess.Popen[bytes]"], Sequence[str], str]

_lock = threading.Lock()
_requests: queue.SimpleQueue[_Request] | None = None


def spawn(command: Sequence[str], cwd: str) -> "subprocess.Popen[bytes]":
    """Start ``command`` in ``cwd``: its own process group, no stdin, pipes for its output.

    Where util-linux has ``setpriv`` (Linux), the kernel kills the program when the *thread* that
    started it ends. That thread therefore is one of ours, which lives as long as the process; a
    worker's own thread may end in the middle of a job. Raises `OSError` as `subprocess.Popen`.
    """
    request: _Request = (Future(), command, cwd)
    _spawner().put(request)
    return request[0].result()


def _spawner() -> "queue.SimpleQueue[_Request]":
    global _requests
    with _lock:
        if _requests is None:
            _requests = queue.SimpleQueue()
            # Not of a pool: a pool's threads end before the interpreter's other threads do.
            threading.Thread(
                target=_serve, args=(_requests,), name="sseprog-ffmpeg-spawner", daemon=True
            ).start()
        return _requests


def _forget() -> None:
    """Start anew in a forked child (a pre-forking server's worker): threads aren't inherited."""
    global _lock, _requests
    _lock, _requests = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)


def _serve(requests: "queue.SimpleQueue[_Request]") -> None:
    while True:
        future, command, cwd = requests.get()
        try:
            future.set_result(_start(command, cwd))
        except BaseException as error:  # belongs to the thread that asked
            future.set_exception(error)


def _start(command: Sequence[str], cwd: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*_dies_with_us(), *command],
        cwd=cwd,
        env=_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Leave out FFREPORT, which makes ffmpeg write a log file, and ask for plain English."""
    return {k: v for k, v in ours.items() if k != "FFREPORT"} | {
        "LC_ALL": "C",
        "AV_LOG_FORCE_NOCOLOR": "1",
    }


@functools.cache
def _dies_with_us() -> tuple[str, ...]:
    """Give the words to put before a command; none where they don't work (BusyBox, macOS)."""
    setpriv = shutil.which("setpriv")
    words = (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
    if words and subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        return ()
    return words
