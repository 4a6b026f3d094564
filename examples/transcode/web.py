"""What each web server does: start a transcoding, and show all of them."""

import os
from pathlib import Path
from uuid import uuid4

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Mount, Route
from tasks import hub, transcode

from sseprog_starlette import ProgressApp

VIDEO, FOLDER = os.environ["VIDEO"], Path(os.environ["FOLDER"])

PAGE = """<!doctype html>
<title>Transcoding</title>
<script type="module" src="/jobs/static/sseprog.js"></script>
<h1>Transcoding</h1>
<form method="post"><button>Transcode the video once more</button></form>
{jobs}
"""
JOB = '<job-progress src="/jobs/{id}/stream" label="{id}" cancellable></job-progress>\n'


async def page(request: Request) -> HTMLResponse:
    """Show the newest jobs, whichever server was asked to start them."""
    jobs = await run_in_threadpool(hub.jobs, 10)
    return HTMLResponse(PAGE.format(jobs="".join(JOB.format(id=job.job_id) for job in jobs)))


async def start(request: Request) -> RedirectResponse:
    """Send a task; its job is there before the task is."""
    await run_in_threadpool(transcode.delay, VIDEO, str(FOLDER / uuid4().hex))
    return RedirectResponse(request.url.path, status_code=303)


app = Starlette(
    routes=[
        Route("/", page),
        Route("/", start, methods=["POST"]),
        Mount("/jobs", ProgressApp(hub)),
    ]
)
