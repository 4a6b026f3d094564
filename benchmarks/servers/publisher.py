"""What every contender publishes, and when: the same events at the same times."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["frame", "publish_on_time", "schedule", "state"]

Publish = Callable[[int, str], object]


def state(job: int, message: str) -> dict[str, Any]:
    """Return the data of an event: what sseprog sends for a job with a short message."""
    return {
        "job_id": f"job-{job}",
        "status": "running",
        "stage": "importing",
        "progress": 50,
        "message": message,
        "details": {},
        "eta": None,
        "started_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z",
    }


def frame(job: int, message: str) -> bytes:
    """Return the same as JSON."""
    return json.dumps(state(job, message), separators=(",", ":")).encode()


def schedule(rate: float, seconds: float, jobs: int) -> Iterator[list[tuple[int, str]]]:
    """Yield the events that are due, each list of ``(job, message)`` when it is.

    ``rate`` is in events a second and job; the jobs take turns. A message holds what the load
    client checks and times an event by. What is late since the process was busy is stamped with
    the time at which it was due.
    """
    last = round(rate * seconds)
    start = time.monotonic() + 0.2
    count = 0
    while count < last * jobs:
        time.sleep(max(0.0, start + count / (rate * jobs) - time.monotonic()))
        until = (time.monotonic() - start) * rate * jobs
        now = range(count, min(max(count, int(until)) + 1, last * jobs))
        due = (start + number / (rate * jobs) for number in now)
        yield [
            (number % jobs, f"@{1e6 * at:.0f},{number // jobs + 1},{last}@")
            for number, at in zip(now, due, strict=True)
        ]
        count = now.stop


def publish_on_time(publish: Publish, query: dict[str, str]) -> None:
    """Call ``publish(job, message)`` from a thread of its own, at fixed times.

    ``query`` has ``rate`` (events a second and job), ``seconds`` and ``jobs``.
    """

    def run() -> None:
        given = float(query["rate"]), float(query["seconds"]), int(query.get("jobs", "1"))
        for due in schedule(*given):
            for job, message in due:
                publish(job, message)

    threading.Thread(target=run, daemon=True).start()
