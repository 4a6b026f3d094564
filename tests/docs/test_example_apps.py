"""The README's applications for each framework, built by what it says, on real servers."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sseprog.testing._server import free_port

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()

Start = Callable[..., str]


def section(title: str, end: str) -> dict[str, str]:
    """Return the files that a part of the README shows, by their names."""
    part = README.partition(title)[2].partition(end)[0]
    files = re.findall(
        r"^```\w+\n(?:#|<!--) ([\w./]+)[^\n]*\n(.*?)^```", part, re.MULTILINE | re.DOTALL
    )
    assert files, title
    return dict(files)


APPS = {
    "fastapi": section("# sseprog\n", "Run it by"),
    "flask": section("## Flask, Django", "And in Django"),
    "django": section("And in Django", "They run on the server"),
}
WORK = APPS["flask"].pop("work.py")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server in ``tmp_path``; return its address once it answers."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*command: str) -> str:
        port = free_port()
        arguments = [argument.format(port=port) for argument in command]
        processes.append(subprocess.Popen([sys.executable, *arguments], cwd=tmp_path))
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{address}/jobs/none", timeout=30)
            except httpx.ConnectError:
                assert time.monotonic() < deadline
                assert processes[-1].poll() is None
                time.sleep(0.05)
            else:
                return address

    yield run
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(10)


def write(folder: Path, files: dict[str, str]) -> None:
    (folder / "work.py").write_text(WORK)
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def watched(address: str) -> None:
    """Load the page as a browser does, and read its job to the end."""
    page = httpx.get(f"{address}/", timeout=30)
    assert page.status_code == 200, page.text
    assert page.text.count("<script") == page.text.count("<job-progress") == 1
    script, stream = re.findall(r' src="([^"]+)"', page.text)
    assert (
        httpx.get(address + script, timeout=30)
        .headers["content-type"]
        .startswith("text/javascript")
    )
    with httpx.stream("GET", address + stream, timeout=30) as response:
        names = re.findall(r"^event: (\w+)$", response.read().decode(), re.MULTILINE)
    assert names[0] == "status"
    assert "progress" in names
    assert names[-1] == "complete"


@pytest.mark.parametrize("app", APPS)
def test_eight_lines_of_an_application_at_most_are_of_sseprog_and_two_of_its_page(app: str) -> None:
    ours = {".py": re.compile(r"sseprog|hub|\bjob\b"), ".html": re.compile(r"sseprog|job_progress")}
    counts = {".py": 0, ".html": 0}
    for name, text in APPS[app].items():
        kind = Path(name).suffix
        counts[kind] += sum(bool(ours[kind].search(line)) for line in text.splitlines())
    assert 2 <= counts[".py"] <= 8
    assert counts[".html"] <= 2


def test_the_flask_application_runs_by_the_readme_alone(tmp_path: Path, start: Start) -> None:
    write(tmp_path, APPS["flask"])
    watched(start("-m", "flask", "run", "--port", "{port}"))


def test_the_django_application_runs_by_the_readme_alone(tmp_path: Path, start: Start) -> None:
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "mysite", "."], cwd=tmp_path, check=True
    )
    files = dict(APPS["django"])
    with (tmp_path / "mysite/settings.py").open("a") as settings:
        settings.write(files.pop("mysite/settings.py"))
    write(tmp_path, files)
    checked = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "no issues" in checked.stdout + checked.stderr
    watched(start("manage.py", "runserver", "--noreload", "{port}"))
