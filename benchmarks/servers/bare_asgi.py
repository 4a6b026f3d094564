"""The least that any ASGI application can do: one list of sends, one wake-up per event.

No log, no ids, no state: what was missed is lost. One task awaits one send after another, so
that a slow reader holds up all others.
"""

import asyncio
import os
from collections import defaultdict, deque

from .publisher import frame
from .starting import Start

HEARTBEAT = float(os.environ.get("HEARTBEAT", "15"))
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")],
}

sends = defaultdict(dict)
waiting = deque()
grown = asyncio.Event()
tasks = []


def publish(job, message):
    waiting.append((job, b"event: progress\ndata: %b\n\n" % frame(job, message)))
    grown.set()


start = Start(publish)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/start":
        await start(scope, receive, send)
    else:
        job = int(scope["path"].rpartition("/")[2])
        await send(START)
        await send({"type": "http.response.body", "body": b": ok\n\n", "more_body": True})
        sends[job][send] = None
        while (await receive())["type"] != "http.disconnect":
            pass
        del sends[job][send]


async def lifespan(receive, send):
    await receive()
    tasks[:] = [asyncio.create_task(deliver()), asyncio.create_task(keep_alive())]
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def deliver():
    while True:
        await grown.wait()
        grown.clear()
        while waiting:
            job, body = waiting.popleft()
            await send_all(job, body)


async def send_all(job, body):
    message = {"type": "http.response.body", "body": body, "more_body": True}
    for send in list(sends[job]):
        await send(message)


async def keep_alive():
    while True:
        await asyncio.sleep(HEARTBEAT)
        for job in list(sends):
            await send_all(job, b": heartbeat\n\n")
