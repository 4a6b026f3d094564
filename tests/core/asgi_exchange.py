"""The server's side of ASGI, in memory: one request, and all that the application sends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from sseprog import Hub
from sseprog.adapters import Adapter, ASGIApp

from .event_stream import EventStreamParser, Seen, parsed

Message = dict[str, Any]
Around = Callable[[Callable[[Message], Awaitable[None]]], Callable[[Message], Awaitable[None]]]


async def _everybody(request: object, job_id: str, owner: str | None) -> bool:
    return True


def app_of(hub: Hub) -> ASGIApp:
    """Return an application that lets everybody see every job."""
    adapter = Adapter(hub, _everybody, user_of=lambda request: None)
    return ASGIApp(adapter, lambda scope, receive: scope)


class Exchange:
    """One request, served in a task as a server does it: ``async with Exchange(app, path)``.

    ``send`` is over in one step, as a server's is while its buffer has room. ``hold()`` makes
    the client one that reads nothing until ``release()``.
    """

    def __init__(
        self,
        app: ASGIApp,
        path: str,
        *,
        method: str = "GET",
        query: str = "",
        headers: Mapping[str, str] | None = None,
        root_path: str = "",
        around_send: Around | None = None,
    ) -> None:
        self._app = app
        self._scope = {
            "type": "http",
            "method": method,
            "path": root_path + path,
            "root_path": root_path,
            "query_string": query.encode(),
            "headers": [
                (name.lower().encode(), value.encode("latin-1"))
                for name, value in (headers or {}).items()
            ],
        }
        self._send = around_send(self._take) if around_send is not None else self._take
        self._room = asyncio.Event()
        self._room.set()
        self._sent = asyncio.Event()
        self._left = asyncio.Event()
        self._asked = False
        self.messages: list[Message] = []
        self.task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._app(self._scope, self._receive, self._send))
        await self.until(lambda: bool(self.writes))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left.set()
        self._room.set()
        await asyncio.wait([self.task])
        if error is None and not self.task.cancelled():
            self.task.result()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _take(self, message: Message) -> None:
        if not self._room.is_set():
            await self._room.wait()
        self.messages.append(message)
        self._sent.set()

    def hold(self) -> None:
        self._room.clear()

    def release(self) -> None:
        self._room.set()

    def leave(self) -> None:
        self._left.set()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is true after a message; it is looked at again after each."""
        async with asyncio.timeout(10):
            while not true():
                self._sent.clear()
                sent = asyncio.ensure_future(self._sent.wait())
                await asyncio.wait([sent, self.task], return_when=asyncio.FIRST_COMPLETED)
                sent.cancel()
                if self.task.done() and not true():
                    self.task.result()
                    raise AssertionError("the response ended before that")

    async def end(self) -> None:
        """Wait until the application has returned."""
        async with asyncio.timeout(10):
            await asyncio.wait([self.task])

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def writes(self) -> list[bytes]:
        """What was written, write by write."""
        return [message["body"] for message in self.messages[1:]]

    @property
    def body(self) -> bytes:
        return b"".join(self.writes)

    @property
    def complete(self) -> bool:
        """Tell whether the application has said that this was all."""
        return bool(self.messages) and not self.messages[-1].get("more_body", True)

    @property
    def parsed(self) -> EventStreamParser:
        return parsed(self.writes)

    @property
    def events(self) -> list[Seen]:
        return self.parsed.events

    def saw(self, name: str) -> Callable[[], bool]:
        return lambda: any(event.name == name for event in self.events)


async def fetch(app: ASGIApp, path: str, **options: Any) -> Exchange:
    """Make a request whose response ends by itself."""
    async with Exchange(app, path, **options) as exchange:
        await exchange.end()
    return exchange
