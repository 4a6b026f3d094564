"""The plan of docs/scale.md.

``python -m benchmarks.scale``           print the plan, by the figures that were measured last
``python -m benchmarks.scale measure``   measure them anew; some: events streams store index
``python -m benchmarks.scale check``     hold the model against a real load, and kill a master
"""

import json
import math
import random
import sys
from dataclasses import replace
from pathlib import Path

from .plan import (
    Assumptions,
    Process,
    Steady,
    connections_of_workers,
    master_cpu,
    master_memory,
    place,
    restart,
    web_cpu,
    web_memory,
)

FIGURES = Path(__file__).with_name("figures.json")

GIVEN = Assumptions()


def at(share: float, values: list[float]) -> float:
    """Return the value below which a share of all lies."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def spread(values: list[float], form: str) -> str:
    """Write the middle, the 99th percentile and the most."""
    return " | ".join(
        format(value, form) for value in (at(0.5, values), at(0.99, values), max(values))
    )


def print_figures(figures: dict[str, float]) -> None:
    """Print what was measured."""
    print("| figure | |\n|---|--:|")
    for name, value in figures.items():
        print(f"| `{name}` | {value:,.0f} |" if value >= 100 else f"| `{name}` | {value:.1f} |")


def print_fleets(figures: dict[str, float], chance: random.Random) -> Steady:
    """Print what web processes do, for fleets of several sizes; return that of the plan."""
    print("\n| web processes | streams each | jobs watched | events in /s | events out /s | "
          "cores, p50 | p99 | max | GiB at 256 | GiB at 32 | Mbit/s in | out |")  # fmt: skip
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    kept = None
    for count in (GIVEN.web_processes // 2, GIVEN.web_processes, GIVEN.web_processes * 2):
        given = replace(GIVEN, web_processes=count)
        steady = place(given, chance)
        kept = steady if count == GIVEN.web_processes else kept
        all_of = steady.processes

        def mean(name: str, all_of: list[Process] = all_of) -> float:
            return sum(getattr(process, name) for process in all_of) / len(all_of)

        cores = [web_cpu(figures, process, given.stream_seconds) for process in all_of]
        memory = [max(web_memory(figures, p, kept_) for p in all_of) / 2**30 for kept_ in (256, 32)]
        in_ = mean("news") * figures["redis_bytes_message"] * 8e-6
        out = mean("deliveries") * (figures["web_bytes_delivery"] + given.overhead) * 8e-6
        print(f"| {count:,} | {mean('streams'):,.0f} | {mean('watched'):,.0f} | "
              f"{mean('news'):,.0f} | {mean('deliveries'):,.0f} | {spread(cores, '.2f')} | "
              f"{memory[0]:.2f} | {memory[1]:.2f} | {in_:.0f} | {out:.0f} |")  # fmt: skip
    assert kept is not None
    return kept


def print_masters(figures: dict[str, float], steady: Steady) -> None:
    """Print what the masters of the Cluster do."""
    masters = steady.masters
    cores = [master_cpu(figures, master, GIVEN) for master in masters]
    memory = [
        [master_memory(figures, m, GIVEN, retention) / 2**30 for m in masters]
        for retention in (256, 32)
    ]
    appends = [master.appends for master in masters]
    messages = [master.messages for master in masters]
    in_ = [n * figures["redis_bytes_in_append"] * 8e-6 for n in appends]
    out = [n * figures["redis_bytes_message"] * 8e-6 for n in messages]
    workers = connections_of_workers(GIVEN)
    rows = {
        "events written /s": spread(appends, ",.0f"),
        "messages sent /s": spread(messages, ",.0f"),
        "leases renewed /s": spread([3 * m.jobs / GIVEN.lease for m in masters], ",.0f"),
        "cores (one is all there is)": spread(cores, ".2f"),
        "GiB, retention 256": spread(memory[0], ".2f"),
        "GiB, retention 32": spread(memory[1], ".2f"),
        "Mbit/s in": spread(in_, ".0f"),
        "Mbit/s out": spread(out, ".0f"),
        "subscriptions": spread([float(m.subscriptions + m.jobs) for m in masters], ",.0f"),
    }
    print(f"\n| a master, of {len(masters)} | p50 | p99 | max |\n|---|--:|--:|--:|")
    for name, row in rows.items():
        print(f"| {name} | {row} |")
    print("\n| connections to each master | |\n|---|--:|")
    print(f"| of {GIVEN.web_processes:,} web processes | {2 * GIVEN.web_processes:,} |")
    for each in (1, GIVEN.jobs_per_worker, 100, 1000):
        given = replace(GIVEN, jobs_per_worker=each)
        count = GIVEN.jobs // each
        print(f"| of {count:,} processes that report on {each:,} jobs each | "
              f"{connections_of_workers(given):,.0f} |")  # fmt: skip
    print(
        f"\n{steady.unwatched:,} of {GIVEN.jobs:,} jobs are watched by nobody; each master has "
        f"{2 * GIVEN.web_processes + workers:,.0f} connections."
    )


def print_jobs(figures: dict[str, float]) -> None:
    """Print what one job costs, by who watches it."""
    print("\n| one job, one event/s | events written | messages | events out | "
          "ms of CPU /s: Redis | web processes | the process that reports |")  # fmt: skip
    print("|---|--:|--:|--:|--:|--:|--:|")
    renewal = 3 / GIVEN.lease
    for viewers in (0, 1, 10, 100_000):
        each = GIVEN.web_processes
        places = each * (1 - (1 - 1 / each) ** viewers)
        of_redis = figures["redis_us_append"] + places * figures["redis_us_message"]
        of_redis += renewal * figures["redis_us_renew"]
        of_webs = places * figures["web_us_news"] + viewers * figures["web_us_delivery"]
        of_worker = figures["worker_us_event"] + renewal * figures["worker_us_renew"]
        print(f"| {viewers:,} viewers | 1 | {places:,.0f} | {viewers:,} | {of_redis / 1e3:.3f} | "
              f"{of_webs / 1e3:,.1f} | {of_worker / 1e3:.2f} |")  # fmt: skip


def print_restarts(figures: dict[str, float], steady: Steady, chance: random.Random) -> None:
    """Print what a deploy does, on a tenth of the fleet: a process has as much to do there."""
    some = steady.processes[::10]
    busy = sum(web_cpu(figures, process, GIVEN.stream_seconds) for process in some) / len(some)
    print("\n| all web processes are restarted | balancer | opened /s, worst process | "
          "p99 wait s | fullest process after it, over the average |")  # fmt: skip
    print("|---|---|--:|--:|--:|")
    ways = [("1 % every 15 s", 0.01, 15.0), ("10 % every 30 s", 0.1, 30.0)]
    for name, share, every in ways:
        for drain in (0.0, 10.0):
            for fewest in (False, True):
                storm = restart(
                    figures, some, busy, chance,
                    at_once=max(1, round(share * len(some))), every=every, drain=drain,
                    fewest=fewest,
                )  # fmt: skip
                balancer = "the emptier of two" if fewest else "by lot"
                print(f"| {name}, `drain={drain:g}` | {balancer} | {storm.peak:,.0f} | "
                      f"{storm.wait_p99:.1f} | {storm.uneven:.2f} |")  # fmt: skip


def print_failover(figures: dict[str, float], steady: Steady) -> None:
    """Print what one master's failover does."""
    cut = GIVEN.viewers / GIVEN.masters
    here = cut / len(steady.processes)
    requests = here / 3  # a client waits 1 to 5 s
    print("\n| a master is away for more than 2 s | |\n|---|--:|\n"
          f"| streams cut, of {GIVEN.viewers:,} | {cut:,.0f} |\n"
          f"| of each web process | {here:,.0f} |\n"
          f"| requests /s that come of that, in each | {requests:,.0f} |\n"
          f"| cores for them | {requests * figures['web_us_open'] / 1e6:.3f} |")  # fmt: skip


