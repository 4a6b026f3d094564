"""What is measured: the servers and loads of each workload, and the goals they are held to."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .machine import open_files
from .measure import SPARE_FILES, Load

__all__ = ["FIGURES", "WORKLOADS", "Case", "Goal", "Side", "Workload"]

FIGURES = {
    "call_us": ("µs per call", ".2f"),
    "cpu_us": ("CPU, µs per delivery", ".1f"),
    "core": ("cores", ".2f"),
    "rate": ("deliveries/s", ",.0f"),
    "delivered": ("delivered", ".0%"),
    "p50": ("p50, ms", ".2f"),
    "p99": ("p99, ms", ".2f"),
    "gaps": ("gaps", ",.0f"),
    "duplicates": ("duplicates", ",.0f"),
    "resumed": ("resumed", ",.0f"),
    "stream_kib": ("KiB per stream", ".1f"),
    "slow_kib": ("KiB per slow stream", ".1f"),
    "open_ms": ("CPU, ms per connect", ".3f"),
    "open_seconds": ("seconds until all are open", ".2f"),
    "client": ("client's cores", ".2f"),
}
"""What a run gives: how it is headed, and how its numbers are written."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A side's figure, or its ratio to another side's, is ``limit`` at most, or at least."""

    side: str
    figure: str
    limit: float
    against: str = ""
    least: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """A contender under a load. Where it is in a case twice, ``name`` tells which."""

    contender: str
    load: Load
    name: str = ""
    rounds: int = 99
    """At most: rivals that are far off need not be measured often."""

    @property
    def key(self) -> str:
        return self.name or self.contender


@dataclass(frozen=True, slots=True)
class Case:
    """Sides that are measured in turn, and what they are held to."""

    title: str
    sides: Sequence[Side]
    goals: Sequence[Goal] = ()
    turns: int = 1
    """Of each side in a round, while all stay up; with 1, servers are started for each."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A question, the cases that answer it, and the figures that are shown."""

    question: str
    cases: Sequence[Case]
    figures: Sequence[str] = field(default=("cpu_us", "p50", "p99", "delivered", "client"))


def sides(load: Load, *contenders: str, rivals: Sequence[str] = ()) -> list[Side]:
    """Return sides of one load; those of ``rivals`` are measured once."""
    return [
        *(Side(name, load) for name in contenders),
        *(Side(name, load, rounds=1) for name in rivals),
    ]


def saturation() -> Workload:
    # Little grace: how fast a backlog drains once nothing is published is another question.
    load = Load(streams=1000, rate=1000, seconds=3, grace=0.5)
    goals, ratios = [], []
    for side in ("mounted", "route"):
        goals += [
            Goal(side, "delivered", 1, least=True),
            Goal(side, "p99", 50),
            Goal(side, "core", 0.6),
        ]
        ratios += [
            Goal(side, "rate", 8, "nchan", least=True),
            Goal(side, "rate", 5, "epoll", least=True),
            Goal(side, "rate", 25, "sse-starlette", least=True),
        ]
    contenders = ("mounted", "nchan", "route", "epoll", "sse-starlette")
    rivals = ("bare", "better-sse", "sse-starlette-example")
    return Workload(
        "Can one process deliver a million events a second?",
        [
            Case(
                "1 job, 1,000 streams, 1,000 events/s",
                sides(load, *contenders, rivals=rivals),
                [*goals, *ratios],
            ),
            # Where a million is asked for, nobody can be seen to deliver more.
            Case(
                "1 job, 1,000 streams, 3,000 events/s",
                sides(replace(load, rate=3000, seconds=2), *contenders),
                ratios,
            ),
        ],
        ("rate", "delivered", "p50", "p99", "core", "client"),
    )


def fan_out() -> Workload:
    cases = []
    limits = {"mounted": 1.1, "route": 1.2, "fastapi": 1.25}
    for streams in (1000, 5000):
        for rate in (20, 100):
            load = Load(streams, rate, seconds=1.5)
            rivals = ("nchan", "epoll", "better-sse", "sse-starlette", "fastapi-sse")
            rivals += ("sse-starlette-example",)
            goals = [Goal(side, "cpu_us", limit, "bare") for side, limit in limits.items()]
            goals += [Goal(side, name, 1.2, "bare") for name in ("p50", "p99") for side in limits]
            few = streams * rate == 20_000
            cases.append(
                Case(
                    f"1 job, {streams:,} streams, {rate} events/s",
                    sides(load, "bare", *limits, rivals=rivals if few else ()),
                    goals,
                    turns=3,
                )
            )
    return Workload("What does an event cost to deliver?", cases)


def idle() -> Workload:
    def case(load: Load, contenders: Sequence[str], rivals: Sequence[str]) -> Case:
        return Case(
            f"{load.streams:,} streams, a heartbeat every {load.heartbeat:g} s",
            sides(load, *contenders, rivals=rivals),
            [
                Goal("mounted", "stream_kib", 1.1, "bare"),
                Goal("mounted", "core", 1.1, "bare"),
            ],
        )

    # Exactly two heartbeats per stream are in the seconds that are measured.
    load = Load(streams=10_000, rate=0, seconds=4, heartbeat=2)
    most = min(open_files() - SPARE_FILES, 25_000)  # loopback has 28,000 ports
    rivals = ("route", "fastapi", "nchan", "better-sse", "sse-starlette", "fastapi-sse")
    cases = [case(load, ("bare", "mounted"), rivals)]
    if most > load.streams:
        cases.append(case(replace(load, streams=most), (), ("bare", "mounted")))
    return Workload("What does a stream cost that waits?", cases, ("stream_kib", "core", "client"))


