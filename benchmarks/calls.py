"""What a report costs its caller in a process of its own: ``python -m benchmarks.calls WHAT JOBS``.

WHAT is ``published`` (each report is an event; nobody watches) or ``merged`` (the throttle merges
it into the next). JOBS take turns. Prints the microseconds of a call as JSON.
"""

import json
import sys
import time
from statistics import median

from sseprog import Hub

THROTTLES = {"published": 0.0, "merged": 3600.0}
ROUNDS, SECONDS = 3, 0.2


def main(what: str, count: int) -> None:
    """Measure, and print."""
    hub = Hub(throttle=THROTTLES[what], max_jobs=0)
    jobs = [hub.job(hub.create()).__enter__() for _ in range(count)]
    for job in jobs:
        job.update(0, stage="importing", message="chapter 1")
    rounds, number = [], 0
    for _ in range(ROUNDS):
        begun, first = time.perf_counter(), number
        while time.perf_counter() - begun < SECONDS:
            for _ in range(500):
                number += 1
                jobs[number % count].update(100 - 100 / (1 + number / 1000))
        rounds.append((time.perf_counter() - begun) / (number - first))
    print(json.dumps({"call_us": 1e6 * median(rounds)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
