"""Who may watch, poll and cancel: the owner, whom authorize lets, whom a plugin lets."""

import contextvars
import logging
import threading
from typing import Annotated, Any, ClassVar
from uuid import UUID

import fastapi
import httpx
import pytest
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    BaseUser,
    SimpleUser,
)
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Mount

from sseprog import Hub, hookimpl
from sseprog.testing._client import Stream
from sseprog_starlette import ProgressApp, ProgressResponse

from .conftest import Connect, Eventually, Serve

ROUTES = (("GET", "/stream"), ("HEAD", "/stream"), ("GET", ""), ("POST", "/cancel"))
ALLOWED = [200, 200, 200, 202]


def statuses(http: httpx.Client, base: str, job_id: str, **options: Any) -> list[int]:
    """Ask every route; of a stream its head only."""
    codes = []
    for method, tail in ROUTES:
        with http.stream(method, f"{base}/{job_id}{tail}", **options) as answer:
            codes.append(answer.status_code)
    return codes


class UserWithId(BaseUser):
    is_authenticated = True
    display_name = "Ada"

    def __init__(self, id_: object) -> None:
        self.id = id_
        self.username = "7"


class UserWithIdentity(UserWithId):
    identity = "ada@example.org"


class Visitor(UserWithId):
    is_authenticated = False


class HeaderBackend(AuthenticationBackend):
    """Sees who the header X-User says it is."""

    users: ClassVar[dict[str, Any]] = {
        "simple": SimpleUser("7"),
        "number": UserWithId(7),
        "uuid": UserWithId(UUID(int=7)),
        "identity": UserWithIdentity(8),
        "other": UserWithId(8),
        "visitor": Visitor(7),
    }

    async def authenticate(self, conn: Any) -> tuple[AuthCredentials, Any] | None:
        user = self.users.get(conn.headers.get("x-user"))
        return None if user is None else (AuthCredentials(["authenticated"]), user)


@pytest.mark.parametrize(
    ("owner", "user", "allowed"),
    [
        ("7", "simple", True),
        (7, "number", True),
        (str(UUID(int=7)), "uuid", True),
        ("7", "uuid", False),  # its name is no id while it has one
        ("ada@example.org", "identity", True),
        ("8", "identity", False),
        ("7", "other", False),
        ("7", "visitor", False),
        ("7", "nobody", False),
        ("", "nobody", False),
        (None, "nobody", True),
        (None, "other", True),
    ],
)
def test_an_owned_job_is_for_its_owner_alone(
    owner: Any, user: str, allowed: bool, hub: Hub, serve: Serve, http: httpx.Client
) -> None:
    hub.create("job-1", owner=owner)
    middleware = [Middleware(AuthenticationMiddleware, backend=HeaderBackend())]
    app = Starlette(routes=[Mount("/jobs", ProgressApp(hub))], middleware=middleware)
    base = f"{serve(app).url}/jobs"
    codes = statuses(http, base, "job-1", headers={"X-User": user})
    assert codes == (ALLOWED if allowed else 4 * [404])
    assert hub.snapshot("job-1").status == ("cancelled" if allowed else "pending")


def test_one_client_may_open_so_many_streams_and_another_as_many(
    serve: Serve, connect: Connect, eventually: Eventually
) -> None:
    hub = Hub(max_streams_per_client=2)
    hub.create("job-1")
    middleware = [Middleware(AuthenticationMiddleware, backend=HeaderBackend())]
    app = Starlette(routes=[Mount("/jobs", ProgressApp(hub))], middleware=middleware)
    port = serve(app).port

    def open_stream(user: str) -> Stream:
        return connect(port, "/jobs/job-1/stream", headers={"X-User": user})

    for user in ("number", "other", "nobody"):  # the last is known by its address
        first, second = open_stream(user), open_stream(user)
        assert next(first).name == next(second).name == "status"
        refused = open_stream(user)
        assert list(refused) == []
        assert refused.comments == ["busy"]
        before = hub.streams
        first.close()
        eventually(lambda before=before: hub.streams == before - 1)
        assert next(open_stream(user)).name == "status"
    hub.close()


def test_without_authentication_an_owned_job_is_for_nobody(
    hub: Hub, serve: Serve, http: httpx.Client
) -> None:
    hub.create("job-1", owner="7")
    assert statuses(http, serve(ProgressApp(hub)).url, "job-1") == 4 * [404]


def allow(request: Request, job_id: str, owner: str | None) -> bool:
    return True


def refuse(request: Request, job_id: str, owner: str | None) -> bool:
    return False


