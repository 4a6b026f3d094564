"""sse-starlette with a queue per client, as in its example of broadcasting.

``app`` leaves out what sse-starlette does by itself: that example asks before each event whether
the client is still there, and waits for the next one with a time-out. ``example`` has both.
"""

import asyncio
import os
from collections import defaultdict
from contextlib import contextmanager

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.routing import Route

from .publisher import frame
from .starting import Start

PING = float(os.environ.get("HEARTBEAT", "15"))

clients = defaultdict(set)


def publish(job, message):
    event = ServerSentEvent(data=frame(job, message).decode(), event="progress")
    for queue in clients[job]:
        queue.put_nowait(event)


@contextmanager
def joined(job):
    queue = asyncio.Queue()
    clients[job].add(queue)
    try:
        yield queue
    finally:
        clients[job].discard(queue)


async def events(request):
    with joined(request.path_params["job"]) as queue:
        yield ServerSentEvent(comment="ok")
        while True:
            yield await queue.get()


async def events_of_the_example(request):
    with joined(request.path_params["job"]) as queue:
        yield ServerSentEvent(comment="ok")
        while not await request.is_disconnected():
            try:
                yield await asyncio.wait_for(queue.get(), timeout=1.0)
            except TimeoutError:
                yield ServerSentEvent(comment="ping")


def application(generator):
    async def stream(request):
        return EventSourceResponse(generator(request), ping=PING)

    return Starlette(routes=[Route("/jobs/{job:int}", stream), Route("/start", Start(publish))])


app = application(events)
example = application(events_of_the_example)
