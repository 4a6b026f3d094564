"""A web process that may be broken: ``web.py '{"url": ..., "port": ...}'``.

Beside ``/jobs``: ``/ping``; ``/counts`` of what the process holds; ``/close`` closes the hub first.
"""

import asyncio
import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections import Counter
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

from sseprog import Hub
from sseprog_starlette import ProgressApp

options = json.loads(sys.argv[1])
# Every event reaches every client, so that one that is missing is seen.
hub = Hub(options["url"], conflate_after=None, **options["settings"])


def counted() -> dict[str, Any]:
    """Count what this process holds, but for what only waits for the garbage collector."""
    gc.collect()
    names = Counter(thread.name.rstrip("0123456789") for thread in threading.enumerate())
    tasks = len(asyncio.all_tasks())
    files = len(os.listdir("/proc/self/fd"))
    return {"threads": names, "tasks": tasks, "files": files, "streams": hub.streams}


async def ping(request: Request) -> PlainTextResponse:
    return PlainTextResponse("pong")


async def counts(request: Request) -> JSONResponse:
    return JSONResponse(counted())


async def close(request: Request) -> JSONResponse:
    await asyncio.to_thread(hub.close)
    return JSONResponse(counted())


app = Starlette(
    routes=[
        Route("/ping", ping),
        Route("/counts", counts),
        Route("/close", close),
        Mount("/jobs", ProgressApp(hub)),
    ]
)

if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # to say where it hangs
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    uvicorn.run(app, port=options["port"], log_config=None, access_log=False, ws="none")
