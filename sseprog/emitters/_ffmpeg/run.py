"""Run one ffmpeg: both pipes drained, its progress told, stalls noticed, never left behind."""

import contextlib
import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import IO, Final, cast

from ...errors import JobFailed
from .progress import ProgressParser, Reading
from .spawn import spawn

TICK: Final = 0.4
"""Seconds between two yields at the most: a job can be cancelled only where it yields."""

GRACE: Final = 5.0
"""Seconds between SIGTERM and SIGKILL; ffmpeg needs up to 2 to leave in good order."""

_HEAD: Final = 8 * 1024  # bytes of stderr: the cause comes first, the last line is general
_TAIL: Final = 4 * 1024


@dataclass(frozen=True, slots=True)
class Beat:
    """What a run tells at least every `TICK` seconds; ``quiet`` is how long nothing has moved."""

    reading: Reading
    quiet: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: ``returncode`` is negative for a signal; ``stderr`` may be shortened."""

    returncode: int
    stderr: str
    reading: Reading


def run(
    command: Sequence[str], *, cwd: str, stall_timeout: float, keep_stderr: int = _HEAD
) -> Generator[Beat, None, Ended]:
    """Run ``command`` in ``cwd`` and yield a `Beat` at least every `TICK` seconds.

    Closing the generator ends the whole process group: SIGTERM, `GRACE` seconds, SIGKILL. Raises
    `JobFailed` with code ``stalled`` if nothing moves for ``stall_timeout`` seconds, and with
    ``ffmpeg_missing`` if the program can't be started.
    """
    try:
        process = spawn(command, cwd)
    except OSError as error:
        raise JobFailed("ffmpeg can't be started.", code="ffmpeg_missing") from error
    output = _Output(process, keep_stderr, _names_in(command))
    try:
        moved, signs = time.monotonic(), output.reading.signs
        while not output.wait(TICK):
            now = time.monotonic()
            if output.reading.signs != signs:
                moved, signs = now, output.reading.signs
            if now - moved >= stall_timeout:
                raise JobFailed(
                    f"ffmpeg got nowhere for {stall_timeout:g} seconds, and was stopped.",
                    code="stalled",
                )
            yield Beat(output.reading, now - moved)
        return Ended(process.returncode, output.stderr, output.reading)
    finally:
        if process.returncode is None:
            _stop(process, output)
        output.close()


class _Output:
    """Two threads that empty a process's pipes as fast as it fills them, whoever is slow."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", keep: int, names: Sequence[bytes]
    ) -> None:
        self._process = process
        self._names = names
        self._parser = ProgressParser()
        self._head, self._tail, self._keep = bytearray(), bytearray(), keep
        self._news = threading.Event()
        # None only where no pipe was asked for.
        self._pipes = cast("tuple[IO[bytes], IO[bytes]]", (process.stdout, process.stderr))
        self._threads = [
            threading.Thread(target=self._drain, args=(pipe, take), daemon=True)
            for pipe, take in zip(
                self._pipes, (self._take_progress, self._take_stderr), strict=True
            )
        ]
        for thread in self._threads:
            thread.start()

    @property
    def reading(self) -> Reading:
        return self._parser.reading

    @property
    def stderr(self) -> str:
        """What was said; without the input's name, which may look like anything, or be a secret."""
        left_out = b"\n...\n" if len(self._head) == self._keep and self._tail else b""
        text = bytes(self._head + left_out + self._tail)
        for name in self._names:
            text = text.replace(name, b"INPUT")
        return text.decode("utf-8", "replace")

    def wait(self, seconds: float) -> bool:
        """Wait for progress, or for the end; return whether it is the end."""
        if any(thread.is_alive() for thread in self._threads):
            self._news.wait(seconds)
            self._news.clear()
            seconds = 0.0
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self.join(1.0)  # what was written last is still in the pipes
        return True

    def join(self, seconds: float) -> None:
        """Wait until nobody can write into the pipes any more, but no longer than ``seconds``."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """Let go of the pipes; a thread that is stuck (an heir holds its pipe) keeps its own."""
        self.join(0.2)
        for thread, pipe in zip(self._threads, self._pipes, strict=True):
            if not thread.is_alive():
                pipe.close()

    def _drain(self, pipe: IO[bytes], take: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := pipe.read(65536):
                take(data)
        self._news.set()

    def _take_progress(self, data: bytes) -> None:
        self._parser.feed(data)
        self._news.set()

    def _take_stderr(self, data: bytes) -> None:
        room = self._keep - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[:-_TAIL]


def _names_in(command: Sequence[str]) -> list[bytes]:
    """List what a command's inputs may be called in its messages, the longest first."""
    inputs = [word for before, word in itertools.pairwise(command) if before == "-i"]
    names = [os.fsencode(name) for word in inputs for name in (word, word.removeprefix("file:"))]
    # av_log() writes some control characters as question marks.
    odd = bytes(range(0x08)) + bytes(range(0x0E, 0x20))
    return [*names, *(name.translate(bytes.maketrans(odd, b"?" * len(odd))) for name in names)]


def _stop(process: "subprocess.Popen[bytes]", output: _Output) -> None:
    """End the process and all that it started, and wait until it is gone."""
    _signal_group(process, signal.SIGTERM)
    # Not process.wait: collecting the leader would set the group's number free for others, before
    # the last signal is sent to it. Once all of the group have ended, nobody holds the pipes.
    output.join(GRACE)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
