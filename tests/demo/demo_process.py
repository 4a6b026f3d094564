"""``sseprog demo`` as a process of its own, as a person starts it."""

import os
import re
import select
import signal
import subprocess
import sysconfig
import threading
import time
from pathlib import Path
from typing import IO

import httpx

COMMAND = Path(sysconfig.get_path("scripts"), "sseprog")


def environment(temporary: Path) -> dict[str, str]:
    """Give what a person has, without a screen."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("SSEPROG_")}
    for name in "DISPLAY", "WAYLAND_DISPLAY", "FORCE_COLOR", "NO_COLOR":
        ours.pop(name, None)
    return ours | {"TMPDIR": str(temporary)}


class DemoProcess:
    """One demo; what it prints is collected as it comes."""

    def __init__(self, *arguments: object, temporary: Path, port: int = 0) -> None:
        self.temporary = temporary
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._news = threading.Condition()
        self._open = 2
        self.process = subprocess.Popen(
            [COMMAND, "demo", *map(str, arguments), "--no-browser", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(temporary),
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, lines))
            for pipe, lines in (
                (self.process.stdout, self.lines),
                (self.process.stderr, self.errors),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: IO[str], lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._open -= 1
            self._news.notify_all()

    def line(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        """Wait for a line on stdout."""

        def found() -> re.Match[str] | None:
            return next((m for line in self.lines if (m := re.search(pattern, line))), None)

        with self._news:
            self._news.wait_for(lambda: found() or not self._open, seconds)
            match = found()
        assert match, f"no line like {pattern!r}: {self.lines} {self.errors}"
        return match

    @property
    def url(self) -> str:
        """Where it is, with a slash at the end."""
        return self.line(r"^The demo is at (\S+)$")[1]

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 0

    @property
    def output(self) -> Path:
        return Path(self.line(r"^Finished files .* (\S+)$")[1])

    def ffmpegs(self) -> list[int]:
        """List the programs that it runs at the moment."""
        return children_of(self.process.pid)

    def end(self, number: int = signal.SIGTERM, seconds: float = 10) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float = 10) -> int:
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(10)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.wait()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        assert "Traceback" not in "\n".join(self.errors), "\n".join(self.errors)


def tracebacks(demo: DemoProcess) -> list[str]:
    """Take the tracebacks out of what a demo has said."""
    found = [line for line in demo.errors if "Traceback" in line]
    if found:
        demo.errors.clear()
    return found


def children_of(pid: int) -> list[int]:
    """List the processes that ``pid`` has started and that still run."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in found if " Z" not in line]


class Witness:
    """Watch processes that are not our children; a number may be used again, this can't be."""

    def __init__(self, pids: list[int]) -> None:
        self._files = [os.pidfd_open(pid) for pid in pids]

    def all_gone(self, seconds: float) -> bool:
        """Wait until all of them have ended, for so long at the most."""
        deadline = time.monotonic() + seconds
        return all(
            select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]
            for file in self._files
        )

    def __enter__(self) -> "Witness":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            os.close(file)
