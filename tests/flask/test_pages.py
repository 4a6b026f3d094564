"""What templates, commands and other extensions see."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template_string
from flask_compress import Compress
from flask_login import LoginManager, UserMixin, login_user
from flask_wtf import CSRFProtect

from sseprog import Hub, __version__
from sseprog_flask import SSEProg

from .conftest import Connect, Serve

SCRIPT = f'<script type="module" src="/jobs/static/sseprog.js?v={__version__}"></script>\n'


def rendered(app: Flask, template: str, **values: Any) -> str:
    with app.test_request_context():
        return render_template_string(template, **values)


@pytest.mark.parametrize(
    ("call", "attributes"),
    [
        ("job_progress(id)", ""),
        ("job_progress(id, label='a.mov')", ' label="a.mov"'),
        ("job_progress(id, cancellable=True)", " cancellable"),
        ("job_progress(id, cancellable=False, hidden=False, title=None)", ""),
        ("job_progress(id, class_='wide', data_kind='x')", ' class="wide" data-kind="x"'),
        ("job_progress(id, label='<b>\"&')", ' label="&lt;b&gt;&quot;&amp;"'),
        ("job_progress(id, label='')", ' label=""'),
    ],
)
def test_a_template_shows_a_job(app: Flask, call: str, attributes: str) -> None:
    SSEProg(app)
    element = f'<job-progress src="/jobs/job-1/stream"{attributes}></job-progress>'
    assert rendered(app, f"{{{{ {call} }}}}", id="job-1") == SCRIPT + element


def test_a_page_has_the_script_once(app: Flask) -> None:
    SSEProg(app)
    page = "{{ job_progress('a') }}{{ job_progress('b') }}"
    assert rendered(app, page).count("<script") == 1
    assert rendered(app, page).count("<script") == 1, "and the next page has it too"


@pytest.mark.parametrize("job_id", ["", "a/b", '"><script>', "..", "stream"])
def test_a_template_refuses_what_is_no_id(app: Flask, job_id: str) -> None:
    SSEProg(app)
    with pytest.raises(ValueError, match="job id"):
        rendered(app, "{{ job_progress(id) }}", id=job_id)


def test_a_template_refuses_what_is_no_attribute(app: Flask) -> None:
    SSEProg(app)
    with pytest.raises(ValueError, match="is not the name of an attribute"):
        rendered(app, "{{ job_progress('a', **{'on x': 1}) }}")


def test_the_script_has_the_nonce_of_the_page_s_policy(app: Flask) -> None:
    SSEProg(app)
    app.add_template_global(lambda: "n0nce", "csp_nonce")  # as Flask-Talisman does
    assert ' nonce="n0nce"></script>' in rendered(app, "{{ job_progress('a') }}")


def test_cancelling_needs_the_token_where_forms_do(app: Flask) -> None:
    app.secret_key = "key"
    CSRFProtect(app)
    hub = SSEProg(app).hub
    hub.create("j")
    app.add_url_rule(
        "/", "page", lambda: render_template_string("{{ job_progress('j', cancellable=True) }}")
    )
    client = app.test_client()
    token = client.get("/").text.partition('csrf-token="')[2].partition('"')[0]
    assert token
    assert client.post("/jobs/j/cancel").status_code == 400
    assert hub.snapshot("j").status == "pending"
    assert client.post("/jobs/j/cancel", headers={"X-CSRFToken": token}).status_code == 202
    assert hub.snapshot("j").status == "cancelled"


class User(UserMixin):
    def __init__(self, number: int) -> None:
        self.id = number


def test_a_job_is_for_its_owner_as_flask_login_knows_him(app: Flask) -> None:
    app.secret_key = "key"
    manager = LoginManager(app)
    manager.user_loader(lambda user_id: User(int(user_id)))
    hub = SSEProg(app).hub
    hub.create("j", owner=7)

    @app.get("/login/<int:number>")
    def login(number: int) -> str:
        login_user(User(number))
        return "welcome"

    client = app.test_client()
    assert client.get("/jobs/j").status_code == 404
    client.get("/login/8")
    assert client.get("/jobs/j").status_code == 404
    client.get("/login/7")
    assert client.get("/jobs/j").status_code == 200


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_flask_compress_holds_no_event_back(
    app: Flask, serve: Serve, connect: Connect, before: bool
) -> None:
    app.config.update(COMPRESS_MIMETYPES=["text/event-stream", "text/html"], COMPRESS_MIN_SIZE=1)
    hub = Hub(throttle=0)
    if before:
        Compress(app)
    SSEProg(app, hub)
    if not before:
        Compress(app)
    app.add_url_rule("/page", "page", lambda: "x" * 9999)
    port = serve(app)
    accepts = {"Accept-Encoding": "gzip, br"}
    page = connect(port, "/page", headers=accepts).getresponse()
    assert page.getheader("Content-Encoding"), "or nothing is tested"

    with hub.job("j") as job:
        response = connect(port, "/jobs/j/stream", headers=accepts).getresponse()
        assert response.getheader("Content-Encoding") is None
        assert b"event: status" in response.read1()
        for percent in range(10, 50, 10):
            job.update(percent)
            sent = time.monotonic()
            assert b'"progress":%d,' % percent in response.read1()
            assert time.monotonic() - sent < 5, "it waited for the next"
    hub.close()


# Commands

APP = """
import threading
from flask import Flask
from sseprog_flask import SSEProg
app = Flask(__name__)
hub = SSEProg(app).hub
with hub.job("done") as job:
    job.update(5, stage="first")
