"""The demo as a process, videos to give it, and a real Chromium to look at its page."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from .demo_process import DemoProcess
from .studio_server import StudioServer

StartDemo = Callable[..., DemoProcess]
Serve = Callable[..., StudioServer]
Eventually = Callable[..., None]
Screenshot = Callable[[Page, str], None]
NewContext = Callable[..., BrowserContext]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Give the folder that the demo takes for ``/tmp``."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@pytest.fixture
def start_demo(temporary: Path) -> Iterator[StartDemo]:
    """Start ``sseprog demo``: ``start_demo(video, "--workers", 1)``. Ended with the test."""
    started: list[DemoProcess] = []

    def start(*arguments: object, **options: int) -> DemoProcess:
        demo = DemoProcess(*arguments, temporary=temporary, **options)
        started.append(demo)
        return demo

    yield start
    for demo in started:
        demo.close()


@pytest.fixture
def demo(start_demo: StartDemo) -> DemoProcess:
    """Give a demo that runs one job at a time."""
    return start_demo("--workers", 1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """Give a demo for a whole module, where what others do to it does not matter."""
    demo = DemoProcess(temporary=tmp_path_factory.mktemp("shared"))
    yield demo
    demo.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve the application with its own limits: ``serve(max_upload=1000)``."""
    servers: list[StudioServer] = []

    def start(**options: Any) -> StudioServer:
        server = StudioServer(tmp_path / f"output{len(servers)}", **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10) as client:
        yield client


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a file by ffmpeg's arguments, once per session: ``make_clip("a.mp4", "-f", ...)``."""
    folder = tmp_path_factory.mktemp("clips")
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not on PATH: apt install ffmpeg")

    def make(name: str, *words: object) -> Path:
        path = folder / name
        if not path.exists():
            command = ["ffmpeg", "-v", "error", "-y", *map(str, words), path]
            subprocess.run(command, check=True)
        return path

    return make


QUICK = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="session")
def clip(make_clip: Callable[..., Path]) -> Path:
    """Give the usual film: 6 s of 320 x 180 with sound, its index in front."""
    picture = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=6")
    sound = ("-f", "lavfi", "-i", "sine=duration=6", "-c:a", "aac")
    return make_clip("holiday.mp4", *picture, *sound, *QUICK, "-movflags", "+faststart")


@pytest.fixture(scope="session")
def long_clip(make_clip: Callable[..., Path]) -> Path:
    """Give a film that takes longer than any test: noise is hard to encode."""
    picture = ("-f", "lavfi", "-i", "testsrc2=size=960x540:rate=25:duration=6")
    noise = ("-vf", "noise=alls=40:allf=t", "-b:v", "1M")
    part = make_clip("part.mp4", *picture, *noise, *QUICK)
    copy = ("-c", "copy", "-movflags", "+faststart")
    return make_clip("long.mp4", "-stream_loop", 29, "-i", part, *copy)


@pytest.fixture
def long_clips(long_clip: Path, tmp_path: Path) -> list[Path]:
    """Give that film five times: ``0.mp4`` to ``4.mp4``."""
    paths = [tmp_path / f"{number}.mp4" for number in range(5)]
    for path in paths:
        path.hardlink_to(long_clip)
    return paths


VIOLATIONS = """
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  console.error(`violated: ${violatedDirective} by ${blockedURI}`));
"""


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """List what went wrong in pages; a test that provokes it clears the list."""
    heard: list[str] = []
    yield heard
    assert heard == []


@pytest.fixture
def new_context(
    browser: Browser, complaints: list[str], start_demo: StartDemo, serve: Serve
) -> Iterator[NewContext]:
    """Give a new profile, as that of a browser that was started anew.

    It is closed before the servers are, which pages would complain about.
    """
    contexts: list[BrowserContext] = []

    def make(width: int = 1280, height: int = 900) -> BrowserContext:
        context = browser.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(20_000)
        context.add_init_script(VIOLATIONS)
        context.on(
            "console",
            lambda said: said.type in {"error", "warning"} and complaints.append(said.text),
        )
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_context: NewContext) -> Page:
    return new_context().new_page()
