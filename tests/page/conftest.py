"""The npm package as people install it, programs made with it, and pages to run them on."""

import importlib.util
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from ..browser.real_server import RealServer

HERE = Path(__file__).resolve().parent
BIN = HERE / "node_modules" / ".bin"
REACTS = ["react18", "react19"]

Bundle = Callable[..., str]
Open = Callable[..., Page]


def client() -> Path:
    """Return the folder of the client, in the sseprog that is tested."""
    spec = importlib.util.find_spec("sseprog")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static" / "sseprog"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program to its good end; return what it says."""
    environment = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "0"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What would be published."""
    folder = tmp_path_factory.mktemp("packed")
    run("npm", "pack", client(), "--pack-destination", folder, cwd=folder)
    [packed] = folder.iterdir()
    return packed


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, tarball: Path) -> Callable[[str], Path]:
    """Make a folder into which this package and one React are installed, beside all the rest."""
    made: dict[str, Path] = {}

    def make(react: str) -> Path:
        if react in made:
            return made[react]
        folder = made[react] = tmp_path_factory.mktemp(react)
        modules = folder / "node_modules"
        (modules / "@types").mkdir(parents=True)
        for name in ("react", "react-dom", "@types/react", "@types/react-dom", "vue", "svelte"):
            own = HERE / react / "node_modules" / name
            (modules / name).symlink_to(own if own.exists() else HERE / "node_modules" / name)
        version = json.loads((modules / "react" / "package.json").read_text())["version"]
        assert react == f"react{version.partition('.')[0]}"
        with tarfile.open(tarball) as archive:
            archive.extractall(folder / "unpacked", filter="data")
        (folder / "unpacked" / "package").rename(modules / "sseprog")
        (folder / "package.json").write_text('{ "private": true, "type": "module" }')
        return folder

    return make


@pytest.fixture(scope="session")
def bundle(project: Callable[[str], Path]) -> Bundle:
    """Make one file of a program and all that it imports, with the warnings of development."""

    def make(name: str, source: str, react: str = "react19", *options: str) -> str:
        folder = project(react)
        (folder / name).write_text(source)
        return run(
            BIN / "esbuild",
            name,
            "--bundle",
            "--format=esm",
            "--jsx=automatic",
            "--define:process.env.NODE_ENV='development'",
            "--log-level=warning",
            *options,
            cwd=folder,
        )

    return make


@pytest.fixture
def real() -> Iterator[RealServer]:
    server = RealServer()
    yield server
    server.close()


@pytest.fixture
def show(browser: Browser, real: RealServer) -> Iterator[Open]:
    """Open a page with a script and some HTML. What the console warns of is a failure."""
    context = browser.new_context()
    context.set_default_timeout(15_000)
    page = context.new_page()
    complaints: list[str] = []
    # A refused request is of the test's own making.
    forgiven = ["Failed to load resource", "blocked by CORS policy"]
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            message.type in {"error", "warning"}
            and not any(text in message.text for text in forgiven)
            and complaints.append(message.text)
        ),
    )

    def display(
        script: str, html: str = '<main id="root"></main>', head: str = "", forgive: str = ""
    ) -> Page:
        forgiven.extend([forgive] * bool(forgive))
        real.pages["/page.js"] = script
        real.pages["/"] = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>{head}'
            f'<link rel="icon" href="data:,">{html}<script type="module" src="/page.js"></script>'
        )
        page.goto(real.url)
        return page

    yield display
    context.close()
    assert complaints == []


def recipes(language: str) -> dict[str, str]:
    """Return the programs of docs/react.md in a language, by the names in their first lines."""
    text = (HERE.parents[1] / "docs" / "react.md").read_text()
    found = re.findall(
        rf"^```{language}\n(?://|<!--) ([\w.]+)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    assert found
    return dict(found)
