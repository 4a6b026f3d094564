"""What suites share: the check that they test the sseprog that is meant, and a real Chromium."""

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # only some suites have it installed
    from playwright.sync_api import Browser, Page

# What a browser does of its own would be noise in the logs, and slow where there is no network.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FIREFOX_QUIET = """
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
"""


def imported_from() -> Path:
    """Return the folder that ``import sseprog`` would read, without importing it."""
    spec = importlib.util.find_spec("sseprog")
    if spec is None or spec.origin is None:
        raise pytest.UsageError("sseprog is not installed: run tox, or pip install -e .")
    return Path(spec.origin).parent


def pytest_report_header() -> str:
    return f"sseprog: {imported_from()}"


def pytest_configure(config: pytest.Config) -> None:
    """Refuse the source tree where the wheel is promised, which is under tox."""
    if "TOX_ENV_NAME" in os.environ and imported_from().parent == config.rootpath:
        raise pytest.UsageError("sseprog was imported from the source tree, not from the wheel")


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait, 10 s at most if nothing else is said, until a condition that nobody announces holds."""

    def wait(condition: Callable[[], object], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.005)

    return wait


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def screenshot() -> "Callable[[Page, str], None]":
    """Keep a picture of a page in ``$SSEPROG_SCREENSHOTS``, where that is set."""
    folder = os.environ.get("SSEPROG_SCREENSHOTS")

    def take(page: "Page", name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return take


@pytest.fixture(scope="session")
def axe_rules() -> str:
    """Give the script that brings axe-core into a page."""
    return (Path(__file__).parent / "axe/node_modules/axe-core/axe.min.js").read_text()


@pytest.fixture(scope="session")
def axe(axe_rules: str) -> "Callable[[Page], None]":
    """Hold a page, with its shadow roots, to axe-core's rules as it is just now."""
    run = """axe.run(document, { resultTypes: ["violations"] }).then(({ violations, passes }) => ({
      passes: passes.length,
      found: violations.flatMap(({ id, nodes }) => nodes.map(
        ({ target, failureSummary }) => `${id}: ${target.flat().join(" ")}: ${failureSummary}`)),
    }))"""

    def check(page: "Page") -> None:
        session = page.context.new_cdp_session(page)
        # Not by page.evaluate, which a page's policy may forbid.
        ask = {"awaitPromise": True, "returnByValue": True}
        for expression in (f"window.axe || (() => {{ {axe_rules} }})(), 1", run):
            answer = session.send("Runtime.evaluate", {"expression": expression, **ask})
            assert "exceptionDetails" not in answer, answer
        session.detach()
        result = answer["result"]["value"]
        assert result["passes"] > 5
        assert result["found"] == []

    return check


@pytest.fixture(scope="session")
def show_in(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., AbstractContextManager[None]]:
    """Show pages in a stock browser without a driver, ``show_in("firefox", url)``, for a while.

    The page reports what it sees to the test's server. No program stands between the two, so that
    the browsers differ in nothing else.
    """

    @contextmanager
    def show(name: str, *urls: str) -> Iterator[None]:
        profile = tmp_path_factory.mktemp(name)
        (profile / "user.js").write_text(FIREFOX_QUIET)
        command = {
            "chromium": ["chromium", "--headless", *QUIET, f"--user-data-dir={profile}"],
            "firefox": ["firefox-esr", "--headless", "--no-remote", "--profile", profile],
        }[name]
        with (profile / "output").open("wb") as output:
            browser = subprocess.Popen(
                [*command, *urls],
                # Firefox wants to own its home.
                env={**os.environ, "HOME": str(profile)},
                stdout=output,
                stderr=output,
                start_new_session=True,  # it is many processes
            )
        try:
            yield
            assert browser.poll() is None, (profile / "output").read_text()
        finally:
            os.killpg(browser.pid, signal.SIGTERM)
            try:
                browser.wait(10)
            finally:
                if browser.poll() is None:
                    os.killpg(browser.pid, signal.SIGKILL)
                    browser.wait()

    return show
