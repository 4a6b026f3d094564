"""What each web server does: start a transcoding, and show all of them."""

import os
from html import escape
from pathlib import Path
from string import Template
from uuid import uuid4

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Mount, Route
from tasks import hub, transcode

from sseprog_starlette import ProgressApp

VIDEO, FOLDER = os.environ["VIDEO"], Path(os.environ["FOLDER"])

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Transcoding</title>
<style>
  body {
    max-width: 44rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif;
    background: light-dark(#f4f5f9, #101219); color: light-dark(#171a23, #eef0f6);
  }
  button {
    padding: .5rem 1rem; border: 0; border-radius: .5rem; font: inherit; cursor: pointer;
    background: #4353d9; color: #fff;
  }
  job-progress { margin-top: 1rem }
</style>
<script type="module" src="/jobs/static/sseprog.js"></script>
<h1>Transcoding</h1>
<form method="post"><button>Transcode the video once more</button></form>
$jobs
""")
JOB = Template('<job-progress src="/jobs/$id/stream" label="$label" cancellable></job-progress>\n')
LABEL = escape(Path(VIDEO).name)


async def page(request: Request) -> HTMLResponse:
    """Show the newest jobs, whichever server was asked to start them."""
    jobs = await run_in_threadpool(hub.jobs, 10)
    shown = "".join(JOB.substitute(id=job.job_id, label=LABEL) for job in jobs)
    return HTMLResponse(PAGE.substitute(jobs=shown))


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
