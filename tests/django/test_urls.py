"""What is below the mount, and with which answer."""

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, override_settings
from django.urls import resolve, reverse, set_script_prefix

from sseprog import Hub, __version__


@pytest.mark.parametrize(
    ("name", "arguments", "url"),
    [
        ("stream", {"job_id": "a.b_c~d:e-f"}, "/jobs/a.b_c~d:e-f/stream"),
        ("snapshot", {"job_id": "job-1"}, "/jobs/job-1"),
        ("cancel", {"job_id": "job-1"}, "/jobs/job-1/cancel"),
        ("static", {"name": "sseprog.js"}, "/jobs/static/sseprog.js"),
    ],
)
def test_routes_have_names(name: str, arguments: dict[str, str], url: str) -> None:
    assert reverse(f"sseprog:{name}", kwargs=arguments) == url
    assert resolve(url).view_name == f"sseprog:{name}"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/jobs/", 404, None),
        ("GET", "/jobs/nope", 404, None),
        ("GET", "/jobs/nope/", 404, None),
        ("GET", "/jobs/nope/stream/", 404, None),
        ("GET", "/jobs/a/b/c", 404, None),
        ("GET", "/jobs/a%2Fb/stream", 404, None),
        ("GET", "/jobs/a%20b", 400, None),
        ("GET", "/jobs/a%0Ab", 400, None),
        ("GET", "/jobs/a%0A/stream", 400, None),
        ("GET", "/jobs/%0A/b/%0A", 404, None),
        ("GET", "/jobs/%00", 400, None),
        ("GET", "/jobs/%C3%A4/stream", 400, None),
        ("GET", "/jobs/%FF/stream", 400, None),
        ("GET", "/jobs/..", 400, None),
        ("GET", "/jobs/" + "a" * 129, 400, None),
        ("GET", "/jobs/j/stream?last_event_id=nonsense", 400, None),
        ("GET", "/jobs/j/stream?from=end", 400, None),
        ("GET", "/jobs/j/stream?x=%FF", 400, None),
        ("GET", "/jobs/j/stream?" + "&".join(["job=a"] * 40), 400, None),
        ("GET", "/jobs/j?job=a&job=b", 200, None),
        ("GET", "/jobs/j/cancel", 405, "POST"),
        ("PUT", "/jobs/j", 405, "GET, HEAD"),
        ("POST", "/jobs/j", 405, "GET, HEAD"),
        ("POST", "/jobs/j/stream/", 404, None),
        ("DELETE", "/jobs/j/stream", 405, "GET, HEAD"),
        ("OPTIONS", "/jobs/j/stream", 405, "GET, HEAD"),
        ("PROPFIND", "/jobs/j/stream", 405, "GET, HEAD"),
        ("POST", "/jobs/static/sseprog.js", 405, "GET, HEAD"),
        ("GET", "/jobs/static/other.js", 404, None),
        ("GET", "/jobs/static/../../settings.py", 404, None),
    ],
)
def test_every_answer_below_the_mount_is_the_protocol_s(
    client: Client, hub: Hub, method: str, path: str, status: int, allow: str | None
) -> None:
    hub.create("j")
    answer = client.generic(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers.get("Allow") == allow
    if status >= 400:
        assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("append_slash", [True, False])
def test_a_slash_too_many_is_another_path(client: Client, hub: Hub, append_slash: bool) -> None:
    hub.create("j")
    with override_settings(APPEND_SLASH=append_slash):
        assert client.get("/jobs/j").status_code == 200
        assert client.get("/jobs/j/").json() == {"error": "there is nothing here"}
        assert client.head("/jobs/j/stream/").status_code == 404


def test_the_rest_of_the_site_is_not_touched(client: Client) -> None:
    assert client.get("/nowhere").headers["Content-Type"].startswith("text/html")


def test_a_snapshot_is_not_sent_twice(client: Client, hub: Hub) -> None:
    hub.create("j")
    first = client.get("/jobs/j")
    again = client.get("/jobs/j", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "Content-Type" not in again.headers


def test_the_client_is_served_for_a_year_under_its_version(client: Client) -> None:
    answer = client.get(f"/jobs/static/sseprog.js?v={__version__}")
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert "immutable" in answer.headers["Cache-Control"]
    assert b"JobProgressTracker" in answer.content


@override_settings(
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
)
def test_where_all_must_log_in_the_client_is_still_served(client: Client, hub: Hub) -> None:
    hub.create("j")
    assert client.get("/jobs/j/stream").status_code == 302
    assert client.get("/jobs/static/sseprog.js").status_code == 200


@override_settings(FORCE_SCRIPT_NAME="/below")
def test_a_site_below_a_prefix_has_its_jobs_there(hub: Hub) -> None:
    hub.create("j")
    application = WSGIHandler()
    try:
        page = Client().generic("GET", "/page/j").wsgi_request.environ
        body = b"".join(application({**page, "PATH_INFO": "/page/j"}, lambda *_: None)).decode()
    finally:
        set_script_prefix("/")
    assert 'src="/below/jobs/j/stream"' in body
    assert 'src="/below/jobs/static/sseprog.js' in body
