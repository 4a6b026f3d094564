"""Results as Markdown: tables for people, and the summary that the documentation shows."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .workloads import FIGURES, WORKLOADS

__all__ = ["document", "summarised", "tables"]

Results = dict[str, Any]


def tables(name: str, workload: Results) -> Iterator[str]:
    """Yield the lines of a workload's part: what each side gave, and which goals were met."""
    yield f"## {name}: {workload['question']}"
    yield ""
    if "table" in workload:
        yield from [workload["table"].strip(), ""]
    for case in workload.get("cases", ()):
        figures = WORKLOADS[name]().figures
        yield from [f"**{case['title']}**", ""]
        yield from _table(
            ["", *(FIGURES[figure][0] for figure in figures)],
            (
                [side["title"], *(_written(figure, side["rounds"]) for figure in figures)]
                for side in case["sides"].values()
            ),
        )
        yield ""
        if case["goals"]:
            rows = (_goal(case, goal) for goal in case["goals"])
            yield from _table(["goal", "", "measured", "met"], rows)
            yield ""
    for contender, why in workload.get("missing", {}).items():
        yield f"- not measured: {contender}: {why}"
    if workload.get("missing"):
        yield ""


def document(results: Results) -> str:
    """Return the whole of it, as a page."""
    lines = [
        "# What was measured",
        "",
        f"By `python -m benchmarks`, on {results['machine']}. Numbers are medians of the rounds, "
        "and the least and the most of them; ratios are of the same round. "
        "[docs/benchmarks.md](../../docs/benchmarks.md) says what each workload is.",
        "",
    ]
    for name, workload in _in_order(results):
        lines += tables(name, workload)
    lines += ["## Versions", ""]
    lines += _table(["", ""], ([name, version] for name, version in results["versions"].items()))
    return "\n".join(lines) + "\n"


def summarised(results: Results, page: Path) -> None:
    """Write the goals, and what came of them, between the marks of a page that has some."""
    rows = []
    for name, workload in _in_order(results):
        for case in workload.get("cases", ()):
            rows += [[name, case["title"], *_goal(case, goal)] for goal in case["goals"]]
    table = "\n".join(_table(["workload", "", "goal", "", "measured", "met"], rows))
    text = re.sub(
        r"(<!-- results -->\n).*?(<!-- /results -->)",
        lambda found: f"{found[1]}{table}\n{found[2]}",
        page.read_text(),
        flags=re.DOTALL,
    )
    page.write_text(text)


def _in_order(results: Results) -> Iterator[tuple[str, Results]]:
    known = list(WORKLOADS)
    order = sorted(
        results["workloads"], key=lambda name: known.index(name) if name in known else len(known)
    )
    return ((name, results["workloads"][name]) for name in order)


def _table(head: Sequence[str], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _written(figure: str, rounds: Sequence[dict[str, float]]) -> str:
    return _spread([each[figure] for each in rounds], FIGURES[figure][1])


def _spread(values: Sequence[float], pattern: str) -> str:
    middle, least, most = (
        format(value, pattern) for value in (median(values), min(values), max(values))
    )
    return middle if least == most else f"{middle} ({least} to {most})"


def _goal(case: Results, goal: Results) -> list[str]:
    head, pattern = FIGURES[goal["figure"]]
    titles = {key: side["title"] for key, side in case["sides"].items()}
    what = f"{titles[goal['side']]}: {head}"
    sign, ending = "≥" if goal["least"] else "≤", ""
    if goal["against"]:
        what += f", against {titles[goal['against']]}"
        pattern, ending = ".2f", " times"
    limit = f"{goal['limit']:g}{ending}" if goal["against"] else format(goal["limit"], pattern)
    return [
        what,
        f"{sign} {limit}",
        f"{_spread(goal['values'], pattern)}{ending}",
        "yes" if goal["met"] else "**no**",
    ]