def need_login(request: Request, job_id: str, owner: str | None) -> bool:
    raise HTTPException(401, "log in", headers={"WWW-Authenticate": "Bearer"})


def forbid(request: Request, job_id: str, owner: str | None) -> bool:
    raise fastapi.HTTPException(403)


def break_down(request: Request, job_id: str, owner: str | None) -> bool:
    raise ConnectionError("the database at 10.0.0.7 is down")


def answer_by_path(request: Request, job_id: str, owner: str | None) -> bool:
    assert owner == "7"
    assert job_id == "job-1"
    return request.headers["user-agent"].startswith("python-httpx")


def redirect(request: Request, job_id: str, owner: str | None) -> Any:
    return RedirectResponse("/login")


def count(request: Request, job_id: str, owner: str | None) -> Any:
    return 1


def say_nothing(request: Request, job_id: str, owner: str | None) -> Any:
    return None


DECISIONS = [
    (redirect, 4 * [404]),
    (count, 4 * [404]),
    (say_nothing, 4 * [404]),
    (allow, ALLOWED),
    (refuse, 4 * [404]),
    (need_login, 4 * [401]),
    (forbid, 4 * [403]),
    (break_down, 4 * [404]),
    (answer_by_path, ALLOWED),
]


@pytest.mark.parametrize("kind", ["sync", "async", "async object", "sync giving an awaitable"])
@pytest.mark.parametrize(("decide", "codes"), DECISIONS, ids=[d.__name__ for d, _ in DECISIONS])
def test_authorize_alone_decides(
    decide: Any,
    codes: list[int],
    kind: str,
    hub: Hub,
    serve: Serve,
    http: httpx.Client,
) -> None:
    async def decide_async(request: Request, job_id: str, owner: str | None) -> bool:
        allowed: bool = decide(request, job_id, owner)
        return allowed

    class Decider:
        async def __call__(self, request: Request, job_id: str, owner: str | None) -> bool:
            return decide(request, job_id, owner)

    authorize = {
        "sync": decide,
        "async": decide_async,
        "async object": Decider(),
        "sync giving an awaitable": lambda *arguments: decide_async(*arguments),
    }[kind]
    hub.create("job-1", owner="7")
    app = Starlette(routes=[Mount("/jobs", ProgressApp(hub, authorize=authorize))])
    base = f"{serve(app).url}/jobs"
    assert statuses(http, base, "job-1") == codes
    assert hub.streams == 0 or codes == ALLOWED


def test_an_http_exception_is_the_answer_whole(hub: Hub, serve: Serve, http: httpx.Client) -> None:
    hub.create("job-1")
    app = fastapi.FastAPI()
    app.mount("/jobs", ProgressApp(hub, authorize=need_login))
    answer = http.get(f"{serve(app).url}/jobs/job-1/stream")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "log in" in answer.text


@pytest.mark.parametrize("authorize", [refuse, break_down, None])
def test_a_refusal_can_not_be_told_from_an_unknown_job(
    authorize: Any, hub: Hub, serve: Serve, http: httpx.Client
) -> None:
    hub.create("job-1", owner="7")
    base = serve(ProgressApp(hub, authorize=authorize)).url
    for method, tail in ROUTES:
        answers = [http.request(method, f"{base}/{job_id}{tail}") for job_id in ("job-1", "job-2")]
        refused, unknown = (
            (answer.status_code, answer.content, {**answer.headers, "date": ""})
            for answer in answers
        )
        assert refused == unknown


