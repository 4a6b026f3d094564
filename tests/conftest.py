"""What suites share: the check that they test the sseprog that is meant, and a real Chromium."""

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
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
