"""The plan: what a load costs by the measured figures, and a simulation of where it falls.

Pure: no server, no clock. All randomness comes from a generator that is passed in.
"""

import binascii
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

Figures = Mapping[str, float]

SLOTS = 16_384


def slot(job_id: str) -> int:
    """Return the slot of a job's keys and channels: CRC16 of what is in the braces."""
    return binascii.crc_hqx(job_id.encode(), 0) % SLOTS


@dataclass(frozen=True)
class Assumptions:
    """What is not measured, but supposed."""

    viewers: int = 10_000_000
    jobs: int = 1_000_000
    rate: float = 1.0
    """Events a second and job, on average: exponential, at most ``1 / throttle``."""
    throttle: float = 0.1
    zipf: float = 1.0
    """Viewers of a job go by its rank to the power of minus this."""
    job_seconds: float = 600.0
    stream_seconds: float = 900.0
    """``max_stream_age``: after which each stream is opened anew."""
    lease: float = 30.0
    ttl: float = 3600.0
    web_processes: int = 1_500
    masters: int = 256
    jobs_per_worker: int = 10
    """Jobs that one reporting process works on at a time."""
    overhead: int = 90
    """Bytes of TCP, IP and TLS around an event on its way to a browser."""


@dataclass
class Process:
    """What one web process has to do."""

    streams: int = 0
    watched: int = 0
    news: float = 0.0
    deliveries: float = 0.0


@dataclass
class Master:
    """What one master has to do."""

    jobs: int = 0
    appends: float = 0.0
    messages: float = 0.0
    subscriptions: int = 0


class Steady(NamedTuple):
    """A day like any other."""

    processes: list[Process]
    masters: list[Master]
    unwatched: int