def check(figures: dict[str, float]) -> None:
    """Hold the model against a load that no figure was taken from.

    How fast a machine is changes within minutes: the figures are taken anew, just before and after.
    """
    from ..client import compiled
    from .measure import CHECK, failover, load, of_many, of_single, of_web

    client = compiled("client.c")
    single = of_single(client)
    found = load(client, CHECK.jobs, CHECK.rate, CHECK.groups)
    figures = figures | of_web(single, of_many(client))
    on_it, streams, cut = failover(client)
    an_event = figures["redis_us_event_alone"] + figures["redis_us_message"]
    slower = {
        "redis": single.redis / single.events * 1e6 / an_event,
        "worker": single.publisher / single.events * 1e6 / figures["worker_us_event"],
    }
    for name in ("redis_us_event_alone", "redis_us_message", "worker_us_event"):
        figures[name] *= slower[name.partition("_")[0]]
    seconds = found.events / (CHECK.jobs * CHECK.rate)
    print("| cores | predicted | measured | measured over predicted |\n|---|--:|--:|--:|")
    messages = 0.0
    for number, (groups, cpu) in enumerate(zip(CHECK.groups, found.webs, strict=True), start=1):
        watched = max(group.jobs for group in groups)
        streams_here = sum(group.streams for group in groups)
        news = watched * CHECK.rate
        messages += news
        process = Process(streams_here, watched, news, streams_here * CHECK.rate)
        _print_check(f"web process {number}", web_cpu(figures, process, math.inf), cpu / seconds)
    appends = CHECK.jobs * CHECK.rate
    of_redis = appends * figures["redis_us_event_alone"] + messages * figures["redis_us_message"]
    _print_check("Redis", of_redis / 1e6, found.redis / seconds)
    _print_check("publisher", appends * figures["worker_us_event"] / 1e6, found.publisher / seconds)
    print(f"\nOne of three masters was killed, with {on_it} of the {streams} watched jobs on it: "
          f"{cut} streams were cut.")  # fmt: skip


