"""The extension: its hub, its prefix, its names, and that applications keep apart."""

import asyncio
import gc
import subprocess
import sys
from typing import Any

import pytest
from flask import Blueprint, Flask, abort, redirect, request, url_for

from sseprog import Hub
from sseprog_flask import SSEProg

from .conftest import Connect, Serve


def test_each_application_has_a_hub_of_its_own(app: Flask) -> None:
    other = Flask("other")
    here, there = SSEProg(app), SSEProg(other)
    assert here.hub is not there.hub
    assert app.extensions["sseprog"].hub is here.hub
    here.hub.create("j")
    assert app.test_client().get("/jobs/j").status_code == 200
    assert other.test_client().get("/jobs/j").status_code == 404


def test_one_extension_may_serve_the_applications_of_a_factory(app: Flask) -> None:
    other = Flask("other")
    progress = SSEProg()
    with pytest.raises(RuntimeError, match="no application has a hub"):
        _ = progress.hub
    progress.init_app(app)
    only = progress.hub
    progress.init_app(other)
    with pytest.raises(RuntimeError, match="2 applications have"):
        _ = progress.hub
    with app.app_context():
        assert progress.hub is only
    with other.test_request_context():
        assert progress.hub is not only
    with Flask("third").app_context(), pytest.raises(RuntimeError, match="has no hub by this"):
        _ = progress.hub


def test_a_hub_may_be_shared_by_applications(app: Flask) -> None:
    hub, other = Hub(), Flask("other")
    assert SSEProg(app, hub).hub is hub
    assert SSEProg(other, hub, url_prefix="/progress").hub is hub
    hub.create("j")
    assert app.test_client().get("/jobs/j").status_code == 200
    assert other.test_client().get("/progress/j").status_code == 200
    hub.close()


def test_an_application_has_one_extension(app: Flask) -> None:
    SSEProg(app)
    with pytest.raises(RuntimeError, match="has an SSEProg already"):
        SSEProg(app, url_prefix="/more")


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("/jobs", "/jobs"),
        ("jobs", "/jobs"),
        ("/jobs/", "/jobs"),
        ("jobs/", "/jobs"),
        ("/a/b", "/a/b"),
        ("//a/b//", "/a/b"),
    ],
)
def test_a_prefix_may_have_any_slashes(app: Flask, prefix: str, path: str) -> None:
    hub = SSEProg(app, url_prefix=prefix).hub
    hub.create("j")
    with app.test_request_context():
        assert url_for("sseprog.stream", job_id="j") == f"{path}/j/stream"
        assert url_for("sseprog.snapshot", job_id="j") == f"{path}/j"
        assert url_for("sseprog.cancel", job_id="j") == f"{path}/j/cancel"
    assert app.test_client().get(f"{path}/j").status_code == 200


@pytest.mark.parametrize("prefix", ["", "/", "<tenant>/jobs", "a b", "jobs?x"])
def test_a_prefix_that_is_no_path_is_refused(app: Flask, prefix: str) -> None:
    with pytest.raises(ValueError, match="url_prefix is a path such as '/jobs'"):
        SSEProg(app, url_prefix=prefix)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"hub": "memory://"}, "SSEProg takes a Hub, not str"),
        ({"authorize": True}, "authorize is a function"),
        ({"url_prefix": None}, "url_prefix is a path"),
    ],
)
def test_what_is_of_another_kind_is_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        SSEProg(**arguments)


def test_an_application_below_a_path_of_the_server_is_mounted_there(app: Flask) -> None:
    SSEProg(app).hub.create("j")
    client = app.test_client()
    assert client.get("/jobs/j", base_url="http://localhost/app").status_code == 200
    with app.test_request_context(base_url="http://localhost/app"):
        assert url_for("sseprog.stream", job_id="j") == "/app/jobs/j/stream"