hub.create("waiting")
"""


FLASK = ("flask", "--app", "served", "sseprog")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", *command]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=30)


def flask(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, *FLASK, *arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served.py").write_text(APP)
    return tmp_path


def test_a_command_lists_the_newest_jobs(folder: Path) -> None:
    ran = flask(folder, "jobs")
    assert ran.returncode == 0, ran.stderr
    first, second = ran.stdout.splitlines()
    assert first.split() == ["waiting", "pending"]
    assert second.split() == ["done", "completed", "100", "%", "first"]
    assert flask(folder, "jobs", "--limit", "1").stdout.splitlines() == [first]


def test_a_command_follows_a_job_to_its_end(folder: Path) -> None:
    ran = flask(folder, "watch", "done")
    assert (ran.returncode, ran.stdout) == (0, "done: completed\n")


def test_a_job_that_is_not_there_is_explained(folder: Path) -> None:
    ran = flask(folder, "watch", "nope")
    assert ran.returncode == 2
    assert "there is no job 'nope'; jobs of memory:// are seen in their own process" in ran.stderr


@pytest.mark.parametrize("command", [FLASK, ("sseprog.cli",)], ids=["flask", "sseprog"])
def test_a_command_follows_a_job_of_another_process(
    app: Flask, serve: Serve, folder: Path, eventually: Any, command: tuple[str, ...]
) -> None:
    hub = SSEProg(app, Hub(throttle=0)).hub
    hub.create("far")

    def work() -> None:
        eventually(lambda: hub.streams)
        with pytest.raises(ZeroDivisionError), hub.job("far") as job:
            job.update(50, stage="half")
            raise ZeroDivisionError

    working = threading.Thread(target=work)
    working.start()
    ran = run(folder, *command, "watch", f"http://127.0.0.1:{serve(app)}/jobs/far/stream")
    working.join()
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[-2:] == ["far: half", "far: failed The job failed."]


def test_a_command_reads_snapshots_where_streams_are_refused(
    app: Flask, serve: Serve, folder: Path
) -> None:
    hub = SSEProg(app, Hub(max_streams=1)).hub
    hub.create("full")
    taken = hub.stream("full")
    with hub.job("far") as job:
        job.update(50, stage="half")
    ran = run(folder, "sseprog.cli", "watch", f"http://127.0.0.1:{serve(app)}/jobs/far/stream")
    assert (ran.returncode, ran.stdout) == (0, "far: completed\n")
    assert taken is not None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:{port}/jobs/nope/stream", "can't be read: 404"),
        ("http://127.0.0.1:1/jobs/nope/stream", "can't be reached"),
        ("http://127.0.0.1:{port}/page?ticket=s3cret", "is no stream, but text/html"),
        ("http://[::1/jobs/nope/stream", "is no URL"),
        ("nope", "is not the URL of a stream"),
    ],
)
def test_a_url_that_leads_to_no_job_is_explained(
    app: Flask, serve: Serve, folder: Path, url: str, text: str
) -> None:
    SSEProg(app)
    app.add_url_rule("/page", "page", lambda: "a page")
    ran = run(folder, "sseprog.cli", "watch", url.format(port=serve(app)))
    assert ran.returncode == 2
    assert text in ran.stderr
    assert "s3cret" not in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_event_is_json_of_the_state(app: Flask) -> None:
    hub = SSEProg(app).hub
    with hub.job("j"):
        pass
    client = app.test_client()
    last = client.get("/jobs/j/stream").text.strip().splitlines()[-1]
    assert json.loads(last.removeprefix("data: ")) == client.get("/jobs/j").json
