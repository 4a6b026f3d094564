"""Pages that a browser keeps while one looks at another, and shows again as they were."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from playwright.sync_api import Browser

from .moody_server import MoodyServer

Eventually = Callable[..., None]
ShowIn = Callable[..., AbstractContextManager[None]]

PAGE = """
import { JobProgressTracker } from "/tracker.js";
const tell = (what) => navigator.sendBeacon(`/told?tab=${location.pathname}&what=${what}`);
const hear = ({ progress }) => {
  tell(progress);
  if (progress === 10 && location.pathname === "/one") location.href = "/other";
};
new JobProgressTracker("/jobs/it/stream", { onStatus: hear, onProgress: hear }).start();
addEventListener("pageshow", ({ persisted }) => tell(persisted ? "kept" : "loaded"));
"""
OTHER = """
navigator.sendBeacon("/told?tab=/other&what=here");
const timer = setInterval(async () => {
  if ((await fetch("/back.js")).ok) {
    clearInterval(timer);
    history.back();
  }
}, 100);
"""


@pytest.fixture
def show_tabs(browser: Browser, show_in: ShowIn) -> Callable[..., AbstractContextManager[None]]:
    """Show pages in tabs of one browser, which keeps pages as it does for people."""

    @contextmanager
    def show(name: str, *urls: str) -> Iterator[None]:
        if name == "firefox":
            with show_in(name, *urls):
                yield
            return
        chromium = browser.browser_type.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        context = chromium.new_context()
        try:
            for url in urls:
                context.new_page().goto(url)
            yield
        finally:
            chromium.close()

    return show


# Firefox keeps no page that has a stream, and loads it again; Chromium does keep it.
@pytest.mark.parametrize(
    ("browser_name", "share"),
    [
        ("firefox", False),
        ("firefox", True),
        ("chromium", False),
        ("chromium", True),
    ],
)
def test_a_page_goes_on_when_one_comes_back_to_it(
    server: MoodyServer, show_tabs: ShowIn, eventually: Eventually, browser_name: str, share: bool
) -> None:
    sharing = '<script type="module" src="/tabs.js?share"></script>' if share else ""
    tab = f"<!doctype html><title>a tab</title>{sharing}<script type=module src=/page.js></script>"
    server.pages |= {"/one": tab, "/two": tab, "/page.js": PAGE, "/other.js": OTHER}
    server.pages["/other"] = "<!doctype html><title>b</title><script src=/other.js></script>"

    def told(tab: str) -> list[str]:
        return [each.query["what"] for each in server.seen("told") if each.query["tab"] == tab]

    with show_tabs(browser_name, f"{server.url}/one", f"{server.url}/two"):
        eventually(lambda: "0" in told("/one") and "0" in told("/two"), 30)
        server.publish("progress", progress=10)
        eventually(lambda: "here" in told("/other"))
        server.publish("progress", progress=20)
        eventually(lambda: "20" in told("/two"))  # while the other is away
        server.pages["/back.js"] = ""
        eventually(lambda: "20" in told("/one"), 5)
        server.publish("progress", progress=30)
        eventually(lambda: "30" in told("/one") and "30" in told("/two"), 3)
