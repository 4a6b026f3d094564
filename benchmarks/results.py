"""What was measured, as it is kept: sides by rounds, and goals with what came of them."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from . import machine
from .contenders import SERVERS
from .measure import Figures
from .workloads import Case, Goal

__all__ = ["FOLDER", "judged", "load", "of_case", "save", "today"]

FOLDER = Path(__file__).parent / "results"
PACKAGES = (
    *("sseprog", "uvicorn", "uvloop", "httptools", "starlette", "fastapi", "pydantic"),
    *("sse-starlette", "django", "django-eventstream", "flask", "flask-sse", "gunicorn", "gevent"),
)

Results = dict[str, Any]


def judged(goal: Goal, measured: Mapping[str, list[Figures]]) -> Results | None:
    """Hold rounds to a goal: the median decides. None if one of its sides was not measured."""
    ours = [figures[goal.figure] for figures in measured.get(goal.side, ())]
    values = ours
    if goal.against:
        theirs = [figures[goal.figure] for figures in measured.get(goal.against, ())]
        if not theirs:
            return None
        # A rival may have had fewer rounds; its last one then stands for the others.
        pairs = ((value, theirs[min(at, len(theirs) - 1)]) for at, value in enumerate(ours))
        values = [value / other for value, other in pairs if other]
    if not values:
        return None
    middle = median(values)
    return {
        "side": goal.side,
        "figure": goal.figure,
        "against": goal.against,
        "limit": goal.limit,
        "least": goal.least,
        "values": values,
        "met": middle >= goal.limit if goal.least else middle <= goal.limit,
    }


def of_case(
    case: Case, titles: Mapping[str, str], measured: Mapping[str, list[Figures]]
) -> Results:
    """Return a case with what its sides gave and which goals were met."""
    goals = (judged(goal, measured) for goal in case.goals)
    return {
        "title": case.title,
        "sides": {
            key: {"title": titles[key], "rounds": rounds} for key, rounds in measured.items()
        },
        "goals": [goal for goal in goals if goal],
    }


def load() -> Results:
    """Return what was kept, or nothing yet."""
    path = FOLDER / "results.json"
    return dict(json.loads(path.read_text())) if path.exists() else {"workloads": {}}


def save(results: Results) -> None:
    """Keep it, with the machine and the versions of today."""
    FOLDER.mkdir(exist_ok=True)
    results["machine"] = machine.described()
    results["versions"] = _versions()
    text = json.dumps(_rounded(results), indent=1, ensure_ascii=False)
    (FOLDER / "results.json").write_text(text + "\n")


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _versions() -> dict[str, str]:
    """Return the versions of what is measured, of what there is."""
    found = {"python": _said(sys.executable, "--version")}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    package = json.loads((SERVERS / "better_sse/package.json").read_text())
    found |= package["dependencies"]
    found["node"] = _said("node", "--version")
    found["nginx"] = _said("nginx", "-v")
    found["nchan"] = _said("dpkg-query", "-Wf", "${Version}", "libnginx-mod-nchan")
    found["redis-server"] = _said("redis-server", "--version")
    return {name: version for name, version in found.items() if version}


def _said(*command: str) -> str:
    """Return what a program says of its version, without its name; nothing if it isn't there."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+[\w.:+-]*", done.stdout or done.stderr)
    return found[0] if found and not done.returncode else ""


def _rounded(value: Any) -> Any:
    """Return the same with four digits to each number: more is noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value
