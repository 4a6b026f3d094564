"""Every kind of outage, in Chromium and in Firefox, of one job's stream and of one of several."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Any

import pytest

from .moody_server import MoodyServer
from .outages import FIRST, OUTAGES, Case

PAGE = """
import { JobProgressTracker } from "/tracker.js";

const jobs = JOBS;
const told = Object.fromEntries(jobs.map((id) => [id, []]));
const links = Object.fromEntries(jobs.map((id) => [id, []]));
const say = async (what, body) => {
  try {
    await fetch(`/${what}`, { method: "POST", body });
  } catch {
    setTimeout(() => say(what, body), 200); // the server is away
  }
};
const once = new Set();
const check = (what, is) => {
  if (once.has(what) || !jobs.every(is)) return;
  once.add(what);
  say(what, JSON.stringify({ told, links }));
};

// The dice always show the same.
Math.random = () => 0.3;
await fetch("/ready", { method: "POST" }).catch(() => {});
for (const id of jobs) {
  const record = (name) => ({ job_id, progress }) => {
    if (job_id !== id) name += ` of ${job_id}`;
    told[id].push([name, progress]);
    for (const mark of [30, 60]) check(`told-${mark}`, (job) => told[job].at(-1)?.[1] >= mark);
  };
  new JobProgressTracker(`/jobs/${id}/stream`, {
    silence: 6000, // longer than Firefox waits where no `retry:` was seen
    onStatus: record("status"),
    onProgress: record("progress"),
    onComplete: record("complete"),
    onError: record("error"),
    onConnection: (state, { reason }) => {
      links[id].push(reason ? `${state}: ${reason}` : state);
      check("open", (job) => links[job].includes("open"));
      check("report", (job) => links[job].at(-1)?.startsWith("closed"));
    },
  }).start();
}
"""

BLANK = "<title>following</title><script type=module src=/page.js></script>"
JOBS = {"one job": ["it"], "several jobs": ["a", "b", "c"]}


def cases() -> Iterator[tuple[str, Case, Callable[[Case], None], str]]:
    """Make all of them, each with a server of its own."""
    for how, jobs in JOBS.items():
        for first, table in ((False, OUTAGES), (True, FIRST)):
            for name, (outage, fate) in table.items():
                server = MoodyServer(logs={job_id: [] for job_id in jobs})
                server.pages["/"] = BLANK
                server.pages["/login"] = "<form>Who are you?</form>"
                server.pages["/page.js"] = PAGE.replace("JOBS", repr(jobs))
                yield f"{how}: {'first, ' * first}{name}", Case(server, first), outage, fate


def check(report: Any, fate: str, name: str) -> None:
    """Hold what one page reports against what it is to see."""
    for job_id, told in report["told"].items():
        numbers = [number for kind, number in told if kind in {"status", "progress"} and number]
        others = [(kind, number) for kind, number in told if kind not in {"status", "progress"}]
        links = report["links"][job_id]
        if fate in {"every", "last", "ended"}:
            assert others == [("complete", 100)]
            assert told[-1] == ["complete", 100]
            assert links[-1] == "closed: ended"
        else:
            assert others == []
            assert links[-1] == f"closed: {fate}"
        assert [link for link in links if link.startswith("closed")] == links[-1:]
        if fate == "every" and name.startswith("one job"):
            assert numbers == list(range(1, 91))
        elif fate in {"every", "last"}:
            assert numbers == sorted(set(numbers))
            assert numbers[0] == 1
            assert numbers[-1] <= 100  # the newest state may be the last
        else:
            assert numbers == list(range(1, 31))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("browser_name", ["chromium", "firefox"])
def test_every_report_arrives_in_order_and_once_through_every_outage(
    browser_name: str,
    show_in: Callable[[str, str], AbstractContextManager[None]],
    subtests: pytest.Subtests,
) -> None:
    with ExitStack() as stack:
        running: dict[str, tuple[Future[Any], str]] = {}
        frames = ""
        # A frame per case: a page opens four streams at most, and here each has its own.
        all_cases = list(cases())
        pool = stack.enter_context(ThreadPoolExecutor(len(all_cases)))
        for name, case, outage, fate in all_cases:
            stack.enter_context(closing(case.server))
            frames += f"<iframe src={case.server.url}></iframe>"
            running[name] = (pool.submit(case.run, outage, fate), fate)
        home = stack.enter_context(closing(MoodyServer()))
        home.pages["/"] = f"<!doctype html><title>outages</title>{frames}"
        with show_in(browser_name, home.url):
            for name, (future, fate) in running.items():
                with subtests.test(name):
                    check(future.result(), fate, name)
