"""sseprog as an application mounts it, in a thread: pages, jobs, and what was asked for."""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from sseprog import Hub, Job
from sseprog_starlette import ProgressApp

__all__ = ["RealServer"]

App = Callable[[Any, Any, Any], Any]


class RealServer:
    """``hub``'s jobs below ``/jobs`` and ``pages`` beside them, on a free port.

    ``refuse`` may answer a request in place of the application: it is given the path and the query,
    and returns a status, or ``None``.
    """

    def __init__(self, **settings: Any) -> None:
        self.hub = Hub(throttle=0, conflate_after=None, **settings)
        self.pages: dict[str, str] = {}
        self.asked: list[str] = []
        self.open: list[str] = []
        self.refuse: Callable[[str, str], int | None] = lambda path, query: None
        self._jobs: dict[str, Job] = {}
        self._app = Starlette(
            routes=[
                Mount("/jobs", app=ProgressApp(self.hub)),
                Route("/{path:path}", self._page),
            ]
        )
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(256)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.serve, interface="asgi3", ws="none", lifespan="off", log_config=None
            )
        )
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve(sockets=[self._socket]))
        )
        self._thread.start()

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Note each request for jobs, how long its answer lasts, and refuse some."""
        path, query = scope["path"], scope["query_string"].decode()
        if not path.startswith("/jobs/") or path.startswith("/jobs/static/"):
            await self._app(scope, receive, send)
            return
        target = f"{path}?{query}" if query else path
        self.asked.append(target)
        status = self.refuse(path, query)
        if status is not None:
            await PlainTextResponse("", status)(scope, receive, send)
            return
        self.open.append(target)
        try:
            await self._app(scope, receive, send)
        finally:
            self.open.remove(target)

    async def _page(self, request: Request) -> Response:
        body = self.pages.get(request.url.path)
        if body is None:
            return PlainTextResponse("", 404)
        if request.url.path.endswith(".js"):
            return Response(body, media_type="text/javascript")
        return HTMLResponse(body)

    @property
    def streams(self) -> list[str]:
        """The streams that are open, by their paths and queries."""
        return [target for target in self.open if target.partition("?")[0].endswith("/stream")]

    def asked_for(self, end: str) -> list[str]:
        """List the requests whose path ends so."""
        return [target for target in self.asked if target.partition("?")[0].endswith(end)]

    def begin(self, job_id: str) -> None:
        """Begin a job."""
        self._jobs[job_id] = self.hub.job(job_id)
        self._jobs[job_id].__enter__()

    def update(self, job_id: str, progress: float, **state: Any) -> None:
        """Report."""
        self._jobs[job_id].update(progress, **state)

    def complete(self, job_id: str) -> None:
        """End a job well."""
        self._jobs.pop(job_id).__exit__(None, None, None)

    def fail(self, job_id: str, error: Exception) -> None:
        """End a job as an exception does that leaves its block."""
        self._jobs.pop(job_id).__exit__(type(error), error, None)

    def close(self) -> None:
        """End all jobs, and the server."""
        for job_id in list(self._jobs):
            self.complete(job_id)
        self.hub.close()
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "uvicorn did not end"
        self._socket.close()
