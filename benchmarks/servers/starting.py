"""``GET /start`` for the contenders under ASGI: begin to publish, in the event loop."""

import asyncio
from urllib.parse import parse_qsl

from .publisher import Publish, publish_on_time

__all__ = ["Start"]


class Start:
    """An ASGI application that has ``publish(job, message)`` called on time."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    async def __call__(self, scope, receive, send):
        loop = asyncio.get_running_loop()
        query = dict(parse_qsl(scope["query_string"].decode()))
        publish_on_time(
            lambda job, message: loop.call_soon_threadsafe(self._publish, job, message), query
        )
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