def _print_check(name: str, predicted: float, measured: float) -> None:
    print(f"| {name} | {predicted:.3f} | {measured:.3f} | {measured / predicted:.2f} |")


def measure_anew(parts: list[str]) -> None:
    """Measure some of the figures, or all, and keep them."""
    from ..client import compiled
    from .measure import machine, of_events, of_index, of_store, of_streams

    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"figures": {}}
    client = compiled("client.c")
    for part in parts or ["events", "streams", "store", "index"]:
        if part == "events":
            kept["figures"] |= of_events(client)
        elif part == "streams":
            kept["figures"] |= of_streams(client)
        elif part == "index":
            kept["figures"] |= of_index()
        else:
            kept["figures"] |= of_store()
    kept["measured_on"], kept["command"] = machine(), "python -m benchmarks.scale measure"
    kept["figures"] = {name: round(value, 1) for name, value in kept["figures"].items()}
    FIGURES.write_text(json.dumps(kept, indent=2) + "\n")


def main(arguments: list[str]) -> None:
    """Do what is asked."""
    if arguments[:1] == ["publish"]:
        from .measure import publish

        publish(int(arguments[1]), float(arguments[2]), float(arguments[3]))
        return
    if arguments[:1] == ["measure"]:
        measure_anew(arguments[1:])
        return
    kept = json.loads(FIGURES.read_text())
    figures = kept["figures"]
    if arguments[:1] == ["check"]:
        check(figures)
        return
    chance = random.Random(1)  # noqa: S311 - a simulation, the same each time
    print(f"Measured on {kept['measured_on']}, by `{kept['command']}`:\n")
    print_figures(figures)
    steady = print_fleets(figures, chance)
    print_masters(figures, steady)
    print_jobs(figures)
    print_restarts(figures, steady, chance)
    print_failover(figures, steady)


if __name__ == "__main__":
    main(sys.argv[1:])
