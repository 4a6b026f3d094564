"""Measure what a stream, an event, a job and a connection cost, with real servers on one machine.

Each figure is a slope: what so many more of one thing cost, in CPU time of one process or in
bytes of its memory. Rates are moderate, so that hardly any events share a write.
"""

import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis

from sseprog import Hub
from sseprog._settings import Settings
from sseprog.brokers.redis import RedisStore
from sseprog.store import Append, Begin, Create, Line, Renew

from ..brokers import heard, redis_server, report, talking, tell, web_process
from ..machine import cpu as cpu_of
from .plan import slot

LINE = Line("p", 250 * b".")  # a store doesn't read it
SECONDS = 5.0


def publish(jobs: int, rate: float, seconds: float) -> None:
    """Be a process that reports on all jobs in turn, ``rate`` times a second on each."""
    with closing(Hub(throttle=0)) as hub, ExitStack() as stack:
        held = [stack.enter_context(hub.job(f"a-{number}")) for number in range(jobs)]
        print("{}", flush=True)
        sys.stdin.readline()
        cpu, begun, last = time.process_time(), time.monotonic() + 0.1, round(rate * seconds)
        for count in range(last * jobs):
            due = begun + count / (rate * jobs)
            time.sleep(max(0.0, due - time.monotonic()))
            report(held[count % jobs], due, count // jobs + 1, last)
        print(f'{{"cpu":{time.process_time() - cpu}}}', flush=True)
        sys.stdin.readline()


def memory_of(pid: int) -> int:
    """Return the bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


class Group(NamedTuple):
    """Streams of one client: stream i watches job i modulo ``jobs``."""

    jobs: int
    streams: int


class Load(NamedTuple):
    """What a load cost, in CPU seconds; ``webs`` is each web process."""

    webs: list[float]
    redis: float
    publisher: float
    events: int
    deliveries: list[int]
    size: float
    """Bytes of an event as a client gets it."""


def load(client: str, jobs: int, rate: float, groups: list[list[Group]]) -> Load:
    """Have ``jobs`` jobs reported on, and watched by the groups of each web process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, server = stack.enter_context(redis_server(folder))
        command = (sys.executable, "-m", "benchmarks.scale", "publish")
        told = (str(jobs), str(rate), str(SECONDS))
        env = os.environ | {"SSEPROG_BROKER": url}
        remote = stack.enter_context(talking(*command, *told, env=env))
        heard(remote)
        pids, clients = [], []
        for theirs in groups:
            port, pid = stack.enter_context(web_process(url, conflate=False))
            pids.append(pid)
            for group in theirs:
                options = (str(group.streams), str(SECONDS + 8), f"jobs={group.jobs}")
                watching = talking(client, str(port), "/a-%d/stream", *options)
                clients.append(stack.enter_context(watching))
                heard(clients[-1])
        # What the holder listens to of its own jobs it forgets ten seconds after it began them.
        time.sleep(max(0.0, 12 - jobs / 1000))
        before = [cpu_of(pid) for pid in (server, *pids)]
        for each in clients:
            tell(each)
        tell(remote)
        told_cpu = heard(remote)["cpu"]
        seen = [heard(each) for each in clients]
        after = [cpu_of(pid) for pid in (server, *pids)]
        of_redis, *of_webs = (b - a for a, b in zip(before, after, strict=True))
        missing = sum(each["missing"] + each["gaps"] for each in seen)
        if missing:
            raise RuntimeError(f"{missing} events were not delivered: the load was too much")
        counts = iter(each["events"] for each in seen)
        delivered = [sum(next(counts) for _ in theirs) for theirs in groups]
        size = sum(each["bytes"] for each in seen) / max(1, sum(delivered))
        return Load(of_webs, of_redis, told_cpu, round(jobs * rate * SECONDS), delivered, size)


@contextmanager
def store() -> Iterator[tuple[RedisStore, redis.Redis, int, str]]:
    """Have a Redis, and a store on it; yield them, its process's id and its URL."""
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as (url, pid):
        opened = RedisStore(url, Settings())
        with redis.Redis.from_url(url) as plain:
            yield opened, plain, pid, url
        opened.close()


def make(opened: RedisStore, jobs: int, *, begin: bool = True) -> None:
    """Make jobs in a store, held by ``t``."""
    for number in range(0, jobs, 100):
        names = [f"a-{n}" for n in range(number, min(number + 100, jobs))]
        opened.write([Create(name, "epoch", None, LINE) for name in names])
        if begin:
            opened.write([Begin(name, "t", "x", False, LINE) for name in names])


def append(opened: RedisStore, jobs: int, first: int, last: int) -> None:
    """Add the events ``first`` to ``last`` to each job, a batch of 100 jobs at a time."""
    for n in range(first, last + 1):
        for number in range(0, jobs, 100):
            names = [f"a-{at}" for at in range(number, min(number + 100, jobs))]
            opened.write(
                [Append(name, "t", "t", n, "epoch", n - 1, "spare", LINE) for name in names]
            )


def connections(url: str, count: int) -> list[redis.Connection]:
    """Open connections that speak as a listener's do."""
    port = int(url.rpartition(":")[2])
    opened = [redis.Connection(host="127.0.0.1", port=port, protocol=2) for _ in range(count)]
    for each in opened:
        each.connect()
    return opened


def of_store() -> dict[str, float]:
    """Measure Redis by itself: a report, a lease, a job, a subscriber, a connection."""
    found: dict[str, float] = {}
    with store() as (opened, plain, pid, url):
        make(opened, 100)
        append(opened, 100, 1, 20)
        cpu = cpu_of(pid)
        before = plain.info("stats")
        append(opened, 100, 21, 120)
        found["redis_us_append"] = (cpu_of(pid) - cpu) / 10_000 * 1e6
        after = plain.info("stats")
        found["redis_bytes_in_append"] = (
            after["total_net_input_bytes"] - before["total_net_input_bytes"]
        ) / 10_000
        cpu, own = cpu_of(pid), time.process_time()
        for _ in range(100):
            opened.write([Renew(f"a-{n}", "t") for n in range(100)])
        found["redis_us_renew"] = (cpu_of(pid) - cpu) / 10_000 * 1e6
        found["worker_us_renew"] = (time.process_time() - own) / 10_000 * 1e6
        ears = connections(url, 50)
        for ear in ears:
            ear.send_command("SSUBSCRIBE", "sseprog:{a-0}:events")
            ear.read_response()
        before = plain.info("stats")
        for n in range(121, 521):
            opened.write([Append("a-0", "t", "t", n, "epoch", n - 1, "spare", LINE)])
        after = plain.info("stats")
        for ear in ears:
            ear.disconnect()
        sent = after["total_net_output_bytes"] - before["total_net_output_bytes"]
        found["redis_bytes_message"] = sent / (400 * 50)
    with store() as (opened, plain, pid, url):
        make(opened, 100)  # loads the script
        cpu, memory = cpu_of(pid), plain.info("memory")["used_memory"]
        for number in range(100, 2_100, 100):
            names = [f"a-{n}" for n in range(number, number + 100)]
            opened.write([Create(name, "epoch", None, LINE) for name in names])
            opened.write([Begin(name, "t", "x", False, LINE) for name in names])
            end = Line("c", LINE.data)
            opened.write([Append(n, "t", "t", 1, "epoch", 0, "spare", end) for n in names])
        found["redis_us_job"] = (cpu_of(pid) - cpu) / 2_000 * 1e6
        plain.delete(*(f"sseprog:{{a-{n}}}:log" for n in range(100, 2_100)))
        left = plain.info("memory")["used_memory"] - memory
        found["redis_bytes_ended_job"] = left / 2_000
    for retention in (256, 32):
        with store() as (opened, plain, _, _):
            opened._rules = (*opened._rules[:2], retention, *opened._rules[3:])
            memory = plain.info("memory")["used_memory"]
            make(opened, 200)
            append(opened, 200, 1, retention + 20)
            used = plain.info("memory")["used_memory"] - memory
            found[f"redis_bytes_job_{retention}"] = used / 200
    with store() as (_, plain, _, url):
        memory = plain.info("memory")["used_memory"]
        wires = connections(url, 200)
        time.sleep(3)  # a query buffer is given back after two seconds of silence
        used = plain.info("memory")["used_memory"] - memory
        found["redis_bytes_connection"] = used / 200
        for at, wire in enumerate(wires):
            wire.send_command("SSUBSCRIBE", *(f"sseprog:{{{at}-{n}}}:events" for n in range(100)))
            for _ in range(100):
                wire.read_response()
        more = plain.info("memory")["used_memory"] - memory - used
        found["redis_bytes_subscription"] = more / 20_000
        for wire in wires:
            wire.disconnect()
    return found


def of_index() -> dict[str, float]:
    """Measure the one key that all jobs share: the index of those made last."""
    with store() as (opened, _, pid, _):
        opened._note(["a"] * 2_000)
        cpu = cpu_of(pid)
        for begin in range(0, 20_000, 100):
            opened._note([f"a-{number}" for number in range(begin, begin + 100)])
        return {"redis_us_index": (cpu_of(pid) - cpu) / 20_000 * 1e6}


def of_streams(client: str) -> dict[str, float]:
    """Measure a web process: opening, holding and watching."""
    found: dict[str, float] = {}

    def opened_by(port: int, streams: int, path: str, *options: str) -> Any:
        return talking(client, str(port), path, str(streams), "1", *options)

    with store() as (opened, _, pid, url), ExitStack() as stack:
        make(opened, 9_000, begin=False)
        port, web = stack.enter_context(web_process(url, conflate=False))

        def opening(streams: int, path: str, *options: str) -> tuple[float, float, float]:
            before = cpu_of(web), cpu_of(pid), memory_of(web)
            heard(stack.enter_context(opened_by(port, streams, path, *options)))
            time.sleep(1.5)  # until what it has begun by that is done
            after = cpu_of(web), cpu_of(pid), memory_of(web)
            of_web, of_redis, memory = (b - a for a, b in zip(before, after, strict=True))
            return of_web / streams * 1e6, of_redis / streams * 1e6, memory / streams

        opening(50, "/a-%d/stream", "jobs=50")
        found["web_us_open"], _, found["web_bytes_stream"] = opening(3_000, "/a-0/stream")
        few, of_redis, memory = opening(500, "/a-1%03d/stream", "jobs=500", "window=1")
        found["web_us_open_new_job"], found["redis_us_watch"] = few, of_redis
        found["web_bytes_job"] = memory - found["web_bytes_stream"]
        opening(6_000, "/a-%d/stream", "jobs=6000")
        many, _, _ = opening(400, "/a-8%03d/stream", "jobs=1000", "window=1")
        found["web_us_open_new_job_at_many"] = many
        found["few"], found["many"] = 300, 6_250  # jobs watched, on average, in either
    for retention in (256, 32):
        with store() as (opened, _, _, url), ExitStack() as stack:
            make(opened, 300)
            env = {"SSEPROG_RETENTION": str(retention)}
            os.environ.update(env)
            try:
                port, web = stack.enter_context(web_process(url, conflate=False))
            finally:
                os.environ.pop("SSEPROG_RETENTION")
            heard(stack.enter_context(opened_by(port, 300, "/a-%d/stream", "jobs=300")))
            append(opened, 300, 1, 2)
            time.sleep(1)
            memory = memory_of(web)
            append(opened, 300, 3, retention + 20)
            time.sleep(1)
            found[f"web_bytes_log_{retention}"] = (memory_of(web) - memory) / 300
    return found


def of_single(client: str) -> Load:
    """Have 400 jobs of one viewer each watched."""
    return load(client, 400, 5, [[Group(400, 400)]])


def of_many(client: str) -> Load:
    """Have one job of 400 viewers watched."""
    return load(client, 1, 20, [[Group(1, 400)]])


def of_web(single: Load, many: Load) -> dict[str, float]:
    """Tell an event that comes to a web process from one that goes out."""
    us_single = single.webs[0] / single.events * 1e6
    delivery = (many.webs[0] / many.events * 1e6 - us_single) / 399
    return {"web_us_delivery": delivery, "web_us_news": us_single - delivery}


def of_events(client: str) -> dict[str, float]:
    """Measure what an event costs a web process, Redis, and the process that reports it."""
    single, many = of_single(client), of_many(client)
    none = load(client, 400, 5, [])
    return of_web(single, many) | {
        "web_bytes_delivery": single.size,
        "worker_us_event": none.publisher / none.events * 1e6,
        "redis_us_event_alone": none.redis / none.events * 1e6,
        # To a process that reads it, and by itself; more at once share system calls.
        "redis_us_message": (single.redis - none.redis) / single.events * 1e6,
    }


class Check(NamedTuple):
    """A load that no figure was taken from."""

    jobs: int
    rate: float
    groups: list[list[Group]]


CHECK = Check(
    500,
    4.0,
    [[Group(500, 500), Group(20, 500)], [Group(250, 250), Group(5, 400)]],
)


def failover(client: str) -> tuple[int, int, int]:
    """Kill one of three masters; return jobs on it, streams in all, and streams cut.

    Each of 300 jobs is watched once, all in one web process.
    """
    with ExitStack() as stack:
        nodes = []
        for _ in range(3):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = redis_server(folder, "--cluster-enabled", "yes")
            nodes.append(stack.enter_context(server))
        places = [url.removeprefix("redis://") for url, _ in nodes]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *places, "--cluster-yes"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(3)
        opened = RedisStore(f"redis+cluster://{places[0]}", Settings())
        make(opened, 300, begin=False)
        opened.close()
        port, _ = stack.enter_context(web_process(f"redis+cluster://{places[0]}", conflate=False))
        path = "/a-%d/stream"
        watching = stack.enter_context(talking(client, str(port), path, "300", "8", "jobs=300"))
        heard(watching)
        time.sleep(1)
        tell(watching)
        os.kill(nodes[2][1], signal.SIGKILL)
        seen = heard(watching)
        on_it = sum(slot(f"a-{n}") * 3 // 16_384 == 2 for n in range(300))
        return on_it, 300, seen["cut"]


def machine() -> str:
    """Say what was measured on."""
    told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True)
    server = told.stdout.split("v=")[1].split()[0]
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, Redis {server}"
