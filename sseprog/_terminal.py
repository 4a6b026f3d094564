"""Draw the progress of one job in the terminal."""

from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

__all__ = ["draw"]

_FRAMES_A_SECOND: Final = 8
_OUTCOMES: Final = {
    "completed": ("✓", "green"),
    "cancelled": ("■", "yellow"),
    "failed": ("✗", "red"),
    "lost": ("✗", "red"),
}


def draw(states: Iterator[dict[str, Any]], name: str, console: Console) -> None:
    """Draw each state of a job as it comes, to the last.

    Where the output is no terminal, a line is printed for each stage instead.
    """
    states = map(_printable, states)
    if not console.is_terminal:
        _print_stages(states, name, console)
        return
    view = _View(name)
    with Live(view, console=console, refresh_per_second=_FRAMES_A_SECOND):
        for job in states:
            view.job = job


def _printable(value: Any) -> Any:
    """Leave out what a terminal would obey: the states may be another server's."""
    if isinstance(value, str):
        return "".join(c for c in value if c.isprintable() or c == "\n")
    if isinstance(value, dict):
        return {name: _printable(part) for name, part in value.items()}
    return [_printable(part) for part in value] if isinstance(value, list) else value


def _print_stages(states: Iterator[dict[str, Any]], name: str, console: Console) -> None:
    said = ""
    for job in states:
        what = job["stage"]
        if job["status"] in _OUTCOMES:
            what = job["status"]
            if what != "completed":
                what = f"{what} {job['message']}".rstrip()
        if what != said:
            said = what
            console.print(Text(f"{name}: {what}"))


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
