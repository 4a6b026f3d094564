"""Streams on real servers, with sessions in real databases: who sees them, and what they cost."""

from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest

from .cluster import Cluster
from .served import KINDS, Events, Served, events

MANY = 6
"""Streams at once; gunicorn has threads for as many."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str, database: str, serve: Callable[[str, str], Served]) -> Served:
    return serve(kind, database)


@pytest.fixture
def job(request: pytest.FixtureRequest, server: Served) -> str:
    """A running job, which is alice's."""
    job_id = f"job-{abs(hash(request.node.nodeid))}"
    server.drive("create", job_id, owner=1)
    return job_id


def test_a_stream_is_for_the_owner_who_has_logged_in(server: Served, job: str) -> None:
    for name in (None, "bob"):
        with server.client(name) as stranger, events(stranger, job) as refused:
            assert refused.response.status_code == 404
    with server.client("alice") as alice, events(alice, job) as seen:
        assert seen.response.status_code == 200
        assert seen.next()[0] == "status"


def test_each_event_arrives_at_once_though_gzip_is_in_use(server: Served, job: str) -> None:
    with server.client("alice") as alice:
        assert alice.get("/login/").headers["Content-Encoding"] == "gzip", "or nothing is tested"
        with events(alice, job) as seen:
            assert "Content-Encoding" not in seen.response.headers
            assert seen.next()[0] == "status"
            for percent in (10, 20, 30):
                server.drive("report", job, progress=percent)
                name, data = seen.next()
                assert (name, data["progress"]) == ("progress", percent)
            server.drive("finish", job)
            assert seen.next()[0] == "complete"
            with pytest.raises(StopIteration):
                seen.next()


def test_a_stream_has_the_headers_that_middleware_adds(server: Served, job: str) -> None:
    with server.client("alice") as alice, events(alice, job) as seen:
        headers = seen.response.headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["Cache-Control"] == "no-cache, no-store, no-transform"
        assert headers["X-Under-Test"] == "yes"
        assert headers["X-Content-Type-Options"] == "nosniff"
        cookies = headers.get_list("Set-Cookie")
        assert any(cookie.startswith("seen=1") for cookie in cookies)
        assert any(cookie.startswith("sessionid=") for cookie in cookies)
        assert "Content-Length" not in headers


def test_open_streams_hold_no_connection_to_the_database(
    server: Served,
    job: str,
    database: str,
    request: pytest.FixtureRequest,
    eventually: Callable[..., None],
) -> None:
    def held() -> int:
        if database == "sqlite":
            return server.figures()["databases"]
        cluster: Cluster = request.getfixturevalue("cluster")
        return cluster.connections(server.name)

    with server.client("alice") as alice:
        with ExitStack() as stack:
            streams = [stack.enter_context(events(alice, job)) for _ in range(MANY)]
            for stream in streams:
                assert stream.next()[0] == "status"
            eventually(lambda: server.figures()["streams"] == MANY)  # those of others are over
            assert held() == 0
        server.drive("report", job, progress=1)  # which shows gunicorn that they have left
        eventually(lambda: server.figures()["streams"] == 0)


def test_with_streams_holds_no_thread(
    serve: Callable[[str, str], Served], database: str, eventually: Callable[..., None]
) -> None:
    server = serve("with_streams", database)
    server.drive("create", f"threads-{database}", owner=1)
    with server.client("alice") as alice, ExitStack() as stack:
        before = server.figures()["threads"]
        opened: list[Events] = []  # what is forgotten is closed
        for _ in range(40):
            viewer = stack.enter_context(
                httpx.Client(base_url=server.url, cookies=alice.cookies, trust_env=False)
            )
            opened.append(stack.enter_context(events(viewer, f"threads-{database}")))
            assert opened[-1].next()[0] == "status"
        assert server.figures()["streams"] == 40
        assert server.figures()["threads"] <= before
    eventually(lambda: server.figures()["streams"] == 0)


def test_a_job_is_cancelled_with_the_token_of_the_page_only(server: Served, job: str) -> None:
    with server.client("alice") as alice:
        page = alice.get(f"/page/{job}").text
        token = page.partition('csrf-token="')[2].partition('"')[0]
        assert alice.post(f"/jobs/{job}/cancel").status_code == 403
        cancelled = alice.post(f"/jobs/{job}/cancel", headers={"X-CSRFToken": token})
        assert (cancelled.status_code, cancelled.json()) == (202, {"cancelling": True})
    with server.client("bob") as bob:
        bob.get(f"/page/{job}")
        token = bob.cookies["csrftoken"]
        refused = bob.post(f"/jobs/{job}/cancel", headers={"X-CSRFToken": token})
        assert refused.status_code == 404


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/foreign/whole/stream", 200, "whole"),
        ("/foreign/parts/stream", 200, "one two"),
        ("/foreign/broken/stream", 500, "Server Error"),
        ("/foreign/nothing/there/stream", 404, "Not Found"),
    ],
)
def test_other_paths_that_end_like_a_stream_are_django_s(
    serve: Callable[[str, str], Served], path: str, status: int, text: str
) -> None:
    answer = serve("with_streams", "sqlite").get(path)
    assert answer.status_code == status
    assert text in answer.text
    assert answer.headers.get("X-Under-Test") == ("yes" if status == 200 else None) or status > 200


def test_an_answer_that_middleware_puts_in_a_stream_s_place_is_sent(
    serve: Callable[[str, str], Served],
) -> None:
    server = serve("with_streams", "sqlite")
    server.drive("create", "replaced")
    answer = server.get("/jobs/replaced/stream?replaced=1")
    assert (answer.status_code, answer.text) == (418, "replaced by middleware")
    assert server.figures()["streams"] == 0
