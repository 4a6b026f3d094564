"""What `job.update()` costs its caller, on the memory broker: ``python -m benchmarks.publish``."""

import time
from collections.abc import Callable
from contextlib import closing
from statistics import median

from sseprog import Hub, Job

ROUNDS = 7
SECONDS = 0.2
"""Of a round: long enough to hold thousands of calls, short enough to be left alone."""

DETAILS = {"rows": 512, "file": "input.csv", "rate": 12.5}


def microseconds(call: Callable[[int], object]) -> float:
    """Return what a call takes, the median of a few rounds; it is told the number of the call."""
    rounds = []
    for _ in range(ROUNDS):
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < SECONDS:
            for _ in range(200):
                count += 1
                call(count)
        rounds.append((time.perf_counter() - begun) / count)
    return 1e6 * median(rounds)


def percent(count: int) -> float:
    """Return a percentage that grows, and never is 100, which goes out at once."""
    return 100 - 100 / (1 + count / 1000)


WORK: dict[str, Callable[[Job], Callable[[int], object]]] = {
    "update(12.5)": lambda job: lambda count: job.update(percent(count)),
    "update(12.5, message=…)": lambda job: (
        lambda count: job.update(percent(count), message="chapter 3")
    ),
    "update(12.5, stage=…, message=…, details=…)": lambda job: (
        lambda count: job.update(
            percent(count), stage="reading", message="chapter 3", details=DETAILS
        )
    ),
}


def measure(throttle: float) -> dict[str, float]:
    """Return the microseconds of each kind of report."""
    found = {}
    empty = microseconds(lambda count: percent(count))
    with closing(Hub("memory://", throttle=throttle)) as hub:
        for name, work in WORK.items():
            with hub.job(hub.create()) as job:
                job.update(0, stage="reading")
                found[name] = microseconds(work(job)) - empty
    return found


def main() -> None:
    """Print a table."""
    published, merged = measure(0), measure(3600)
    print("| call | published, nobody watching: µs (goal 15) | merged: µs (goal 1) |")
    print("|---|--:|--:|")
    for name in WORK:
        print(f"| `{name}` | {published[name]:.1f} | {merged[name]:.2f} |")


if __name__ == "__main__":
    main()
