"""sseprog, mounted: the bare ASGI application by itself, in Starlette, or as a FastAPI route."""

import asyncio
import os
from urllib.parse import parse_qsl

from sseprog import Hub
from sseprog_starlette import ProgressApp, progress_routes

from .publisher import frame, publish_on_time

hub = Hub(throttle=0, conflate_after=0, max_stream_age=0, max_jobs=0)
mounted = ProgressApp(hub)
jobs = {}


def publish(job, message):
    if job not in jobs:
        jobs[job] = hub.job(f"job-{job}").__enter__()
    jobs[job].update(50, stage="importing", message=message)


async def start(scope, receive, send):
    loop = asyncio.get_running_loop()
    query = dict(parse_qsl(scope["query_string"].decode()))
    publish_on_time(lambda *event: loop.call_soon_threadsafe(publish, *event), query)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def bare(scope, receive, send):
    if scope["type"] != "lifespan" and scope["path"] == "/start":
        await start(scope, receive, send)
    else:
        await mounted(scope, receive, send)


for number in range(int(os.environ.get("JOBS", "1"))):
    hub.create(f"job-{number}")


def starlette():
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    async def begin(request):
        return start

    class Start:
        async def __call__(self, scope, receive, send):
            await start(scope, receive, send)

    return Starlette(routes=[Route("/start", Start()), Mount("/jobs", routes=progress_routes(hub))])


def starlette_mounted():
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    class Start:
        async def __call__(self, scope, receive, send):
            await start(scope, receive, send)

    return Starlette(routes=[Route("/start", Start()), Mount("/jobs", mounted)])


def fastapi():
    from fastapi import FastAPI

    class Start:
        async def __call__(self, scope, receive, send):
            await start(scope, receive, send)

    app = FastAPI()
    app.mount("/jobs", mounted)
    app.add_route("/start", Start())
    return app
