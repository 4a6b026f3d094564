"""What each server does with streams, measured; the table in docs/servers.md is made of it."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sseprog.testing._server import Server, wait_until

from . import servers
from .measuring import (
    MANY,
    Ending,
    ending_of,
    event_in,
    first_event_in,
    leaving_is_noticed_in,
    serving,
    told,
)

LIMIT = 5.0
"""Seconds after which a server that was told to stop counts as never stopping."""

PAGE = Path(__file__).parents[2] / "docs" / "servers.md"
TABLE = re.compile(r"(?<=<!-- measured -->\n).*(?=<!-- /measured -->)", re.DOTALL)

STARLETTE, FLASK = "starlette_app:app", "flask_app:app"
ROWS = {
    **{name: (server, STARLETTE) for name, server in servers.ASGI.items()},
    "uvicorn --workers 2": (servers.WORKERS, "ticking_app:app"),
    **{name: (server, FLASK) for name, server in servers.WSGI.items()},
    "gunicorn -k gthread --preload": (servers.PRELOAD, FLASK),
    "flask run": (servers.FLASK_RUN, FLASK),
    "manage.py runserver": (servers.RUNSERVER, ""),
}

Start = Callable[..., Server]
measured: dict[str, tuple[str, Ending]] = {}


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that are ended after the test, with the log shown if it fails."""
    started: list[Server] = []

    def begin(
        server: servers.Server, app: str = STARLETTE, *options: str, **settings: object
    ) -> Server:
        environment = {f"SSEPROG_{name.upper()}": str(value) for name, value in settings.items()}
        serves = serving([*server.starts(app), *options], environment=environment)
        started.append(serves)
        return serves

    yield begin
    for server in started:
        server.kill()
        print(server.log)
        server.close()


@pytest.mark.parametrize("name", ROWS)
def test_streams_are_quick_and_the_server_stops(name: str, start: Start) -> None:
    how, app = ROWS[name]
    server = start(how, app)
    if how is servers.WORKERS:  # of which each has a job of its own
        path, noticed = "/ticking/stream", "as above"
    else:
        path = f"/{server.job('j')}/stream"
        assert event_in(server, "j") < 0.2
        noticed = told(min(leaving_is_noticed_in(server, path) for _ in range(2)))
    assert first_event_in(server, path) < 0.2
    if how is not servers.WORKERS:
        server.wait_for_streams(0)
    streams = server.fill(path, MANY)
    assert len(streams) == MANY or app != STARLETTE
    ending = ending_of(server, streams, LIMIT)
    measured[name] = (noticed, ending)
    if how.attributes.get("ends_within", LIMIT) is not None:
        assert ending.seconds is not None
        assert ending.clean == how.attributes.get("ends_cleanly", True) or may_be_either(how)


CURES = {
    "granian, WSGI, --workers-kill-timeout": (
        servers.WSGI["granian, WSGI"],
        FLASK,
        ["--workers-kill-timeout", "2"],
        {},
        False,
    ),
    "granian, WSGI, max_stream_age": (
        servers.WSGI["granian, WSGI"],
        FLASK,
        [],
        {"max_stream_age": 2},
        True,
    ),
    "hypercorn, max_stream_age": (
        servers.ASGI["hypercorn"],
        STARLETTE,
        [],
        {"max_stream_age": 2},
        True,
    ),
}


@pytest.mark.parametrize("name", CURES)
def test_a_server_that_waits_for_its_streams_can_be_cured(name: str, start: Start) -> None:
    how, app, options, settings, clean = CURES[name]
    server = start(how, app, *options, **settings)
    streams = server.fill(f"/{server.job('j')}/stream", MANY)
    ending = ending_of(server, streams, LIMIT)
    assert ending.seconds is not None
    assert ending.clean == clean


def test_uvicorn_that_restarts_by_itself_waits_for_the_age_of_its_streams(start: Start) -> None:
    server = start(
        servers.ASGI["uvicorn"], STARLETTE, "--limit-max-requests", "40", max_stream_age=2
    )
    streams = server.fill(f"/{server.job('j')}/stream", MANY)
    for _ in range(25):
        server.ping()
    server.spent = True
    server.process.wait(2 * LIMIT)
    assert all(list(stream) == [] and len(stream.retries) == 2 for stream in streams)


