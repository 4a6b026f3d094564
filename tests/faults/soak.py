"""Break something every few seconds, for minutes, while a thousand pages watch. Not for CI.

    python tests/faults/soak.py --broker redis --streams 1000 --minutes 3 --every 15 --seed 1

Every client is held to the same invariants as in the tests; exits with 1 if one was broken.
"""

import argparse
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

if __name__ == "__main__":  # so that it can be started as a program
    sys.path.insert(0, str(Path(__file__).parents[1]))
    __package__ = "faults"

from .scene import Scene
from .services import PERSISTENCE, PostgreSQL, Redis, postgresql, redis_server

JOBS: Final = 20
RATE: Final = 10.0
LEASE: Final = 6.0

Faults = dict[str, Callable[[], object]]


@contextmanager
def redis(folder: Path) -> Iterator[tuple[str, Faults]]:
    with redis_server(folder / "redis", *PERSISTENCE["aof-everysec"]) as server:
        yield server.url, faults_of_redis(server)


def faults_of_redis(server: Redis) -> Faults:
    def restart() -> None:
        server.kill()
        time.sleep(2)
        server.start()

    def freeze() -> None:
        server.send(signal.SIGSTOP)
        time.sleep(5)
        server.send(signal.SIGCONT)

    return {
        "redis is killed and restarted": restart,
        "redis stands still": freeze,
        "redis forgets all": lambda: server.ask("FLUSHALL"),
        "redis cuts all connections": lambda: server.ask("CLIENT", "KILL", "SKIPME", "yes"),
    }


@contextmanager
def postgres(folder: Path) -> Iterator[tuple[str, Faults]]:
    with postgresql() as server:
        yield server.url, faults_of_postgresql(server)


def faults_of_postgresql(server: PostgreSQL) -> Faults:
    def restart(mode: str) -> None:
        server.stop(mode)
        time.sleep(2)
        server.start()

    def freeze() -> None:
        with server.frozen():
            time.sleep(5)

    return {
        "postgresql is restarted": lambda: restart("fast"),
        "postgresql crashes": lambda: restart("immediate"),
        "postgresql stands still": freeze,
        "postgresql ends all sessions": server.cut_all,
    }


@contextmanager
def sqlite(folder: Path) -> Iterator[tuple[str, Faults]]:
    path = folder / "jobs.db"

    def lock() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(5)
            other.execute("COMMIT")

    yield f"sqlite:///{path}", {"the file is locked": lock}


BROKERS: Final = {"redis": redis, "postgresql": postgres, "sqlite": sqlite}


def faults_of_processes(scene: Scene, chance: random.Random) -> Faults:
    def end_web(how: signal.Signals) -> None:
        web = chance.choice(scene.webs)
        web.send(how)
        web.process.wait(10)
        web.kill()
        web.start()
        web.wait()

    def replace_emitter() -> None:
        scene.emitter.kill()
        scene.start_emitter()
        scene.wait_begun()

    def freeze_emitter() -> None:
        with scene.emitter_frozen():
            time.sleep(1.3 * LEASE)

    return {
        "a web process is killed": lambda: end_web(signal.SIGKILL),
        "a web process is told to end": lambda: end_web(signal.SIGTERM),
        "the emitter is killed, and another goes on": replace_emitter,
        "the emitter stands still": freeze_emitter,
        "half of the pages lose their connection": lambda: scene.fleet.cut(0.5),
    }


def memory(pid: int) -> float:
    """Return what a process occupies, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def say(began: float, what: str) -> None:
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", choices=BROKERS, default="redis")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--every", type=float, default=15.0, help="seconds between faults")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311
    began = time.monotonic()
    happened: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        BROKERS[options.broker](Path(folder)) as (url, faults),
        Scene(
            url, Path(folder), jobs=JOBS, streams=options.streams, rate=RATE, lease=LEASE,
            seed=options.seed,
        ) as scene,
    ):  # fmt: skip
        faults |= faults_of_processes(scene, chance)
        say(began, f"{options.streams} streams of {JOBS} jobs on {options.broker}")
        cycle: list[str] = []
        while time.monotonic() - began < 60 * options.minutes:
            next_at = time.monotonic() + options.every
            if not cycle:  # each comes as often as any other, in an order of the seed's
                cycle = chance.sample(sorted(faults), len(faults))
            name = cycle.pop()
            happened[name] += 1
            scene.fault_begins()
            faults[name]()
            over = time.monotonic()
            scene.fault_ends()
            say(
                began,
                f"{name}: all have news {time.monotonic() - over:.1f} s after it; "
                f"{scene.fleet.events} events; "
                f"MB {[round(memory(web.process.pid)) for web in scene.webs]} web, "
                f"{memory(scene.emitter.process.pid):.0f} emitter",
            )
            while time.monotonic() < next_at and not scene.fleet.complaints:
                time.sleep(0.1)
            if scene.fleet.complaints:
                break
        try:
            scene.lost_allowed = happened["the emitter is killed, and another goes on"] > 0
            scene.finish()
            scene.check()
            scene.check_leftovers()
        except AssertionError as error:
            print(error)
            return 1
        say(began, f"all invariants held; {scene.story.partition(chr(10))[0]}")
        say(began, "; ".join(f"{count} x {name}" for name, count in happened.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
