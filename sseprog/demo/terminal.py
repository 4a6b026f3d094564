"""The progress of one job in the terminal, from the same stream that the page reads."""

import json
import threading
from collections.abc import Iterator
from typing import Any, Final

import httpx
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

__all__ = ["watch"]

_PAUSE: Final = 1.0  # seconds before a new connection
_TERMINAL: Final = {"complete", "error"}
_FRAMES_A_SECOND: Final = 8
_OUTCOMES: Final = {
    "completed": ("✓", "green"),
    "cancelled": ("■", "yellow"),
    "failed": ("✗", "red"),
    "lost": ("✗", "red"),
}


def watch(url: str, name: str, console: Console, stopping: threading.Event) -> None:
    """Draw the job until it has ended, or ``stopping`` is set.

    Where the output is no terminal, a line is printed for each stage instead.
    """
    if not console.is_terminal:
        _print_stages(url, name, console, stopping)
        return
    view = _View(name)
    with Live(view, console=console, refresh_per_second=_FRAMES_A_SECOND):
        for job in states(url, stopping):
            view.job = job


def states(url: str, stopping: threading.Event) -> Iterator[dict[str, Any]]:
    """Yield the ``data`` of each event; after a cut, go on where it was. Ends with the job."""
    cursor = ""
    # Not by a proxy that the environment names: the server is in this very process.
    with httpx.Client(timeout=httpx.Timeout(10.0, read=60.0), trust_env=False) as client:
        while not stopping.is_set():
            headers = {"Accept": "text/event-stream"}
            if cursor:
                headers["Last-Event-ID"] = cursor
            try:
                with client.stream("GET", url, headers=headers) as response:
                    if response.status_code != httpx.codes.OK:  # 204 and 404: nothing is left
                        return
                    for frame in _frames(response.iter_bytes()):
                        cursor = frame.get("id", cursor)
                        if "data" in frame:
                            yield json.loads(frame["data"])
                        if frame.get("event") in _TERMINAL:
                            return
            except httpx.TransportError:  # as a browser does: come back
                pass
            stopping.wait(_PAUSE)


def _frames(chunks: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """Split a stream into its frames, each by its fields; comments are left out."""
    buffer = b""
    for chunk in chunks:
        # At LF alone: JSON may hold U+2028, at which str.splitlines() splits as well.
        *frames, buffer = (buffer + chunk).split(b"\n\n")
        for frame in frames:
            lines = (line.partition(": ") for line in frame.decode().split("\n"))
            yield {field: value for field, _, value in lines if field}


def _print_stages(url: str, name: str, console: Console, stopping: threading.Event) -> None:
    stage = ""
    for job in states(url, stopping):
        if job["status"] in _OUTCOMES:
            text = job["message"] if job["status"] != "completed" else ""
            console.print(Text(f"{name}: {job['status']} {text}".rstrip()))
        elif job["stage"] != stage:
            stage = job["stage"]
            console.print(Text(f"{name}: {stage}"))


class _View:
    """Draw the newest state, as often as rich asks."""

    def __init__(self, name: str) -> None:
        self.job: dict[str, Any] = {"status": "pending", "details": {}}
        self._name = name
        self._spinner = Spinner("dots", style="cyan")

    def __rich__(self) -> RenderableType:
        job = self.job
        ended = job["status"] in _OUTCOMES
        rows = Table.grid(padding=(0, 1))
        for stage in job["details"].get("stages", []):
            rows.add_row(*self._stage(stage, running=not ended and stage["name"] == job["stage"]))
        parts: list[RenderableType] = [Text(self._name, style="bold")]
        if rows.row_count:
            parts.append(rows)
        if ended:
            sign, colour = _OUTCOMES[job["status"]]
            what = job["message"] if job["status"] != "completed" else "completed"
            parts.append(Text(f"{sign} {what}", style=colour))
        else:
            parts.append(self._whole(job))
        return Group(*parts)

    def _stage(self, stage: dict[str, Any], *, running: bool) -> list[RenderableType]:
        progress = stage["progress"]
        if running:
            percent = "" if progress is None else f"{progress:.0f} %"
            return [self._spinner, Text(stage["name"]), Text(percent, style="cyan")]
        done = progress == 100
        sign = Text("✓", style="green") if done else Text("·", style="dim")
        return [sign, Text(stage["name"], style="" if done else "dim"), Text("")]

    def _whole(self, job: dict[str, Any]) -> RenderableType:
        progress, eta = job.get("progress"), job.get("eta")
        speed = job["details"].get("speed")
        facts = [
            "" if progress is None else f"{progress:.1f} %",
            "" if speed is None else f"{speed:.2f} times real time",
            "" if eta is None else f"about {_coarse(eta)} left",
            job.get("message", "") if job["status"] == "pending" else "",
        ]
        bar = ProgressBar(
            total=100, completed=progress or 0, width=40, pulse=progress is None and eta is None
        )
        line = Table.grid(padding=(0, 1))
        line.add_row(bar, Text("  ".join(fact for fact in facts if fact)))
        return line


def _coarse(seconds: float) -> str:
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{max(5, 5 * round(seconds / 5))} s"
