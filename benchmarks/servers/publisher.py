"""What every contender publishes, and when: the same events at the same times."""

import threading
import time
from collections.abc import Callable

__all__ = ["SIZE", "frame", "publish_on_time", "text"]

SIZE = 250
"""Bytes of an event, about: those of a job's state with a short message."""

Publish = Callable[[int, str], object]


def text(due: float, number: int, last: int) -> str:
    """Return an event's message: what the load client checks and times it by."""
    return f"@{due * 1e6:.0f},{number},{last}@"


def frame(job: int, message: str) -> bytes:
    """Return the data of an event, as those contenders send it that have no format of their own."""
    return (
        f'{{"job_id":"job-{job}","status":"running","stage":"importing","progress":50,"message":'
        f'"{message}","details":{{}},"eta":null,"started_at":"2026-01-01T00:00:00.000Z",'
        f'"updated_at":"2026-01-01T00:00:00.000Z"}}'
    ).encode()


def publish_on_time(publish: Publish, query: dict[str, str]) -> None:
    """Call ``publish(job, message)`` from a thread of its own, at fixed times.

    ``query`` has ``rate`` (events a second and job), ``seconds`` and ``jobs``. What is late since
    the process was busy is stamped with the time at which it was due.
    """
    rate, seconds = float(query["rate"]), float(query["seconds"])
    jobs = int(query.get("jobs", "1"))
    threading.Thread(target=_run, args=(publish, rate, seconds, jobs), daemon=True).start()


def _run(publish: Publish, rate: float, seconds: float, jobs: int) -> None:
    last = round(rate * seconds)
    start = time.monotonic() + 0.2
    for count in range(last * jobs):
        due = start + count / (rate * jobs)
        early = due - time.monotonic()
        if early > 0:
            time.sleep(early)
        publish(count % jobs, text(due, count // jobs + 1, last))
