"""A plot of the results, as an SVG that is legible on light and dark pages, with no dependency."""

from collections.abc import Iterator, Sequence
from html import escape
from statistics import median
from typing import Any, NamedTuple

from .contenders import OURS

__all__ = ["drawn"]

STYLE = """
  svg { font: 13px system-ui, sans-serif }
  .page { fill: #fff } text { fill: #1f2328 } .note { fill: #59636e }
  .other { fill: #9aa4af } .ours { fill: #0a7d55 }
  .title { font-weight: 600; font-size: 14px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #f0f6fc } .note { fill: #9198a1 }
    .other { fill: #59636e } .ours { fill: #2fbf8a }
  }
"""
WIDTH, NAMES, BARS, ROW = 760, 220, 440, 22


class Panel(NamedTuple):
    """A group of bars: which case of a workload, which figure, and how it is written."""

    title: str
    note: str
    workload: str
    figure: str
    pattern: str
    descending: bool = False


PANELS = (
    Panel(
        "Deliveries a second from one process",
        "1 job, 1,000 streams, 1,000 events a second; more is better",
        *("saturation", "rate", ",.0f", True),
    ),
    Panel(
        "CPU per delivery, µs",
        "1 job, 1,000 streams, 20 events a second; less is better",
        *("fan-out", "cpu_us", ".1f"),
    ),
    Panel(
        "Memory per idle stream, KiB",
        "10,000 streams, heartbeats only; less is better",
        *("idle", "stream_kib", ".1f"),
    ),
)


def drawn(results: dict[str, Any]) -> str:
    """Return the SVG; panels whose workload was not measured are left out."""
    body: list[str] = []
    top = 16
    for panel in PANELS:
        workload = results["workloads"].get(panel.workload)
        if workload and workload["cases"]:
            body += _panel(panel, workload["cases"][0], top)
            top += 46 + ROW * len(workload["cases"][0]["sides"]) + 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" '
            f'height="{top}" role="img" aria-label="sseprog beside other servers">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{WIDTH}" height="{top}" rx="6"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _panel(panel: Panel, case: dict[str, Any], top: int) -> Iterator[str]:
    values = {
        key: median(each[panel.figure] for each in side["rounds"])
        for key, side in case["sides"].items()
    }
    order: Sequence[str] = sorted(values, key=lambda key: values[key], reverse=panel.descending)
    most = max(values.values()) or 1
    yield f'<text class="title" x="20" y="{top + 14}">{escape(panel.title)}</text>'
    yield f'<text class="note" x="20" y="{top + 32}">{escape(panel.note)}</text>'
    for row, key in enumerate(order):
        y = top + 44 + row * ROW
        width = max(1.0, BARS * values[key] / most)
        kind = "ours" if key in OURS else "other"
        title = escape(case["sides"][key]["title"])
        yield f'<text x="{NAMES - 8}" y="{y + 14}" text-anchor="end">{title}</text>'
        yield f'<rect class="{kind}" x="{NAMES}" y="{y + 3}" width="{width:.1f}" height="15"/>'
        yield f'<text x="{NAMES + width + 6:.1f}" y="{y + 14}">{values[key]:{panel.pattern}}</text>'
