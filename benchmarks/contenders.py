"""Who is measured: how each server is started, where its streams are, what it needs."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .client import compiled
from .machine import Cannot

__all__ = ["CALLS", "CONTENDERS", "OURS", "Contender"]

SERVERS = Path(__file__).parent / "servers"
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

Command = Callable[[int], list[str]]
"""Given a port, the words of a command."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server. It publishes when ``GET /start`` asks it to, unless it has a ``publisher``."""

    title: str
    command: Command
    path: str = "/jobs/%d"
    packages: str = ""
    """Those of `requirements.txt` that it needs, by the names they are imported by."""
    check: Callable[[], object] = bool
    """Raises `Cannot` if something else is missing."""
    publisher: Command | None = None

    def prepare(self) -> None:
        """See to it that the server can start. Raises `Cannot`."""
        for name in self.packages.split():
            if importlib.util.find_spec(name) is None:
                raise Cannot(f"no {name}: pip install -r benchmarks/requirements.txt")
        self.check()


def uvicorn(app: str, *options: str) -> Command:
    return lambda port: [
        *(sys.executable, "-m", "uvicorn", f"benchmarks.servers.{app}", *options),
        *("--port", str(port), "--loop", "uvloop", "--http", "httptools", "--backlog", "4096"),
        *("--no-access-log", "--log-level", "warning"),
    ]


def gunicorn(app: str) -> Command:
    return lambda port: [
        *(sys.executable, "-m", "gunicorn", f"benchmarks.servers.{app}", "-k", "gevent"),
        *("-b", f"127.0.0.1:{port}", "--worker-connections", "12000", "--backlog", "4096"),
        *("--log-level", "warning"),
    ]


def module(name: str) -> Command:
    return lambda port: [sys.executable, "-m", f"benchmarks.servers.{name}", str(port)]


def epoll(*options: str) -> Command:
    return lambda port: [compiled("servers/epoll.c"), str(port), *options]


def need_nchan() -> None:
    if not shutil.which("nginx") or not NCHAN.exists():
        raise Cannot("no nginx with nchan: apt install nginx libnginx-mod-nchan")


def need_redis() -> None:
    if not shutil.which("redis-server"):
        raise Cannot("no redis-server: apt install redis-server")


def need_better_sse() -> None:
    folder = SERVERS / "better_sse"
    if not shutil.which("node") or not shutil.which("npm"):
        raise Cannot("no Node: apt install nodejs npm")
    if not (folder / "node_modules/better-sse").exists():
        install = ["npm", "--prefix", str(folder), "ci", "--no-audit", "--no-fund"]
        if subprocess.run(install, capture_output=True, check=False).returncode:
            raise Cannot("npm can't install it: npm --prefix benchmarks/servers/better_sse ci")


ASGI = "uvicorn uvloop httptools"
JOBS = "/jobs/job-%d/stream"

CONTENDERS = {
    "bare": Contender("bare ASGI", uvicorn("bare_asgi:app"), packages=ASGI),
    "bare-log": Contender("bare ASGI, replay log", uvicorn("bare_log:app"), packages=ASGI),
    "mounted": Contender(
        "sseprog, mounted", uvicorn("sseprog_app:bare"), "/job-%d/stream", f"{ASGI} starlette"
    ),
    "route": Contender(
        "sseprog, Starlette route",
        uvicorn("sseprog_app:starlette", "--factory"),
        JOBS,
        f"{ASGI} starlette",
    ),
    "starlette": Contender(
        "sseprog, mounted in Starlette",
        uvicorn("sseprog_app:starlette_mounted", "--factory"),
        JOBS,
        f"{ASGI} starlette",
    ),
    "fastapi": Contender(
        "sseprog, in FastAPI",
        uvicorn("sseprog_app:fastapi", "--factory"),
        JOBS,
        f"{ASGI} fastapi",
    ),
    "django": Contender(
        "sseprog, Django with_streams", uvicorn("django_app:application"), JOBS, f"{ASGI} django"
    ),
    "flask": Contender(
        "sseprog, Flask on gevent", gunicorn("flask_gevent:app"), JOBS, "flask gunicorn gevent"
    ),
    "epoll": Contender("C epoll, event by event", epoll()),
    "epoll-joined": Contender("C epoll, events joined", epoll("join")),
    "nchan": Contender(
        "nginx + nchan",
        module("nchan"),
        check=need_nchan,
        publisher=module("nchan_publisher"),
    ),
    "better-sse": Contender(
        "better-sse (Node)",
        lambda port: ["node", str(SERVERS / "better_sse/server.mjs"), str(port)],
        check=need_better_sse,
    ),
    "sse-starlette": Contender(
        "sse-starlette", uvicorn("sse_starlette_app:app"), packages=f"{ASGI} sse_starlette"
    ),
    "sse-starlette-example": Contender(
        "sse-starlette, its example",
        uvicorn("sse_starlette_app:example"),
        packages=f"{ASGI} sse_starlette",
    ),
    "fastapi-sse": Contender(
        "FastAPI's own SSE", uvicorn("fastapi_sse:app"), packages=f"{ASGI} fastapi"
    ),
    "django-eventstream": Contender(
        "django-eventstream",
        uvicorn("django_eventstream_app:application"),
        packages=f"{ASGI} django_eventstream",
    ),
    "flask-sse": Contender(
        "flask-sse",
        module("flask_sse_app"),
        "/stream?channel=job-%d",
        "flask_sse gunicorn gevent",
        need_redis,
    ),
}

CALLS = {"published": "published", "merged": "merged by the throttle"}
"""What `calls` can measure, which is no server: a job's report."""

OURS = {name for name, each in CONTENDERS.items() if each.title.startswith("sseprog")}