def test_a_failing_authorize_is_logged_and_not_shown(
    hub: Hub, serve: Serve, http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    hub.create("job-1")
    with caplog.at_level(logging.ERROR, "sseprog"):
        answer = http.get(f"{serve(ProgressApp(hub, authorize=break_down)).url}/job-1")
    assert answer.json() == {"error": "there is no such job"}
    assert "job job-1: a request was refused because authorize failed" in caplog.text
    assert "ConnectionError: the database at 10.0.0.7 is down" in caplog.text


def test_an_unknown_job_is_not_asked_about(hub: Hub, serve: Serve, http: httpx.Client) -> None:
    asked: list[str] = []

    def authorize(request: Request, job_id: str, owner: str | None) -> bool:
        asked.append(job_id)
        return True

    base = serve(ProgressApp(hub, authorize=authorize)).url
    assert statuses(http, base, "job-1") == 4 * [404]
    assert asked == []


def test_a_sync_authorize_may_block_and_sees_context_variables(
    hub: Hub, serve: Serve, http: httpx.Client
) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
    blocking, released = threading.Event(), threading.Event()
    seen: list[tuple[str, bool]] = []

    def authorize(request: Request, job_id: str, owner: str | None) -> bool:
        seen.append((tenant.get(), threading.current_thread() is server_thread))
        blocking.set()
        return released.wait(10)

    app = ProgressApp(hub, authorize=authorize)

    async def for_a_tenant(scope: Any, receive: Any, send: Any) -> None:
        tenant.set("acme")
        await app(scope, receive, send)

    server = serve(for_a_tenant)
    server_thread = server.call(threading.current_thread)
    hub.create("job-1")
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(http.get(f"{server.url}/job-1").status_code)
    )
    asking.start()
    assert blocking.wait(10)
    assert server.call(lambda: "the loop goes on") == "the loop goes on"
    released.set()
    asking.join(10)
    assert answers == [200]
    assert seen == [("acme", False)]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_plugin_may_decide_and_may_leave_it_to_the_rule(
    kind: str, hub: Hub, serve: Serve, http: httpx.Client
) -> None:
    answers = {"staff": True, "banned": False}

    class Plugin:
        @hookimpl
        def sseprog_authorize(self, request: Request, job_id: str) -> Any:
            answer = answers.get(request.headers.get("x-group", ""))
            if kind == "sync":
                return answer

            async def later() -> bool | None:
                return answer

            return later()

    hub.plugins.register(Plugin())
    base = serve(ProgressApp(hub)).url
    hub.create("open")
    hub.create("owned", owner="7")
    for group, codes in [("staff", [200, 200]), ("banned", [404, 404]), ("none", [200, 404])]:
        headers = {"X-Group": group}
        found = [
            http.get(f"{base}/{job_id}", headers=headers).status_code
            for job_id in ("open", "owned")
        ]
        assert found == codes


def user_of(authorization: Annotated[str | None, fastapi.Header()] = None) -> str:
    if authorization is None:
        raise fastapi.HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return authorization.removeprefix("Bearer ")


def fastapi_app(hub: Hub) -> fastapi.FastAPI:
    """A route of one's own, guarded by a dependency, as FastAPI's users write them."""
    app = fastapi.FastAPI()

    @app.get("/imports/{job_id}/stream")
    async def stream(
        job_id: str, user: Annotated[str, fastapi.Depends(user_of)]
    ) -> fastapi.Response:
        if user == "mallory":
            raise fastapi.HTTPException(403)
        response = ProgressResponse(hub, job_id)
        response.set_cookie("seen", user)
        return response

    return app


def test_a_fastapi_route_guarded_by_depends_streams_a_job(
    hub: Hub, serve: Serve, connect: Connect, http: httpx.Client
) -> None:
    server = serve(fastapi_app(hub))
    url = f"{server.url}/imports/job-1/stream"
    ada = {"Authorization": "Bearer ada"}
    assert http.get(url).status_code == 401
    assert http.get(url, headers={"Authorization": "Bearer mallory"}).status_code == 403
    assert http.get(url, headers=ada).status_code == 404
    with hub.job("job-1") as job:
        stream = connect(server.port, "/imports/job-1/stream", headers=ada)
        assert next(stream).name == "status"
        assert stream.response.headers.get_all("content-type") == [
            "text/event-stream; charset=utf-8"
        ]
        assert stream.response.headers["set-cookie"].startswith("seen=ada;")
        assert stream.response.headers["content-length"] is None
        job.update(50)
        assert next(stream).data["progress"] == 50
        resumed = connect(
            server.port,
            f"/imports/job-1/stream?last_event_id={hub.broker.newest('job-1')[0]}-1",
            headers=ada,
        )
        assert next(resumed).data["resumed"] is True
    for open_stream in (stream, resumed):
        assert list(open_stream)[-1].name == "complete"
    assert http.get(url, headers={**ada, "Last-Event-ID": "garbage"}).status_code == 400
    assert http.post(url, headers=ada).status_code == 405


def test_a_response_runs_its_background_task_after_the_stream(
    hub: Hub, serve: Serve, http: httpx.Client
) -> None:
    done = threading.Event()
    app = fastapi.FastAPI()

    @app.get("/{job_id}")
    async def stream(job_id: str, tasks: fastapi.BackgroundTasks) -> fastapi.Response:
        tasks.add_task(done.set)
        return ProgressResponse(hub, job_id)

    with hub.job("job-1"):
        pass
    assert "event: complete" in http.get(f"{serve(app).url}/job-1").text
    assert done.wait(10)
