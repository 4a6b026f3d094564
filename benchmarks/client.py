"""The load client, from Python: compiled at first use, started, and asked for what it saw."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from .machine import Cannot, pinned

__all__ = ["Client", "compiled"]

SOURCES = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sseprog-benchmarks"


def compiled(source: str) -> str:
    """Return the path of a C program, compiled unless that has been done. Raises `Cannot`."""
    text = (SOURCES / source).read_bytes()
    program = CACHE / f"{Path(source).stem}-{hashlib.sha256(text).hexdigest()[:12]}"
    if not program.exists():
        if not shutil.which("cc"):
            raise Cannot("there is no C compiler, cc: apt install gcc libc6-dev")
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-o", fresh, SOURCES / source], check=True)
        fresh.rename(program)
    return str(program)


class Client:
    """One run of the client: it opens its streams, and counts and reports when it is told to."""

    def __init__(
        self, port: int, path: str, streams: int, seconds: float, **options: float
    ) -> None:
        given = [f"{name}={value:g}" for name, value in options.items() if value]
        program = compiled("client.c")
        self._command = [*pinned(0), program, str(port), path, str(streams), str(seconds), *given]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def opened(self) -> Mapping[str, Any]:
        """Wait until all streams are open, or a minute is over."""
        return self._line()

    def count(self) -> None:
        """Count what comes from now on."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def seen(self) -> Mapping[str, Any]:
        """Wait for the end of the run."""
        return self._line()

    def _line(self) -> Mapping[str, Any]:
        assert self._process.stdout
        assert self._process.stderr
        line = self._process.stdout.readline()
        if not line:
            said = self._process.stderr.read().strip() or "it ended without a word"
            raise Cannot(f"the load client failed: {said}")
        return dict(json.loads(line))