def test_the_application_s_own_routes_below_the_prefix_go_first(app: Flask) -> None:
    SSEProg(app).hub.create("new")
    app.add_url_rule("/jobs/new", "new", lambda: "a form")
    app.add_url_rule("/jobs", "jobs", lambda: "a list")
    client = app.test_client()
    assert client.get("/jobs/new").text == "a form"
    assert client.get("/jobs").text == "a list"
    assert client.get("/jobs/other").status_code == 404


def test_an_application_that_matches_hosts_says_which_is_the_jobs() -> None:
    app = Flask("hosts", host_matching=True, static_host="www.example.org")
    with pytest.raises(ValueError, match=r"SSEProg\(host=\.\.\.\)"):
        SSEProg(app)
    SSEProg(app, host="jobs.example.org").hub.create("j")
    client = app.test_client()
    assert client.get("/jobs/j", base_url="http://jobs.example.org").status_code == 200
    assert client.get("/jobs/j", base_url="http://www.example.org").status_code == 404


def test_the_routes_may_be_on_a_subdomain() -> None:
    app = Flask("subdomains", subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.org"
    SSEProg(app, subdomain="jobs").hub.create("j")
    client = app.test_client()
    assert client.get("/jobs/j", base_url="http://jobs.example.org").status_code == 200
    assert client.get("/jobs/j", base_url="http://example.org").status_code == 404


# Settings


def test_settings_are_read_from_the_config(app: Flask) -> None:
    app.config.update(SSEPROG_BROKER="memory://", SSEPROG_HEARTBEAT=5, SSEPROG_MAX_STREAMS=None)
    settings = SSEProg(app).hub.settings
    assert (settings.heartbeat, settings.max_streams) == (5, None)


def test_what_the_config_leaves_out_is_read_from_the_environment(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSEPROG_HEARTBEAT", "5")
    monkeypatch.setenv("SSEPROG_RETRY", "5")
    app.config["SSEPROG_RETRY"] = 3
    settings = SSEProg(app).hub.settings
    assert (settings.heartbeat, settings.retry) == (5, 3)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("SSEPROG_HEARTBEET", 5, r"app.config\[SSEPROG_HEARTBEET\] .* did you mean HEARTBEAT\?"),
        ("SSEPROG_HEARTBEAT", -1, "heartbeat=-1 is not a number of seconds"),
        ("SSEPROG_BROKER", "nope://", "unknown broker scheme 'nope'"),
        ("SSEPROG_TRUSTED_PROXIES", ["x"], "trusted proxy 'x'"),
    ],
)
def test_a_setting_that_is_none_is_refused(app: Flask, key: str, value: Any, text: str) -> None:
    app.config[key] = value
    with pytest.raises(ValueError, match=text):
        SSEProg(app)
    assert "sseprog" not in app.extensions


def test_tickets_are_signed_by_the_application_s_key(app: Flask) -> None:
    other = Flask("other")
    app.secret_key = other.secret_key = "key of both"
    ticket = SSEProg(app).hub.tickets.write("j", "e", 60)
    assert SSEProg(other).hub.tickets.admits(ticket, "j", "e")


def test_a_secret_of_its_own_goes_before_the_application_s_key(app: Flask) -> None:
    app.config.update(SECRET_KEY="key", SSEPROG_SECRET="another")
    ticket = SSEProg(app).hub.tickets.write("j", "e", 60)
    assert Hub(secret="another").tickets.admits(ticket, "j", "e")


def test_a_secret_of_the_environment_goes_before_the_application_s_key(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSEPROG_SECRET", "another")
    app.secret_key = "key"
    ticket = SSEProg(app).hub.tickets.write("j", "e", 60)
    assert Hub(secret="another").tickets.admits(ticket, "j", "e")


# Who may watch


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda request: request.headers.get("X-Key") == "open", 200),
        (lambda request: False, 404),
        (lambda request: abort(401), 401),
        (lambda request: abort(redirect("/login")), 302),
        (lambda request: 1 / 0, 404),
    ],
    ids=["allows", "refuses", "aborts", "sends to the login", "fails"],
)
def test_authorize_may_abort(app: Flask, answer: Any, status: int) -> None:
    hub = SSEProg(app, authorize=lambda request, job_id, owner: answer(request)).hub
    hub.create("j", owner="7")
    assert app.test_client().get("/jobs/j", headers={"X-Key": "open"}).status_code == status


