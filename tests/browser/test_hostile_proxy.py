"""What proxies, load balancers and hotels do to streams, of one job, of many, and of eight tabs."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from .hostile_proxy import (
    HostileProxy,
    Trick,
    answered,
    bytewise,
    caches_streams,
    cut_after,
    lags,
    only,
    retries_at_once,
    strips_last_event_id,
)
from .real_server import RealServer

# The first tab is closed in the middle.
FRAMES = """<!doctype html><title>tabs</title><body><script>
const add = (who) => {
  const frame = document.createElement("iframe");
  frame.src = `/tab?${who}`;
  document.body.append(frame);
  return frame;
};
const first = add(0);
window.leave = () => first.remove();
setTimeout(() => { for (let who = 1; who < TABS; who++) add(who); }, 500);
</script>"""
PAGE = """
import { shareTabs } from "/jobs/static/tabs.js";
import { JobProgressTracker } from "/jobs/static/tracker.js";

const jobs = JOBS, tabs = TABS;
const who = location.search.slice(1);
const told = Object.fromEntries(jobs.map((id) => [id, []]));
const links = Object.fromEntries(jobs.map((id) => [id, []]));
let slowest = 0;
const say = async (what, body) => {
  try {
    await fetch(`/${what}-${who}`, { method: "POST", body });
  } catch {
    setTimeout(() => say(what, body), 200); // it was cut
  }
};
const once = new Set();
const check = (what, is) => {
  if (once.has(what) || !jobs.every(is)) return;
  once.add(what);
  say(what, JSON.stringify({ told, links, slowest }));
};
const visit = async () => {
  const began = performance.now();
  await fetch("/", { cache: "no-store" }).catch(() => {});
  slowest = Math.max(slowest, performance.now() - began);
  setTimeout(visit, 500);
};

