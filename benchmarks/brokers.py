"""What brokers cost: ``python -m benchmarks.brokers [memory] [redis] [sqlite] [postgresql]``.

How long a report takes from one process through a web process to a client, and how many reports
one process can write while 1,000 streams in two web processes watch. Servers of Redis and
PostgreSQL are started for it, on free ports of the loopback, and ended.
"""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sseprog import Hub, Job

from .client import compiled

PACE, PACED_SECONDS = 50.0, 6.0
"""Reports a second, and for how long, where it is timed how long one takes."""

STREAMS, WEB_PROCESSES = 1_000, 2
BURST = 200
"""Reports on their way at a time where there is one job: less than a log keeps (256), since of
more than that the oldest would be merged."""

GOALS = {
    "memory": "",
    "redis": "p50 ≤ 1 ms over memory; ≥ 20,000/s",
    "sqlite": "p50 ≤ 25 ms; ≥ 5,000/s",
    "postgresql": "p50 ≤ 5 ms",
}


# The processes that are measured


def web() -> Any:
    """Serve ``hub`` as people do; ``/start`` has this very process publish (for memory)."""
    from sseprog_starlette import ProgressApp

    hub = Hub(throttle=0, max_stream_age=0)
    mounted = ProgressApp(hub)
    if os.environ["SSEPROG_BROKER"] == "memory://":
        hub.create("a-0")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") != "/start":
            await mounted(scope, receive, send)
            return
        job = hub.job("a-0").__enter__()
        threading.Thread(target=_report_in_time, args=(job,), daemon=True).start()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


def report(job: Job, due: float, number: int, last: int) -> None:
    """Publish an event of some 250 bytes, marked as the load client wants it."""
    job.update(50, stage="importing", message=f"@{due * 1e6:.0f},{number},{last}@")


def publish(jobs: int, count: int) -> None:
    """Be a process that reports: make ``jobs`` jobs, say so, and when told report on them.

    ``count`` reports in all, as fast as the broker takes them, and without one that is merged; or
    where it is 0, at an even pace. Prints how long that took, in all and in this process's CPU.
    """
    with closing(Hub(throttle=0)) as hub, ExitStack() as stack:
        names = [f"{'ab'[number % 2]}-{number // 2}" for number in range(jobs)]
        held = [stack.enter_context(hub.job(name)) for name in names]
        print(json.dumps({"jobs": jobs}), flush=True)
        sys.stdin.readline()
        begun, cpu = time.perf_counter(), time.process_time()
        ended = _report_fast(hub, held, count) if count else _report_in_time(held[0])
        cpu = time.process_time() - cpu
        print(json.dumps({"seconds": ended - begun, "cpu": cpu}), flush=True)
        sys.stdin.readline()


def _report_fast(hub: Hub, jobs: list[Job], count: int) -> float:
    """Return when all was written but the last of each job, which no stream can miss by that."""
    last = count // len(jobs) + 1
    for number in range(1, last):
        # Of each job one or two reports are on their way, or a burst of the only one's.
        if number > 1 and (len(jobs) > 1 or number % BURST == 0):
            hub.broker.flush(jobs[0].id, 30)
        for job in jobs:
            report(job, time.monotonic(), number, last)
    for job in jobs:
        hub.broker.flush(job.id, 30)
    ended = time.perf_counter()
    time.sleep(0.5)  # who lags by more than a log holds gets its newest state, which is no event
    for job in jobs:
        report(job, time.monotonic(), last, last)
    return ended


def _report_in_time(job: Job) -> float:
    last = round(PACE * PACED_SECONDS)
    begun = time.monotonic() + 0.2
    for number in range(1, last + 1):
        due = begun + number / PACE
        time.sleep(max(0.0, due - time.monotonic()))
        report(job, due, number, last)
    return time.perf_counter()


# Starting them


BUS = 10_000
"""Above its port is where a node of a Cluster talks to the others."""


def free_port(*, most: int = 65_535) -> int:
    """Return a port that is free now, ``most`` at most."""
    while True:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port: int = sock.getsockname()[1]
        if port <= most:
            return port


@contextmanager
def running(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program for as long as the block."""
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def talking(*command: str, **options: Any) -> Any:
    """Run a program that is told lines, and says lines."""
    return running(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def heard(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return the next line that it says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} has ended")
    said: dict[str, Any] = json.loads(line)
    return said


def tell(process: "subprocess.Popen[str]") -> None:
    """Have it go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for(port: int) -> None:
    """Wait until somebody listens at a port."""
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """Start a server; yield its URL and its process's id."""
    port = free_port(most=65_535 - BUS)
    command = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
               "--appendonly", "no", "--dir", str(folder), *options)  # fmt: skip
    with running(*command, stdout=subprocess.DEVNULL) as process:
        wait_for(port)
        yield f"redis://127.0.0.1:{port}", process.pid


@contextmanager
def postgresql_server(folder: Path) -> Iterator[str]:
    """Start a server with its usual settings, but a port and a folder of its own; yield its URL."""
    port, data = free_port(), folder / "data"
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    as_whom: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL}
    if os.geteuid() == 0:  # it refuses to be root
        user = pwd.getpwnam("postgres")
        as_whom |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)

    def run(name: str, *arguments: str) -> None:
        program = shutil.which(name) or str(programs[-1] / name)
        subprocess.run([program, "--pgdata", str(data), *arguments], check=True, **as_whom)

    run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    run("pg_ctl", "--wait", f"--log={folder}/log", f"--options={options}", "start")
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "--wait", "--mode=immediate", "stop")


