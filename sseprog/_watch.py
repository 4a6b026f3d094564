"""The commands that look at jobs: ``sseprog watch``, ``flask sseprog`` and ``manage.py``."""

import sys
import threading
from typing import Any

from .errors import BrokerUnavailable, JobNotFound, MissingExtra
from .hub import Hub
from .progress import check_job_id

__all__ = ["list_jobs", "watch"]


def watch(target: str, hub: Hub | None = None) -> int:
    """Follow a job in the terminal, by its id in ``hub`` or the URL of its stream.

    Return the exit code: 0 for a job that completed, 1 for one that ended otherwise, 2 where
    there is none, 130 after Ctrl-C.
    """
    try:
        return _watch(target, hub)
    except (BrokerUnavailable, JobNotFound, MissingExtra, ValueError) as error:
        print(f"sseprog: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def list_jobs(hub: Hub, limit: int) -> int:
    """Print the newest jobs, a line each; return the exit code, 2 if they can't be reached."""
    try:
        jobs = hub.jobs(limit)
    except BrokerUnavailable as error:
        print(f"sseprog: {error}", file=sys.stderr)
        return 2
    for job in jobs:
        percent = "" if job.progress is None else f"{job.progress:.0f} %"
        print(f"{job.job_id:<22}  {job.status:<9}  {percent:>5}  {job.stage}".rstrip())
    if not jobs:
        print(_explained("there are no jobs", hub), file=sys.stderr)
    return 0


def _watch(target: str, hub: Hub | None) -> int:
    try:
        from rich.console import Console

        from ._reading import Unreachable, states_at, states_of
        from ._terminal import draw
    except ModuleNotFoundError as error:
        raise MissingExtra('watching needs an extra: pip install "sseprog[cli]"') from error
    last: dict[str, Any] = {}
    by_url = target.startswith(("http://", "https://"))
    if by_url:
        states = states_at(target, threading.Event())
    elif hub is None:
        raise ValueError(f"{target!r} is not the URL of a stream, http://.../jobs/JOB_ID/stream")
    else:
        states = states_of(hub, check_job_id(target))

    # Without the query, which may have a ticket in it.
    name = target.partition("?")[0].removesuffix("/stream").rpartition("/")[2]

    def seen() -> Any:
        for state in states:
            last.update(state)
            yield state

    try:
        draw(seen(), name, Console())
    except Unreachable as error:
        raise JobNotFound(str(error)) from error
    except JobNotFound as error:
        raise JobNotFound(_explained(str(error), hub)) from error
    return 0 if last.get("status") == "completed" else 1


def _explained(what: str, hub: Hub | None) -> str:
    """Say why a job may not be seen from here."""
    if hub is None or hub.broker.shared:
        return what
    return f"{what}; jobs of memory:// are seen in their own process only: give a stream's URL"
