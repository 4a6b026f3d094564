"""FastAPI's own server-sent events, as its tutorial does it: a path operation that yields.

The ping, every 15 seconds, can't be set.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterable
from typing import Any

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from .publisher import state
from .starting import Start

clients = defaultdict(set)
app = FastAPI()


class State(BaseModel):
    job_id: str
    status: str
    stage: str
    progress: float | None
    message: str
    details: dict[str, Any]
    eta: float | None
    started_at: str
    updated_at: str


def publish(job, message):
    event = ServerSentEvent(data=State(**state(job, message)), event="progress")
    for queue in clients[job]:
        queue.put_nowait(event)


@app.get("/jobs/{job}", response_class=EventSourceResponse)
async def stream(job: int) -> AsyncIterable[ServerSentEvent]:
    queue = asyncio.Queue()
    clients[job].add(queue)
    try:
        yield ServerSentEvent(comment="ok")
        while True:
            yield await queue.get()
    finally:
        clients[job].discard(queue)


app.add_route("/start", Start(publish))