@contextmanager
def broker(name: str) -> Iterator[str]:
    """Have a broker that is new and empty; yield its URL."""
    folder = Path(tempfile.mkdtemp(prefix="sseprog-brokers-"))
    try:
        if name == "redis":
            with redis_server(folder) as (url, _):
                yield url
        elif name == "postgresql":
            with postgresql_server(folder) as url:
                yield url
        else:
            yield f"sqlite:///{folder}/jobs.db" if name == "sqlite" else f"{name}://"
    finally:
        shutil.rmtree(folder)


@contextmanager
def web_process(url: str, *, conflate: bool) -> Iterator[tuple[int, int]]:
    """Start a web process; yield its port and its process's id."""
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "--factory", "benchmarks.brokers:web", "--port",
               str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log",
               "--log-level", "warning", "--backlog", "4096")  # fmt: skip
    told = {"SSEPROG_BROKER": url} | ({} if conflate else {"SSEPROG_CONFLATE_AFTER": "0"})
    with running(*command, env=os.environ | told) as process:
        wait_for(port)
        yield port, process.pid


def publisher(url: str, jobs: int, count: int) -> Any:
    """Start a process that reports."""
    command = (sys.executable, "-m", "benchmarks.brokers", "publish", str(jobs), str(count))
    return talking(*command, env=os.environ | {"SSEPROG_BROKER": url})


# Measuring


def latency(client: str, url: str) -> dict[str, Any]:
    """Time reports at an even pace: from a process (memory: a thread) through one to a client."""
    with ExitStack() as stack:
        remote = None
        if url != "memory://":
            remote = stack.enter_context(publisher(url, 1, 0))
            heard(remote)
        port, _ = stack.enter_context(web_process(url, conflate=False))
        seconds = str(PACED_SECONDS + 5)
        watching = stack.enter_context(talking(client, str(port), "/a-%d/stream", "1", seconds))
        heard(watching)
        tell(watching)
        if remote is not None:
            tell(remote)
        else:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/start").close()
        return heard(watching)


def appends(client: str, url: str, jobs: int, count: int, *, streams: int) -> dict[str, Any]:
    """Report as fast as can be, while ``streams`` watch: one each of all jobs, or all of one."""
    conflate = jobs == 1
    with ExitStack() as stack:
        remote = stack.enter_context(publisher(url, jobs, count))
        heard(remote)
        watching = []
        for number in range(WEB_PROCESSES if streams else 0):
            port, _ = stack.enter_context(web_process(url, conflate=conflate))
            path = f"/{'a' if conflate else 'ab'[number]}-%d/stream"
            shared = "1" if conflate else str(jobs // WEB_PROCESSES)
            command = (client, str(port), path, str(streams // WEB_PROCESSES), "40")
            watching.append(stack.enter_context(talking(*command, f"jobs={shared}")))
        for each in watching:
            heard(each)
            tell(each)
        time.sleep(0.1)  # until they count what they see
        tell(remote)
        told = heard(remote)
        seen = [heard(each) for each in watching]
    wanted = (count + jobs) * (streams if conflate else 1)
    return {
        "appends": count / told["seconds"],
        "cpu": told["cpu"] / count,
        "share": sum(each["events"] for each in seen) / wanted if seen else None,
        "finished": sum(each["finished"] for each in seen) / streams if seen else None,
        "missing": sum(each["missing"] for each in seen),
        "p50": max((each["p50"] for each in seen), default=None),
        "p99": max((each["p99"] for each in seen), default=None),
    }


def main(names: list[str]) -> None:
    """Measure, and print two tables."""
    timed: dict[str, dict[str, Any]] = {}
    rows: list[str] = []
    counts = {"redis": 60_000, "sqlite": 20_000, "postgresql": 10_000}
    work: list[tuple[str, int, int]] = [
        ("nobody watches", 1_000, 0),
        ("1,000 jobs, a stream each, nothing conflated", 1_000, STREAMS),
        ("1 job, 1,000 streams, conflated", 1, STREAMS),
    ]
    client = compiled("client.c")
    for name in names:
        with broker(name) as url:
            timed[name] = latency(client, url)
        for what, jobs, streams in work if name in counts else ():
            with broker(name) as url:
                found = appends(client, url, jobs, counts[name], streams=streams)
            rows.append(_row(name, what, found))
    print(f"One job, one stream, {PACE:g} reports/s, publish to client:\n")
    print("| broker | p50 ms | p99 ms | missing | goal |\n|---|--:|--:|--:|---|")
    for name, found in timed.items():
        print(f"| {name} | {found['p50']:.2f} | {found['p99']:.2f} | {found['missing']} | "
              f"{GOALS[name]} |")  # fmt: skip
    print(f"\nOne publisher, as fast as it can, {WEB_PROCESSES} web processes:\n")
    print("| broker | who watches | appends/s | publisher's CPU, µs each | "
          "events that streams got | streams that saw the last | p50 ms | p99 ms |")  # fmt: skip
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    print("\n".join(rows))


def _row(name: str, what: str, found: dict[str, Any]) -> str:
    seen = "| | |"
    if found["share"] is not None:
        seen = (f"{found['share']:.1%} | {found['finished']:.0%} | {found['p50']:.0f} | "
                f"{found['p99']:.0f}")  # fmt: skip
    return f"| {name} | {what} | {found['appends']:,.0f} | {1e6 * found['cpu']:.0f} | {seen} |"


if __name__ == "__main__":
    if sys.argv[1:2] == ["publish"]:
        publish(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main(sys.argv[1:] or list(GOALS))
