"""Where the routes can be mounted, and that they are found there by path and by name."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import fastapi
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from sseprog import Hub
from sseprog_starlette import ProgressApp, progress_routes

from .conftest import Connect, Serve


def mounted(hub: Hub) -> Starlette:
    app = Starlette()
    app.mount("/jobs", ProgressApp(hub))
    return app


def by_mount(hub: Hub) -> Starlette:
    return Starlette(routes=[Mount("/jobs", ProgressApp(hub))])


def by_routes(hub: Hub) -> Starlette:
    return Starlette(routes=[Mount("/jobs", routes=progress_routes(hub))])


def nested(hub: Hub) -> Starlette:
    return Starlette(routes=[Mount("/a", routes=[Mount("/b", app=mounted(hub))])])


def nested_routes(hub: Hub) -> Starlette:
    return Starlette(routes=[Mount("/a", routes=[Mount("/b", app=by_routes(hub))])])


def at_the_root(hub: Hub) -> Starlette:
    return Starlette(routes=progress_routes(hub))


def under_fastapi(hub: Hub) -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    app.mount("/jobs", ProgressApp(hub))
    return app


MOUNTS: list[tuple[Callable[[Hub], Any], str]] = [
    (ProgressApp, ""),
    (mounted, "/jobs"),
    (by_mount, "/jobs"),
    (by_routes, "/jobs"),
    (nested, "/a/b/jobs"),
    (nested_routes, "/a/b/jobs"),
    (at_the_root, ""),
    (under_fastapi, "/jobs"),
]


@pytest.mark.parametrize("root_path", ["", "/api/v1"])
@pytest.mark.parametrize(("make", "prefix"), MOUNTS, ids=[make.__name__ for make, _ in MOUNTS])
def test_every_route_answers_below_the_mount(
    make: Callable[[Hub], Any],
    prefix: str,
    root_path: str,
    hub: Hub,
    serve: Serve,
    http: httpx.Client,
) -> None:
    hub.create("job-1")
    base = serve(make(hub), root_path=root_path).url + prefix
    assert http.get(f"{base}/job-1").json()["status"] == "pending"
    assert http.get(f"{base}/static/sseprog.js").status_code == 200
    assert http.get(f"{base}/no-such-job").status_code == 404
    assert http.get(f"{base}/job-1/nothing").status_code == 404
    assert http.post(f"{base}/job-1/cancel").status_code == 202
    assert "event: error" in http.get(f"{base}/job-1/stream").text


@pytest.mark.parametrize("make", [mounted, by_mount, under_fastapi])
def test_a_proxy_may_take_its_prefix_off_the_path(
    make: Callable[[Hub], Any], hub: Hub, serve: Serve, http: httpx.Client
) -> None:
    app = make(hub)

    async def told_of_the_prefix(scope: Any, receive: Any, send: Any) -> None:
        # What FastAPI(root_path="/proxied") does to a scope.
        await app({**scope, "root_path": "/proxied"}, receive, send)

    hub.create("job-1")
    server = serve(told_of_the_prefix)
    assert http.get(f"{server.url}/jobs/job-1").status_code == 200


def test_routes_have_names_for_url_for(hub: Hub, serve: Serve, http: httpx.Client) -> None:
    def names(request: Request) -> JSONResponse:
        return JSONResponse(
            {
                name: request.url_for(f"jobs:{name}", **parameters).path
                for name, parameters in {
                    "stream": {"job_id": "j"},
                    "snapshot": {"job_id": "j"},
                    "cancel": {"job_id": "j"},
                    "static": {"name": "sseprog.js"},
                }.items()
            }
        )

    jobs = Mount("/jobs", routes=progress_routes(hub), name="jobs")
    server = serve(Starlette(routes=[Route("/names", names), jobs]), root_path="/api")
    assert http.get(f"{server.url}/names").json() == {
        "stream": "/api/jobs/j/stream",
        "snapshot": "/api/jobs/j",
        "cancel": "/api/jobs/j/cancel",
        "static": "/api/jobs/static/sseprog.js",
    }


def test_no_job_may_be_called_as_the_folder_of_the_script(hub: Hub) -> None:
    with pytest.raises(ValueError, match="'static' is reserved"):
        hub.create("static")


def test_a_hub_serves_two_applications_at_once(hub: Hub, serve: Serve, connect: Connect) -> None:
    job_id = hub.create()
    streams = [
        connect(serve(mounted(hub), loop=loop).port, f"/jobs/{job_id}/stream")
        for loop in ("asyncio", "uvloop")
    ]
    for stream in streams:
        assert next(stream).name == "status"
    with hub.job(job_id) as job:
        job.update(50)
    for stream in streams:
        assert [event.name for event in stream] == ["progress", "progress", "complete"]


async def read_in_process(app: Any, path: str) -> str:
    """Ask an application without a server, as the tests of applications do."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get(path)).text


def test_a_client_without_a_server_reads_a_stream_that_ends(hub: Hub) -> None:
    with hub.job("job-1"):
        pass
    for _ in range(2):  # a loop each time, as under a test runner
        text = asyncio.run(read_in_process(mounted(hub), "/jobs/job-1/stream"))
        assert text.count("event: status") == text.count("event: complete") == 1


def test_a_websocket_is_refused_rather_than_left_hanging(hub: Hub) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/job-1/stream", "headers": []}
    asyncio.run(ProgressApp(hub)(scope, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_what_is_not_a_hub_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="takes a Hub, not str"):
        ProgressApp("memory://")  # type: ignore[arg-type]


def test_what_is_not_a_function_can_not_authorize(hub: Hub) -> None:
    with pytest.raises(TypeError, match="authorize is a function"):
        progress_routes(hub, authorize="staff only")  # type: ignore[arg-type]


def test_without_starlette_the_error_names_its_cure() -> None:
    program = "import sys; sys.modules['starlette'] = None; import sseprog_starlette"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 1
    assert 'MissingExtra: sseprog_starlette needs Starlette: pip install "sseprog[starlette]"' in (
        ended.stderr
    )
