"""What the README promises: a new project, a few lines, and it runs. And the commands."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from sseprog import Hub

WORK = """
import time
from sseprog import Progress

def count_sheep(flock=4):
    for n in range(1, flock + 1):
        time.sleep(0.05)
        yield Progress(100 * n / flock, stage="counting", message=f"{n} of {flock}")
"""

SETTINGS = """
INSTALLED_APPS += ["sseprog_django"]
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
"""

URLS = """
from django.shortcuts import render
from django.urls import include, path
from sseprog_django import hub
from work import count_sheep

def page(request):
    return render(request, "page.html", {"job_id": hub.start(count_sheep)})

urlpatterns = [path("jobs/", include("sseprog_django.urls")), path("", page)]
"""

PAGE = """
{% load sseprog %}
{% job_progress job_id label="Sheep" cancellable=True %}
"""


def outside() -> dict[str, str]:
    """The environment without this project."""
    return {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}


def manage(project: Path, *arguments: str) -> str:
    """Run a command of manage.py that must not fail or warn."""
    ran = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=project,
        env=outside(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    command = [sys.executable, "-m", "django", "startproject", "mysite", "."]
    subprocess.run(command, cwd=tmp_path, env=outside(), check=True, timeout=60)
    (tmp_path / "work.py").write_text(WORK)
    with (tmp_path / "mysite" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    (tmp_path / "mysite" / "urls.py").write_text(URLS)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text(PAGE)
    return tmp_path


def test_a_new_project_with_the_lines_of_the_readme_runs(project: Path) -> None:
    assert "no issues" in manage(project, "check")
    assert "No changes" in manage(project, "makemigrations", "--check")
    manage(project, "migrate", "--verbosity=0")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
        cwd=project,
        env=outside(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            html = wait_for_page(client)
            client_url, stream_url = re.findall(r'src="([^"]+)"', html)
            assert "JobProgressTracker" in client.get(client_url).text
            stream = client.get(stream_url).text
            assert stream.count("event: progress") >= 1
            assert stream.rstrip().splitlines()[-2] == "event: complete"
    finally:
        server.terminate()
        assert server.wait(10) is not None


def wait_for_page(client: httpx.Client) -> str:
    deadline = time.monotonic() + 20
    while True:
        try:
            return client.get("/").raise_for_status().text
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_command_follows_a_job_to_its_end(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    from django.core.management import call_command

    with hub.job("done") as job:
        job.update(5, stage="first")
    with pytest.raises(SystemExit) as ended:
        call_command("sseprog_watch", "done")
    assert ended.value.code == 0
    assert "completed" in capfd.readouterr().out
    with pytest.raises(SystemExit) as ended:
        call_command("sseprog_watch", "nope")
    assert ended.value.code == 2
    assert "there is no job 'nope'" in capfd.readouterr().err


def test_a_command_lists_the_newest_jobs(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import CommandError, call_command

    hub.create("first")
    hub.create("second")
    call_command("sseprog_jobs")
    assert capsys.readouterr().out.split() == ["second", "pending", "first", "pending"]
    call_command("sseprog_jobs", limit=1)
    assert capsys.readouterr().out.split() == ["second", "pending"]
    with pytest.raises(CommandError, match="1 at least"):
        call_command("sseprog_jobs", limit=0)


def test_without_django_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['django'] = None\n"
        "from sseprog.errors import MissingExtra\n"
        "try:\n import sseprog_django\nexcept MissingExtra as error:\n print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert 'pip install "sseprog[django]"' in ran.stdout


def test_the_package_names_what_it_has() -> None:
    import sseprog_django

    values: dict[str, Any] = vars(sseprog_django)
    assert sorted(sseprog_django.__all__) == ["Authorize", "hub"]
    assert all(name in values for name in sseprog_django.__all__)