if (tabs > 1) shareTabs();
visit();
for (const id of jobs) {
  const record = (name) => ({ progress }) => {
    told[id].push([name, progress]);
    check("told-60", (job) => told[job].at(-1)?.[1] >= 60);
    if (who === "1" && progress >= 40) parent.leave();
  };
  new JobProgressTracker(`/jobs/${id}/stream`, {
    silence: 6000,
    onStatus: record("status"),
    onProgress: record("progress"),
    onComplete: record("complete"),
    onError: record("error"),
    onConnection: (state, { reason, delay }) => {
      links[id].push(reason ? `${state}: ${reason}` : delay < 0 ? "too soon" : state);
      check("open", (job) => links[job].includes("open"));
      check("report", (job) => links[job].at(-1)?.startsWith("closed"));
    },
  }).start();
}
"""


@dataclass(frozen=True)
class Ordeal:
    """What a proxy does for some seconds to pages; how they get over it.

    A page has seen ``"every"`` report of one job, or the ``"last"`` ones.
    """

    trick: Callable[[], Trick]
    sees: str = "every"
    seconds: float = 3
    jobs: int = 3
    pages: str = "one many tabs"


NOT_FOUND = answered(404, "404 page not found", Content_Type="text/plain")
FORBIDDEN = answered(403, "<h1>Are you a robot?</h1>", Content_Type="text/html")
ORDEALS = {
    "byte by byte": Ordeal(lambda: bytewise),
    "resets": Ordeal(lambda: cut_after(0.7, reset=True)),
    "retry: 0": Ordeal(lambda: only("stream joint", retries_at_once), sees="last", seconds=6),
    "no Last-Event-ID": Ordeal(lambda: strips_last_event_id, seconds=6),
    "streams from a cache": Ordeal(lambda: only("stream joint", caches_streams()), seconds=7),
    "a replica that lags": Ordeal(lambda: only("stream joint", lags()), seconds=7),
    "404 of a router": Ordeal(lambda: NOT_FOUND),
    "403 of a firewall": Ordeal(lambda: FORBIDDEN, pages="one many"),
    "a time before now": Ordeal(lambda: answered(503, Retry_After="-5"), pages="one many"),
    "no stream of many": Ordeal(
        lambda: only("joint", answered(414)), sees="last", seconds=12, jobs=20, pages="many"
    ),
    "504 after 5 s": Ordeal(lambda: answered(504, seconds=5), seconds=8, jobs=10, pages="many"),
}


async def endure(ordeal: Ordeal, real: RealServer, proxy: HostileProxy, jobs: list[str]) -> Any:
    """Go through it; return what the tabs report that are left in the end."""
    tabs = range(1, 8) if "tabs = 8" in proxy.pages["/page.js"] else range(1)

    async def posted(what: str) -> list[Any]:
        bodies = asyncio.gather(*(proxy.posted(f"/{what}-{tab}") for tab in tabs))
        return [json.loads(body) for body in await asyncio.wait_for(bodies, 40)]

    async def report(first: int, last: int, seconds: float) -> None:
        for number in range(first, last + 1):
            for job_id in jobs:
                real.update(job_id, number, message=f"{number} €")
            await asyncio.sleep(seconds / 30)

    await posted("open")
    await report(1, 30, 0.5)
    proxy.trick = ordeal.trick()
    proxy.cut()
    proxy.asked.clear()
    await report(31, 60, ordeal.seconds)
    proxy.trick = None
    await posted("told-60")
    await report(61, 90, 0.5)
    for job_id in jobs:
        real.complete(job_id)
    return await posted("report")


def check(report: Any, one: bool, sees: str) -> None:
    """Hold what one tab reports against what it is to see."""
    assert report["slowest"] < 3000
    for job_id, told in report["told"].items():
        assert [name for name, _ in told if name not in {"status", "progress"}] == ["complete"]
        assert report["links"][job_id][-1] == "closed: ended"
        assert "too soon" not in report["links"][job_id]
        numbers = [number for name, number in told if name != "complete" and number]
        if one and sees == "every":
            assert numbers == list(range(numbers[0], 91))
        assert numbers == sorted(numbers)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("browser_name", ["chromium", "firefox"])
def test_hostility_is_got_over_without_a_storm(
    browser_name: str,
    show_in: Callable[[str, str], AbstractContextManager[None]],
    subtests: pytest.Subtests,
) -> None:
    real = RealServer(heartbeat=1)

    async def run() -> dict[str, tuple[asyncio.Task[Any], HostileProxy, list[str], Ordeal]]:
        running: dict[str, tuple[asyncio.Task[Any], HostileProxy, list[str], Ordeal]] = {}
        home = HostileProxy(real.url)
        home.pages["/"] = "<!doctype html><title>ordeals</title>"
        await home.open()
        for name, ordeal in ORDEALS.items():
            for pages in ordeal.pages.split():
                count = ordeal.jobs if pages == "many" else 1
                jobs = [f"job-{len(running)}-{number}" for number in range(count)]
                proxy = HostileProxy(real.url)
                await proxy.open()
                tabs = "8" if pages == "tabs" else "1"
                script = PAGE.replace("JOBS", json.dumps(jobs)).replace("TABS", tabs)
                proxy.pages |= {
                    "/": FRAMES.replace("TABS", tabs),
                    "/tab": "<title>a tab</title><script type=module src=/page.js></script>",
                    "/page.js": script,
                }
                for job_id in jobs:
                    real.begin(job_id)
                task = asyncio.create_task(endure(ordeal, real, proxy, jobs))
                running[f"{pages}: {name}"] = task, proxy, jobs, ordeal
                home.pages["/"] += f"<iframe src={proxy.url}></iframe>"
        with show_in(browser_name, home.url):
            await asyncio.wait([task for task, *_ in running.values()])
        for _, proxy, *_ in running.values():
            await proxy.close()
        await home.close()
        return running

    try:
        with ThreadPoolExecutor(1) as pool:  # Playwright has a loop in this thread
            ran = pool.submit(asyncio.run, run()).result()
    finally:
        real.close()
    for name, (task, proxy, jobs, ordeal) in ran.items():
        with subtests.test(name):
            for report in task.result():
                check(report, len(jobs) == 1, ordeal.sees)
            times = [ask.at for ask in proxy.asked]
            # Some snapshots in one go, and a stream; but not again and again.
            most = 6 + 2 * min(8, len(jobs))
            pairs = zip(times, times[most:], strict=False)
            assert all(late - early > 1 for early, late in pairs), proxy.asked