@pytest.mark.parametrize(
    ("command", "source", "most"),
    [
        ("uvicorn reloaded:app --port {port} --reload", "from starlette_app import app", MANY),
        ("python reloaded.py runserver 127.0.0.1:{port}", "import django_app", 6),
    ],
    ids=["uvicorn --reload", "manage.py runserver"],
)
def test_a_changed_file_is_loaded_though_there_are_streams(
    command: str, source: str, most: int, tmp_path: Path
) -> None:
    module = tmp_path / "reloaded.py"
    lines = [source]
    if source == "import django_app":  # manage.py
        lines.append("if __name__ == '__main__':")
        lines.append("    django_app.execute_from_command_line(__import__('sys').argv)")
    module.write_text("\n".join(lines) + "\n")
    program, *rest = command.split()
    server = serving([str(servers.BIN / program), *rest], cwd=tmp_path)
    try:
        before = server.remote.pid
        path = f"/{server.job('j')}/stream"
        assert event_in(server, "j") < 0.2
        assert len(server.fill(path, most)) == most

        def reloaded() -> bool:
            # Again and again: both look away for a moment after they have started.
            with module.open("a") as file:
                file.write("# changed\n")
            return server.remote.pid != before

        wait_until(reloaded, 15, "the file is loaded")
        server.wait()
        assert next(server.stream(f"/{server.job('k')}/stream")).name == "status"
    finally:
        server.kill()
        print(server.log)
        server.close()


def test_gunicorn_sync_refuses_streams_and_says_why_once(start: Start) -> None:
    server = start(servers.SYNC, FLASK)
    server.job("j")
    for _ in range(2):
        page = server.get("/j/stream", {"Accept": "text/event-stream"})
        assert page.status == 200
        assert re.fullmatch(rb"retry: \d+\n: busy\n\n", page.body)
        other = server.get("/j/stream", {"Accept": "*/*"})
        assert other.status == 503
        assert other.headers["retry-after"]
    assert server.get("/j").json["status"] == "running"
    assert server.request("POST", "/j/cancel").status == 202
    assert server.log.count("streams are refused") == 1
    assert "--worker-class gthread" in server.log


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn filtered_app:app --port {port}",
        "gunicorn filtered_app:app --bind 127.0.0.1:{port} --access-logfile - "
        "--worker-class uvicorn_worker.UvicornWorker",
        "gunicorn filtered_app:wsgi --bind 127.0.0.1:{port} --access-logfile - --threads 8",
    ],
    ids=["uvicorn", "gunicorn uvicorn_worker", "gunicorn gthread"],
)
def test_the_filter_on_the_page_keeps_tickets_out_of_access_logs(
    command: str, tmp_path: Path
) -> None:
    [code] = re.findall(r"```python\n(import logging\n.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "filtered_app.py").write_text(
        f"from toy_asgi import app\nfrom toy_wsgi import app as wsgi, hub, remote_control\n{code}"
    )
    program, *rest = command.split()
    server = serving([str(servers.BIN / program), *rest], cwd=tmp_path)
    try:
        for path in ("/j?ticket=abc.DEF-1", "/j?heartbeat=event&ticket=abc.DEF-2&from=start"):
            server.get(path)
        wait_until(lambda: "from=start" in server.log, 10, "the requests are logged")
        assert server.log.count("/jobs/j?") >= 2
        assert "abc.DEF" not in server.log
        assert "heartbeat=event" in server.log
        assert "Traceback" not in server.log
    finally:
        server.kill()
        server.close()


def may_be_either(how: servers.Server) -> bool:
    return how.attributes.get("ends_cleanly", True) is None


@pytest.mark.skipif(sys.version_info < (3, 13), reason="measured on Python 3.13")
def test_the_page_has_the_table() -> None:
    """Write it, where all was measured; the limits of the classes keep it from changing."""
    if set(measured) != set(ROWS):
        pytest.skip("not all servers were measured in this run")
    lines = [
        "| server | sees a client leave | SIGTERM with 20 streams: gone | its streams | set |\n",
        "|---|---|---|---|---|\n",
    ]
    for name, (noticed, ending) in measured.items():
        streams = "ended cleanly" if ending.clean else "cut"
        if may_be_either(ROWS[name][0]):
            streams = "ended cleanly, or cut"
        elif ending.seconds is None:
            streams = "held"
        what = ROWS[name][0].set_this
        lines.append(f"| {name} | {noticed} | {told(ending.seconds)} | {streams} | {what} |\n")
    page = PAGE.read_text()
    new = TABLE.sub(lambda _: "".join(lines), page)
    if new != page and os.access(PAGE, os.W_OK):
        PAGE.write_text(new)