def test_authorize_may_be_a_coroutine_function(app: Flask) -> None:
    async def authorize(request: object, job_id: str, owner: str | None) -> bool:
        return owner == "7"

    hub = SSEProg(app, authorize=authorize).hub
    for owner in ("7", "8"):
        hub.create(f"of-{owner}", owner=owner)
    client = app.test_client()
    assert client.get("/jobs/of-7").status_code == 200
    assert client.get("/jobs/of-8").status_code == 404


def test_an_application_s_own_guard_guards_the_jobs_too(app: Flask) -> None:
    SSEProg(app).hub.create("j")

    @app.before_request
    def guard() -> None:
        abort(403)

    assert app.test_client().get("/jobs/j").status_code == 403


@pytest.mark.parametrize("path", ["/jobs/j/cancel", "/jobs/j/cancel/", "/jobs/j//cancel"])
def test_a_guard_by_endpoint_is_not_to_be_gone_around(app: Flask, path: str) -> None:
    hub = SSEProg(app).hub
    hub.create("j")

    @app.before_request
    def guard() -> None:
        if request.endpoint == "sseprog.cancel":
            abort(403)

    app.test_client().post(path, follow_redirects=True)
    assert hub.snapshot("j").status == "pending"


def test_authorize_may_be_async_where_a_coroutine_has_called(app: Flask) -> None:
    async def authorize(request: object, job_id: str, owner: str | None) -> bool:
        return True

    SSEProg(app, authorize=authorize).hub.create("j")

    async def call() -> int:
        return app.test_client().get("/jobs/j").status_code

    assert asyncio.run(call()) == 200


# While streaming


def test_nothing_of_the_application_is_held_while_streaming(
    app: Flask, serve: Serve, connect: Connect
) -> None:
    hub = SSEProg(app).hub
    hub.create("j")
    ended: list[str] = []
    app.teardown_request(lambda error: ended.append("request"))
    app.teardown_appcontext(lambda error: ended.append("application"))
    response = connect(serve(app), "/jobs/j/stream").getresponse()
    assert response.read1().startswith(b"retry: ")
    assert ended == ["request", "application"]
    assert hub.streams == 1


def test_a_response_that_is_lost_on_its_way_gives_its_place_back(app: Flask) -> None:
    hub = SSEProg(app).hub
    hub.create("j")
    app.after_request(lambda response: 1 / 0)
    gc.disable()
    try:
        assert app.test_client().get("/jobs/j/stream").status_code == 500
        assert hub.streams == 0
    finally:
        gc.enable()


def test_what_reads_whole_answers_does_not_wait_for_a_stream(app: Flask) -> None:
    SSEProg(app).hub.create("j")

    @app.after_request
    def look_at_the_body(response: Any) -> Any:
        if not response.direct_passthrough:
            response.get_data()
        return response

    with app.test_client().get("/jobs/j/stream") as response:
        assert next(response.response).startswith(b"retry: ")


def test_a_test_client_reads_a_stream_that_ends(app: Flask) -> None:
    hub = SSEProg(app).hub
    with hub.job("j") as job:
        job.update(50)
    assert "event: complete" in app.test_client().get("/jobs/j/stream").text


def test_a_blueprint_may_be_called_like_the_prefix(app: Flask) -> None:
    jobs = Blueprint("jobs", "jobs", url_prefix="/jobs")
    jobs.add_url_rule("/about", "about", lambda: "about jobs")
    SSEProg(app)
    app.register_blueprint(jobs)
    assert app.test_client().get("/jobs/about").text == "about jobs"


def test_without_flask_the_error_names_its_cure() -> None:
    program = (
        "import sys; sys.modules['flask'] = None\n"
        "try: import sseprog_flask\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert printed.startswith("MissingExtra")
    assert 'pip install "sseprog[flask]"' in printed
