"""Draw a thousand jobs of ten updates a second, and count frames: ``python -m benchmarks.page``."""

import argparse
import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import uvicorn
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from sseprog import Hub
from sseprog_starlette import ProgressApp

FLAGS = ["--no-sandbox", "--disable-gpu"]
LATE = 34  # milliseconds between two frames: one of 60 a second was missed

PAGE = """<!doctype html><html lang="en"><title>Jobs</title>
<meta name="color-scheme" content="light dark">
<script type="module" src="/jobs/static/job-list.js"></script>
<job-list label="Jobs" cancellable></job-list>"""

WATCH = """() => {
  window.gaps = [];
  let last = performance.now();
  const step = (now) => {
    gaps.push(now - last);
    last = now;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}"""

# Every 10 ms as many updates as are due, whatever the timer has missed.
FEED = """([jobs, rate]) => {
  const list = document.querySelector("job-list");
  const began = performance.now();
  window.fed = 0;
  const give = (number) => {
    const id = number % jobs;
    const progress = (id * 7 + number / jobs / 5) % 100;
    list.show({
      job_id: `job-${id}`, status: "running", stage: "transcoding", progress,
      message: `frame ${number}`, details: {}, eta: 600 - progress, updated_at: null,
    });
  };
  for (let number = 0; number < jobs; number++) give(number);
  setInterval(() => {
    const due = ((performance.now() - began) / 1000) * jobs * rate;
    while (fed < due) give(fed++);
  }, 10);
}"""

FOLLOW = """(jobs) => {
  window.fed = 0;
  document.addEventListener("job-progress", () => fed++);
  const list = document.querySelector("job-list");
  for (let id = 0; id < jobs; id++) list.add(`job-${id}`);
}"""

SCROLL = """() => {
  const box = document.querySelector("job-list").shadowRoot.querySelector(".scroll");
  let down = true;
  setInterval(() => {
    box.scrollTop += down ? 30 : -30;
    if (!box.scrollTop || box.scrollTop + box.clientHeight >= box.scrollHeight - 1) down = !down;
  }, 16);
}"""


def main() -> None:
    """Measure each case, and print it as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=10, help="updates a second of each job")
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    print(f"{asked.jobs} jobs, {asked.rate:g} updates a second of each, {asked.seconds:g} s\n")
    print("| case | updates/s | frames/s | late | longest | main thread | script | style, layout |")
    print("|---|---|---|---|---|---|---|---|")
    feed = (FEED, [asked.jobs, asked.rate])
    with sync_playwright() as playwright, served() as (url, hub):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        sort = "document.querySelector('job-list').setAttribute('sort', '-progress')"
        cases: dict[str, Callable[[Page], object]] = {
            "nothing": lambda page: page.evaluate("window.fed = 0"),
            "show()": lambda page: page.evaluate(*feed),
            "show(), sorted by progress": lambda page: (page.evaluate(*feed), page.evaluate(sort)),
            "show(), scrolled": lambda page: (page.evaluate(*feed), page.evaluate(SCROLL)),
        }
        for name, begin in cases.items():
            print(measured(browser, url, name, begin, asked.seconds), flush=True)
        with reporting(hub, asked.jobs, asked.rate):
            name = "add(), from a server"
            follow = (FOLLOW, asked.jobs)
            print(
                measured(browser, url, name, lambda page: page.evaluate(*follow), asked.seconds),
                flush=True,
            )
        browser.close()


def measured(
    browser: Browser, url: str, name: str, begin: Callable[[Page], object], seconds: float
) -> str:
    """Let it run, and tell what its frames and its main thread were like, as a table's row."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(url)
    page.wait_for_function("!!customElements.get('job-list')")
    begin(page)
    page.wait_for_timeout(2000)
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    page.evaluate(WATCH)
    before, fed, at = metrics(session), page.evaluate("fed"), time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    after, fed, took = metrics(session), page.evaluate("fed") - fed, time.monotonic() - at
    gaps: list[float] = page.evaluate("gaps")
    context.close()

    def share(*names: str) -> str:
        return f"{sum(after[each] - before[each] for each in names) / took:.0%}"

    late = sum(gap > LATE for gap in gaps)
    return (
        f"| {name} | {fed / took:,.0f} | {len(gaps) / took:.0f} | {late} of {len(gaps)}"
        f" | {max(gaps):.0f} ms | {share('TaskDuration')} | {share('ScriptDuration')}"
        f" | {share('RecalcStyleDuration', 'LayoutDuration')} |"
    )


def metrics(session: CDPSession) -> dict[str, float]:
    """Return what Chromium counts of a page, in seconds."""
    found = session.send("Performance.getMetrics")["metrics"]
    return {each["name"]: each["value"] for each in found}


@contextlib.contextmanager
def served() -> Iterator[tuple[str, Hub]]:
    """Serve the page, and jobs, from a thread."""
    hub = Hub()

    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(PAGE)

    app = Starlette(routes=[Mount("/jobs", app=ProgressApp(hub)), Route("/", page)])
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, ws="none", log_config=None))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", hub
    finally:
        hub.close()
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def reporting(hub: Hub, jobs: int, rate: float) -> Iterator[None]:
    """Run so many jobs, whose reports come from one thread."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(hub.job(f"job-{number}")) for number in range(jobs)]
        ended = threading.Event()

        def report() -> None:
            began, given = time.monotonic(), 0
            while not ended.wait(0.01):
                due = int((time.monotonic() - began) * jobs * rate)
                # A machine that can't keep up skips, and the table tells.
                given = max(given, due - jobs)
                for number in range(given, due):
                    progress = min(99.0, number / jobs / 5)
                    running[number % jobs].update(progress, message=f"frame {number}")
                given = due

        thread = threading.Thread(target=report)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


if __name__ == "__main__":
    main()
