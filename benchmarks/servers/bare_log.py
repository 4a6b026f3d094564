"""Bare ASGI with the least of a replay log: a client that comes back misses nothing.

Each job keeps its newest frames; a stream starts after the number in ``Last-Event-ID``. What was
published while the replay left is sent before the stream joins the others.
"""

from collections import defaultdict, deque

from . import bare_asgi
from .bare_asgi import START, lifespan, sends
from .publisher import frame
from .starting import Start

KEPT = 256

logs = defaultdict(lambda: deque(maxlen=KEPT))
numbers = defaultdict(int)


def publish(job, message):
    numbers[job] += 1
    body = b"id: %d\nevent: progress\ndata: %b\n\n" % (numbers[job], frame(job, message))
    logs[job].append((numbers[job], body))
    bare_asgi.waiting.append((job, body))
    bare_asgi.grown.set()


start = Start(publish)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/start":
        await start(scope, receive, send)
    else:
        await stream(scope, receive, send)


async def stream(scope, receive, send):
    job = int(scope["path"].rpartition("/")[2])
    headers = dict(scope["headers"])
    await send(START)
    seen = int(headers.get(b"last-event-id", numbers[job]))
    body = b"id: %d\n\n" % seen
    while body:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        missed = [(number, frame) for number, frame in logs[job] if number > seen]
        body = b"".join(frame for _, frame in missed)
        seen = missed[-1][0] if missed else seen
    sends[job][send] = None
    while (await receive())["type"] != "http.disconnect":
        pass
    del sends[job][send]