def opening() -> Workload:
    load = Load(streams=10_000, rate=0, seconds=0.1, window=2000)
    return Workload(
        "What does it cost to open a stream?",
        [
            Case(
                "10,000 streams at once",
                sides(
                    load, "bare", "mounted", "route", "fastapi", rivals=("nchan", "sse-starlette")
                ),
                [Goal("mounted", "open_ms", 1.5, "bare")],
            )
        ],
        ("open_ms", "open_seconds"),
    )


def many_jobs() -> Workload:
    return Workload(
        "What do a thousand jobs cost, each watched by one?",
        [
            Case(
                "1,000 jobs, 1 stream each, 5 events/s each",
                sides(
                    Load(jobs=1000, rate=5, seconds=2),
                    *("bare", "mounted"),
                    rivals=("nchan", "sse-starlette"),
                ),
                [Goal("mounted", "cpu_us", 1.2, "bare")],
                turns=3,
            )
        ],
    )


def latency() -> Workload:
    return Workload(
        "How soon does a single viewer see it?",
        [
            Case(
                "1 job, 1 stream, 50 events/s",
                sides(
                    Load(streams=1, rate=50, seconds=3),
                    "bare",
                    "mounted",
                    "route",
                    rivals=("nchan",),
                ),
                [Goal("mounted", "p50", 1.2, "bare"), Goal("mounted", "p99", 0.5)],
                turns=3,
            )
        ],
        ("p50", "p99", "cpu_us", "delivered"),
    )


def churn() -> Workload:
    return Workload(
        "Is anything lost or doubled as clients come and go?",
        [
            Case(
                "1,000 streams, 20 events/s, 200 reconnects/s",
                sides(Load(churn=200), "bare-log", "mounted"),
                [
                    Goal("mounted", "gaps", 0),
                    Goal("mounted", "duplicates", 0),
                    Goal("mounted", "delivered", 1, least=True),
                    Goal("mounted", "cpu_us", 1.1, "bare-log"),
                ],
            )
        ],
        ("gaps", "duplicates", "resumed", "cpu_us", "p50", "p99", "delivered", "client"),
    )


def slow_clients() -> Workload:
    alone = Load(streams=200, rate=100, seconds=5)
    return Workload(
        "Do slow clients hold up the others?",
        [
            Case(
                "200 streams, 100 events/s, without and with 800 that read 1 KB/s",
                [
                    Side("mounted", alone, "alone"),
                    Side("mounted", replace(alone, streams=1000, slow=800), "beside 800 slow"),
                ],
                [
                    Goal("beside 800 slow", "delivered", 0.9, "alone", least=True),
                    Goal("beside 800 slow", "p50", 1.1, "alone"),
                    Goal("beside 800 slow", "p99", 1.1, "alone"),
                    Goal("beside 800 slow", "slow_kib", 128),
                ],
            )
        ],
        ("delivered", "p50", "p99", "slow_kib", "core", "client"),
    )


def growth() -> Workload:
    # The same number of deliveries in the same time, so that only the number of streams differs.
    loads = [Load(streams, 20_000 / streams) for streams in (10, 100, 1000, 10_000)]
    return Workload(
        "Does a delivery cost more with more streams?",
        [
            Case(
                "20,000 deliveries/s",
                [Side("mounted", load, f"{load.streams:,} streams") for load in loads],
                [
                    Goal(f"{load.streams:,} streams", "cpu_us", 1.15, "1,000 streams")
                    for load in loads
                    if load.streams != 1000
                ],
            )
        ],
        ("cpu_us", "p50", "p99", "delivered", "client"),
    )


def frameworks() -> Workload:
    load = Load(seconds=1.5)
    rivals = ("flask-sse", "django-eventstream")
    return Workload(
        "What does it cost in Flask and Django?",
        [
            Case(
                "1 job, 1,000 streams, 20 events/s",
                sides(load, "bare", "flask", "django", rivals=rivals),
                [
                    Goal("flask", "cpu_us", 2.5, "bare"),
                    Goal("django", "cpu_us", 1.2, "bare"),
                ],
                turns=3,
            )
        ],
        ("cpu_us", "p50", "p99", "delivered", "stream_kib", "client"),
    )


def publish() -> Workload:
    """The calls of one process; the sides are not servers, but what `calls` can do."""
    alone = Load(streams=0, jobs=1)
    counts = (10, 100, 1000, 10_000, 100_000)
    return Workload(
        "What does job.update() cost its caller?",
        [
            Case(
                "1 job, nobody watching",
                sides(alone, "published", "merged"),
                [Goal("published", "call_us", 15), Goal("merged", "call_us", 1)],
            ),
            Case(
                "many jobs that take turns, nobody watching",
                [Side("published", Load(0, jobs=count), f"{count:,} jobs") for count in counts],
                [Goal(f"{count:,} jobs", "call_us", 1.15, "10 jobs") for count in counts[1:]],
            ),
        ],
        ("call_us",),
    )


def ceiling() -> Workload:
    return Workload(
        "What can the load client take in?",
        [
            Case(
                "1,000 streams, as many events as come",
                sides(Load(rate=8000, seconds=2), "epoll-joined"),
            )
        ],
        ("rate", "client", "core"),
    )


WORKLOADS = {
    "ceiling": ceiling,
    "saturation": saturation,
    "fan-out": fan_out,
    "frameworks": frameworks,
    "idle": idle,
    "opening": opening,
    "many-jobs": many_jobs,
    "latency": latency,
    "churn": churn,
    "slow-clients": slow_clients,
    "growth": growth,
    "publish": publish,
}
"""By the names that ``python -m benchmarks`` takes."""
