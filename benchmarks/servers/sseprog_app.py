"""sseprog by itself, as Starlette's routes, and mounted in Starlette and FastAPI."""

import os

from sseprog import Hub
from sseprog_starlette import ProgressApp, progress_routes

from .starting import Start

hub = Hub(
    throttle=0,
    conflate_after=0,
    max_stream_age=0,
    max_jobs=0,
    heartbeat=float(os.environ.get("HEARTBEAT", "15")),
)
mounted = ProgressApp(hub)
jobs = {}


def publish(job, message):
    if job not in jobs:
        jobs[job] = hub.job(f"job-{job}").__enter__()
    jobs[job].update(50, stage="importing", message=message)


start = Start(publish)
for number in range(int(os.environ.get("JOBS", "1"))):
    hub.create(f"job-{number}")


async def bare(scope, receive, send):
    if scope["type"] != "lifespan" and scope["path"] == "/start":
        await start(scope, receive, send)
    else:
        await mounted(scope, receive, send)


def starlette():
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    return Starlette(routes=[Route("/start", start), Mount("/jobs", routes=progress_routes(hub))])


def starlette_mounted():
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    return Starlette(routes=[Route("/start", start), Mount("/jobs", mounted)])


def fastapi():
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/jobs", mounted)
    app.add_route("/start", start)
    return app
