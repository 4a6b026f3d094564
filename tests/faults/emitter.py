"""Jobs that report, in a process that may be broken: ``emitter.py '{"url": ...}'``.

Says on stdout, a line of JSON each, that a job has begun, what has become of it, and what was
asked on stdin: ``finish`` (all jobs come to their end), ``counts``, ``close`` (the hubs).
"""

import faulthandler
import gc
import json
import logging
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any

from sseprog import Hub, JobCancelled, JobEnded, JobFailed

FAILING = 0.3  # of the jobs

lock = threading.Lock()


def say(**what: Any) -> None:
    with lock:
        print(json.dumps(what), flush=True)


def work(hub: Hub, job_id: str, seed: int, rate: float, finish: threading.Event) -> None:
    """Report ``rate`` times a second until told to finish; then end well, or not."""
    chance = random.Random(f"{seed} {job_id}")  # noqa: S311
    fails = chance.random() < FAILING
    raised, slowest, leaving = "", 0.0, 0.0
    job = hub.job(job_id)
    try:
        with job:
            say(began=job_id)
            count = 0
            while not finish.is_set():
                count += 1
                before = time.monotonic()
                job.update(
                    99 * count / (count + 500),
                    stage=f"part {count // 40}",
                    message=f"update {count}",
                    details={"count": count, "noise": "x" * chance.randrange(200)},
                )
                slowest = max(slowest, time.monotonic() - before)
                finish.wait(chance.uniform(0.5, 1.5) / rate)
            leaving = time.monotonic()
            if fails:
                raise JobFailed("It was to fail.", code="meant")
    except JobFailed:
        pass
    except (JobEnded, JobCancelled) as error:
        raised = type(error).__name__
    except BaseException as error:
        raised = repr(error)
        logging.getLogger("emitter").exception("job %s", job_id)
    left = time.monotonic() - leaving if leaving else 0.0
    say(ended=job_id, state=json.loads(job.state.to_json()), raised=raised, slowest=slowest,
        leaving=left)  # fmt: skip


def counts() -> dict[str, Any]:
    """Count what this process holds, but for what only waits for the garbage collector."""
    gc.collect()
    names = Counter(thread.name.rstrip("0123456789") for thread in threading.enumerate())
    return {"threads": names, "files": len(os.listdir("/proc/self/fd"))}


def main() -> None:
    options = json.loads(sys.argv[1])
    faulthandler.register(signal.SIGUSR1)  # to say where it hangs
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    say(counts=counts())
    # Half of the jobs report as fast as they can, the others as is the default.
    hubs = [Hub(options["url"], throttle=throttle, **options["settings"]) for throttle in (0, 0.1)]
    finish = threading.Event()
    threads = [
        threading.Thread(
            target=work,
            args=[hubs[n % 2], job_id, options["seed"], options["rate"], finish],
            name=f"job-{n}",
        )
        for n, job_id in enumerate(options["jobs"])
    ]
    for thread in threads:
        thread.start()
    for line in sys.stdin:
        match line.strip():
            case "finish":
                finish.set()
            case "counts":
                say(counts=counts())
            case "close":
                for thread in threads:
                    thread.join()
                before = time.monotonic()
                for hub in hubs:
                    hub.close()
                say(counts=counts(), closing=time.monotonic() - before)
    os._exit(0)  # whoever started this has gone


if __name__ == "__main__":
    main()