def place(given: Assumptions, chance: random.Random) -> Steady:
    """Put each viewer on a process, as a load balancer does that draws lots, and each job in its
    slot."""
    processes = [Process() for _ in range(given.web_processes)]
    masters = [Master() for _ in range(given.masters)]
    unwatched = 0
    rates = random.Random(0)  # noqa: S311 - the same for fleets of any size
    whole = sum(rank**-given.zipf for rank in range(1, given.jobs + 1))
    for rank in range(1, given.jobs + 1):
        mean = given.viewers * rank**-given.zipf / whole
        viewers = int(mean) + (chance.random() < mean % 1)
        rate = min(rates.expovariate(1 / given.rate), 1 / given.throttle)
        master = masters[slot(f"{chance.getrandbits(128):032x}") * given.masters // SLOTS]
        master.jobs += 1
        master.appends += rate
        unwatched += not viewers
        chosen = chance.choices(processes, k=viewers)
        for process in chosen:
            process.streams += 1
            process.deliveries += rate
        watching = {id(process): process for process in chosen}
        for process in watching.values():
            process.watched += 1
            process.news += rate
        master.messages += rate * len(watching)
        master.subscriptions += len(watching)
    return Steady(processes, masters, unwatched)


def open_cost(figures: Figures, watched: float, *, together: float = 1.0) -> float:
    """Return the CPU seconds of opening a stream on a job that its process doesn't watch yet.

    To see what has come, the listening thread looks at all that is watched; ``together`` are the
    streams that share a look.
    """
    few, many = figures["web_us_open_new_job"], figures["web_us_open_new_job_at_many"]
    a_job = max(0.0, many - few) / (figures["many"] - figures["few"])
    return (few + a_job * watched / together) / 1e6


def web_cpu(figures: Figures, process: Process, stream_seconds: float) -> float:
    """Return the cores that a web process needs."""
    opens = process.streams / stream_seconds
    return (
        process.news * figures["web_us_news"] / 1e6
        + process.deliveries * figures["web_us_delivery"] / 1e6
        + opens * open_cost(figures, process.watched)
    )


def web_memory(figures: Figures, process: Process, retention: int) -> float:
    """Return the bytes that streams and logs take in a web process; its code comes on top."""
    logs = figures[f"web_bytes_log_{retention}"] + figures["web_bytes_job"]
    return process.streams * figures["web_bytes_stream"] + process.watched * logs


def master_cpu(figures: Figures, master: Master, given: Assumptions) -> float:
    """Return the cores that a master needs; one is all that it can use for this."""
    renewals = 3 * master.jobs / given.lease
    begun = master.jobs / given.job_seconds
    watches = master.subscriptions / given.stream_seconds
    return (
        master.appends * figures["redis_us_append"]
        + master.messages * figures["redis_us_message"]
        + renewals * figures["redis_us_renew"]
        + begun * figures["redis_us_job"]
        + watches * figures["redis_us_watch"]
    ) / 1e6


def connections_of_workers(given: Assumptions) -> float:
    """Return the connections of reporting processes to one master.

    A process has one for commands to each master that has a job of its, and one to listen.
    """
    missing = (1 - 1 / given.masters) ** given.jobs_per_worker
    return 2 * given.jobs / given.jobs_per_worker * (1 - missing)


def master_memory(figures: Figures, master: Master, given: Assumptions, retention: int) -> float:
    """Return the bytes of jobs, of those that have ended, and of connections."""
    ended = master.jobs / given.job_seconds * given.ttl
    connections = 2 * given.web_processes + connections_of_workers(given)
    return (
        master.jobs * figures[f"redis_bytes_job_{retention}"]
        + ended * figures["redis_bytes_ended_job"]
        + connections * figures["redis_bytes_connection"]
        + (master.subscriptions + master.jobs) * figures["redis_bytes_subscription"]
    )


class Storm(NamedTuple):
    """What a time of many reconnects was like."""

    peak: float
    """Streams opened in the worst second, of one process, as many as came."""
    wait_p99: float
    """Seconds that a stream waits for its process, of 100 the one that waits longest but one."""
    uneven: float
    """Streams of the fullest process after it, over those of the average one."""


def restart(
    figures: Figures,
    steady: list[Process],
    busy: float,
    chance: random.Random,
    *,
    at_once: int,
    every: float,
    drain: float,
    fewest: bool,
) -> Storm:
    """Restart all processes, ``at_once`` every so many seconds; a second is a step.

    What a process cuts comes back after 1 to 5 s, to one drawn by lot; or, with ``fewest``, to the
    emptier of two. ``busy``: the share of its core that a process needs for the rest.
    """
    count = len(steady)
    streams = [float(process.streams) for process in steady]
    watched = sum(process.watched for process in steady) / count
    leaving = [0.0] * count
    backlog = [0.0] * count
    coming: dict[int, float] = {}
    waits: list[tuple[float, float]] = []
    peak = 0.0
    rounds = -(-count // at_once)
    end = round(rounds * every + drain + 8)
    for second in range(end):
        if second % every == 0 and (begin := int(second // every) * at_once) < count:
            for at in range(begin, min(begin + at_once, count)):
                leaving[at] = streams[at] / max(1.0, drain)
        up = [at for at in range(count) if not leaving[at]]
        cut = 0.0
        for at in range(count):
            if leaving[at]:
                gone = min(streams[at], leaving[at])
                streams[at] -= gone
                cut += gone
                if streams[at] < 1:
                    cut += streams[at]
                    streams[at] = leaving[at] = 0.0
        for later in range(1, 6):
            coming[second + later] = coming.get(second + later, 0.0) + cut / 5
        came = coming.pop(second, 0.0)
        arrivals = [0] * count
        for _ in range(round(came)):
            at = chance.choice(up) if up else chance.randrange(count)
            if fewest and up:
                other = chance.choice(up)
                at = min(at, other, key=streams.__getitem__)
            arrivals[at] += 1
            streams[at] += 1
        for at, new in enumerate(arrivals):
            peak = max(peak, new)
            # The more come at once, the more of them share a look.
            cost = open_cost(figures, watched, together=max(1.0, new * 0.01))
            can = (1 - busy) / cost
            backlog[at] = max(0.0, backlog[at] + new - can)
            if new:
                waits.append((backlog[at] / can, new))
    return Storm(peak, _percentile(waits, 0.99), max(streams) * count / sum(streams))


def _percentile(weighted: list[tuple[float, float]], share: float) -> float:
    left = share * sum(weight for _, weight in weighted)
    for value, weight in sorted(weighted):
        left -= weight
        if left <= 0:
            return value
    return 0.0
