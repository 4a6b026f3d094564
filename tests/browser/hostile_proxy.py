"""A proxy on loopback between browsers and a server, which does what other people's proxies do."""

import asyncio
import re
import socket
import struct
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

__all__ = [
    "Answer",
    "Ask",
    "HostileProxy",
    "Trick",
    "answered",
    "bytewise",
    "caches_streams",
    "cut_after",
    "lags",
    "only",
    "retries_at_once",
    "strips_last_event_id",
]


class Reset(Exception):
    """Raised by a trick to send RST in place of FIN."""


@dataclass
class Ask:
    """A request, which a trick may change before it takes the first piece of the answer."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def what(self) -> str:
        """Tell what of a job it is about, ``"stream"`` or ``"snapshot"``; of many, ``"joint"``."""
        match = re.fullmatch(r"/jobs/([^/]+)(/stream)?", self.path)
        if not match:
            return "page"
        return "joint" if match[1] == "stream" else "stream" if match[2] else "snapshot"


Answer = AsyncGenerator[bytes, None]
"""An answer's head, and then its body piece by piece."""

Trick = Callable[[Ask, Answer], Answer]
"""What becomes of an answer; when it returns, the connection ends."""


@dataclass
class HostileProxy:
    """Hand all requests to the server at ``upstream``, but those about jobs by way of ``trick``.

    It answers ``pages`` itself, and whatever is posted, which it keeps. All of it is for the loop
    in which ``open()`` was awaited.
    """

    upstream: str
    pages: dict[str, str] = field(default_factory=dict)
    trick: Trick | None = None
    asked: list[Ask] = field(default_factory=list)
    port: int = 0

    async def open(self) -> None:
        """Take connections on a free port."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._posted: dict[str, asyncio.Future[bytes]] = {}
        self._server = await asyncio.start_server(self._accept, "127.0.0.1")
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def posted(self, path: str) -> "asyncio.Future[bytes]":
        """Return what will be posted there, or has been."""
        return self._posted.setdefault(path, asyncio.get_running_loop().create_future())

    def cut(self) -> None:
        """End all connections that there are."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Stop for good."""
        self._server.close()
        while tasks := list(self._tasks):
            self.cut()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        leaving: asyncio.Task[bytes] | None = None
        try:
            ask = await _read(reader)
            leaving = asyncio.create_task(reader.read())
            leaving.add_done_callback(lambda it: it.cancelled() or task.cancel())
            async with aclosing(self._answer(ask)) as answer:
                async for piece in answer:
                    writer.write(piece)
                    await writer.drain()
        except Reset:
            plain = writer.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        except asyncio.CancelledError:  # cut, or left by the browser
            writer.transport.abort()
        except (asyncio.IncompleteReadError, OSError):
            return  # either side has left
        finally:
            if leaving:
                leaving.cancel()
            writer.close()
            self._tasks.discard(task)

    def _answer(self, ask: Ask) -> Answer:
        upstream = self._ask(ask)
        if ask.path in self.pages:
            kind = "text/javascript" if ask.path.endswith(".js") else "text/html"
            return answered(200, self.pages[ask.path], Content_Type=kind)(ask, upstream)
        if ask.method == "POST":
            if not (posted := self.posted(ask.path)).done():
                posted.set_result(ask.body)
            return answered(204)(ask, upstream)
        if ask.what == "page":
            return upstream
        self.asked.append(ask)
        return self.trick(ask, upstream) if self.trick else upstream

    async def _ask(self, ask: Ask) -> Answer:
        there = urlsplit(self.upstream)
        reader, writer = await asyncio.open_connection(there.hostname, there.port)
        try:
            lines = [f"{name}: {value}" for name, value in ask.headers.items()]
            head = "\r\n".join([f"{ask.method} {ask.target} HTTP/1.1", *lines, "", ""])
            writer.write(head.encode() + ask.body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            plain = re.sub(r"(?im)^(transfer-encoding|connection): .*\r\n", "", head)
            yield plain[:-2].encode() + b"Connection: close\r\n\r\n"
            if plain == head or "chunked" not in head:
                while piece := await reader.read(65536):
                    yield piece
            else:
                while size := int(await reader.readline(), 16):
                    yield await reader.readexactly(size)
                    await reader.readexactly(2)
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Ask:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *rest = head.decode().strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in rest)}
    headers["connection"] = "close"
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Ask(method, target, headers, body)


def only(what: str, trick: Trick) -> Trick:
    """Make a trick that is played on some requests only: ``only("joint stream", ...)``."""
    return lambda ask, answer: trick(ask, answer) if ask.what in what.split() else answer


def answered(status: int, body: str = "", seconds: float = 0, **headers: str) -> Trick:
    """Make a trick that answers this itself; underscores in the names of headers are hyphens."""

    async def trick(ask: Ask, answer: Answer) -> Answer:
        await asyncio.sleep(seconds)
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if status not in {204, 304}:
            lines += [f"Content-Length: {len(body.encode())}"]
        first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
        yield "\r\n".join([first, "Connection: close", *lines, "", body]).encode()

    return trick


def cut_after(seconds: float, *, reset: bool = False) -> Trick:
    """Make a trick that ends an answer when it has lasted so long."""

    async def trick(ask: Ask, answer: Answer) -> Answer:
        end = asyncio.get_running_loop().time() + seconds
        try:
            while True:
                async with asyncio.timeout_at(end):
                    piece = await anext(answer)
                yield piece
        except StopAsyncIteration:
            return
        except TimeoutError:
            if reset:
                raise Reset from None

    return trick


async def bytewise(ask: Ask, answer: Answer) -> Answer:
    """Hand on byte by byte, so that each character and each end of a line is torn."""
    async for piece in answer:
        for at in range(len(piece)):
            yield piece[at : at + 1]
            await asyncio.sleep(0)


async def retries_at_once(ask: Ask, answer: Answer) -> Answer:
    """Have streams end after their first event, and browsers come back at once."""
    async for piece in answer:
        yield piece
        if b"event: status" in piece:
            yield b"retry: 0\n\n"
            return


async def strips_last_event_id(ask: Ask, answer: Answer) -> Answer:
    """Let through no header that it doesn't know, and no stream for longer than a second."""
    ask.headers.pop("last-event-id", None)
    async for piece in cut_after(1.2)(ask, answer):
        yield piece


def caches_streams() -> Trick:
    """Make a trick that cuts the first stream, and plays its bytes to whoever asks for another."""
    kept: dict[str, list[bytes]] = {}

    async def trick(ask: Ask, answer: Answer) -> Answer:
        if ask.path not in kept:
            mine = []
            async for piece in cut_after(1.2)(ask, answer):
                mine.append(piece)
                yield piece
            kept[ask.path] = mine
        else:
            for piece in kept[ask.path]:
                yield piece

    return trick


def lags() -> Trick:
    """Make a trick of a server whose replica is behind: its old status is told as the newest."""
    kept: dict[str, bytes] = {}

    async def trick(ask: Ask, answer: Answer) -> Answer:
        async for piece in cut_after(1.2)(ask, answer):
            if b"event: status" in piece:
                old = kept.setdefault(
                    ask.path, piece.replace(b'"resumed":true', b'"resumed":false')
                )
                if old != piece:
                    yield old
                    return
            yield piece

    return trick
