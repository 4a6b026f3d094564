"""Progress that tasks have always stored about themselves, read in the shapes in wide use."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from ._ending import fitting
from .errors import JobCancelled, JobEnded
from .job import Job
from .progress import check_details, clean_text, shown

__all__ = ["reading", "report"]

logger = logging.getLogger("sseprog")

# What people who had no such bridge have called things, in what they store beside a task.
_PERCENT: Final = ("percent", "percentage", "pct", "progress")
_DONE: Final = ("current", "done", "completed", "processed", "n", "i", "progress")
_MESSAGE: Final = ("message", "description", "status", "msg", "text")


def report(job: Job, meta: object) -> None:
    """Report what a task has stored about itself, in one of the shapes in wide use.

    ``{"current": 3, "total": 10}`` or ``{"percent": 30}``, by these or like names; a text under
    ``message``, ``description`` or ``status``; ``stage``. What else can be JSON goes into details.
    Meta of another shape is let be; raises `JobCancelled` only, where the job was.
    """
    if not isinstance(meta, Mapping):
        return
    try:
        values = reading(meta)
        if values:
            job.update(**values)
    except JobCancelled:
        raise
    except JobEnded:
        return  # another attempt shows its progress now
    except Exception as error:  # whatever is in there, the task is not to fail for it
        logger.warning("job %s: %s is not shown: %s", job.id, shown(meta), error)


def reading(meta: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what `Job.update` takes, read from a task's own meta."""
    values: dict[str, Any] = {}
    total = _number(meta.get("total"))
    percent_names = _PERCENT if total is None else _PERCENT[:-1]
    percent = next((n for n in map(_number, map(meta.get, percent_names)) if n is not None), None)
    if percent is None and total is not None and total > 0:
        done = next((n for n in map(_number, map(meta.get, _DONE)) if n is not None), None)
        percent = None if done is None else 100 * done / total
    if percent is not None:
        values["progress"] = min(max(percent, 0.0), 100.0)
    stage = meta.get("stage")
    if isinstance(stage, str):
        values["stage"] = clean_text(stage)
    texts = (name for name in _MESSAGE if isinstance(meta.get(name), str) and meta[name])
    message = next(texts, None)
    if message is not None:
        values["message"] = clean_text(meta[message])
    said = {*_PERCENT, "stage", message}
    details: dict[str, Any] = {}
    for name, value in meta.items():
        if isinstance(name, str) and (name not in said or (name == "progress" and total)):
            try:
                details.update(check_details({name: value}))
            except (TypeError, ValueError):
                continue
    if details:
        values["details"] = fitting(details, {})
    return values


def _number(value: object) -> float | None:
    """Read a number, and nothing else: no text, no truth value, none that is infinite."""
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number - number == 0 else None
