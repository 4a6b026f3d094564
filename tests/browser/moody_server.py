"""A server on loopback that speaks the protocol, until it is told to misbehave."""

import asyncio
import json
import re
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = [
    "SCRIPTS",
    "Mood",
    "MoodyServer",
    "Request",
    "busy",
    "cut",
    "hang",
    "late",
    "mute",
    "reply",
    "reset",
    "snapshot",
    "stream",
    "swallow",
]


def _scripts() -> Path:
    package = find_spec("sseprog")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "static" / "sseprog"


SCRIPTS = _scripts()
KINDS = {"js": "text/javascript", "css": "text/css"}
JOB = re.compile(r"/jobs/([^/]+)(/stream|/cancel)?")


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    jobs: tuple[str, ...] = ()
    body: bytes = b""
    at: float = field(default_factory=time.monotonic)

    @property
    def cursor(self) -> str:
        return self.headers.get("last-event-id") or self.query.get("last_event_id", "")


Mood = Callable[["MoodyServer", Request, asyncio.StreamWriter], Awaitable[None]]
Log = list[tuple[str, dict[str, Any]]]


@dataclass
class MoodyServer:
    """Jobs, mostly one, ``/jobs/it``, whose logs the test writes, and pages that may show them.

    ``moods[what]`` are used up by the requests for ``"stream"``, ``"snapshot"`` and ``"cancel"``,
    one each; then ``lasting[what]`` holds, and without one the server behaves. ``unchanged`` counts
    the snapshots that were answered 304. A page may ``POST`` to any other path, ``/told`` say: that
    is a request for ``"told"``, and answered 204.
    """

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    logs: dict[str, Log] = field(default_factory=lambda: {"it": []})
    epoch: str = "e-1"
    pages: dict[str, str] = field(default_factory=dict)
    page_headers: dict[str, str] = field(default_factory=dict)
    moods: defaultdict[str, deque[Mood]] = field(default_factory=lambda: defaultdict(deque))
    lasting: dict[str, Mood] = field(default_factory=dict)
    unchanged: int = 0
    heartbeat: float = 0.2
    retry: int = 100

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._changed = threading.Condition()
        self._grown = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seen(self, what: str) -> list[Request]:
        """List the requests for a stream, a snapshot, or to cancel."""
        return [request for request in self.requests if _asks_for(request) == what]

    def wait_for(self, what: str, count: int, seconds: float = 15) -> list[Request]:
        """Wait until so many requests for ``what`` have come, 15 s at most if nothing is said."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.seen(what)) >= count, seconds)
            assert came, self.requests
        return self.seen(what)

    def wait_for_connections(self, count: int) -> None:
        """Wait until no more and no fewer connections are open, 15 s at most."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._connections) == count, 15), (
                self.requests
            )

    def publish(self, event: str, job_id: str = "it", **state: Any) -> None:
        """Append to a job's log, and wake its streams."""
        self._call(self._publish(event, job_id, state))

    def listen(self) -> None:
        """Take connections, on the port of before if there was one."""
        self._call(self._listen())

    def refuse(self) -> None:
        """Cut every connection and close the port, as a server does that is restarted."""
        self._call(self._refuse())

    def cut_all(self) -> None:
        """End every connection; the port stays open."""
        self._call(self._cut_all())

    def close(self) -> None:
        """Stop for good."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _call(self, todo: Any) -> None:
        waiting: Future[None] = asyncio.run_coroutine_threadsafe(todo, self._loop)
        waiting.result(5)

    async def _publish(self, event: str, job_id: str, state: dict[str, Any]) -> None:
        self.logs[job_id].append((event, document(job_id=job_id, **state)))
        self._grown.set()
        self._grown = asyncio.Event()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        # A socket that is accepted while the server closes would never be closed by asyncio.
        for listening in self._server.sockets:
            self._loop.remove_reader(listening.fileno())
        await asyncio.sleep(0.01)
        self._server.close()
        await self._cut_all()

    async def _end(self) -> None:
        await self._refuse()
        # What was accepted just now has a task, but is not yet among the connections.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
        await asyncio.sleep(0)  # the transports close their sockets

    async def _cut_all(self) -> None:
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        leaving: asyncio.Task[bytes] | None = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            request = _parse(head, await reader.readexactly(int(size[1]) if size else 0))
            leaving = asyncio.create_task(reader.read())
            leaving.add_done_callback(lambda _: task.cancel())
            with self._changed:
                self.requests.append(request)
                self._changed.notify_all()
            what = _asks_for(request)
            waiting = self.moods[what]
            mood = waiting.popleft() if waiting else self.lasting.get(what, _behave)
            await mood(self, request, writer)
        except asyncio.CancelledError:  # cut by the test, or left by the browser
            writer.transport.abort()
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # left by the browser
        finally:
            if leaving:
                leaving.cancel()
            writer.close()
            with self._changed:
                self._connections.discard(task)
                self._changed.notify_all()

    async def follow(
        self, request: Request, writer: asyncio.StreamWriter, cut_after: int = -1
    ) -> None:
        """Write each job's status, then every event after the cursor as it comes, until the last.

        Of several jobs, without ids: each from its newest state.
        """
        places: dict[str, int] = {}
        writer.write(f"retry: {self.retry}\n\n".encode())
        for job_id in request.jobs:
            log = self.logs[job_id]
            epoch, _, seq = request.cursor.rpartition("-")
            known = epoch == self.epoch and seq.isdigit() and int(seq) <= len(log)
            at = int(seq) if known else len(log)
            state = log[at - 1][1] if at else document(job_id=job_id)
            resumed = {"resumed": known} if request.cursor else {}
            writer.write(self._frame(request, "status", {**state, **resumed}, at))
            # Who comes late is told the end as well.
            places[job_id] = at - 1 if self._has_ended(job_id) and not known else at
        while True:
            while behind := [each for each in places if places[each] < len(self.logs[each])]:
                for job_id in behind:
                    name, data = self.logs[job_id][places[job_id]]
                    places[job_id] += 1
                    written = self._frame(request, name, data, places[job_id])
                    if cut_after == 0:
                        writer.write(written[: len(written) // 2])
                        await writer.drain()
                        return
                    cut_after -= 1
                    writer.write(written)
            await writer.drain()
            if all(map(self._has_ended, places)):
                return
            try:
                await asyncio.wait_for(self._grown.wait(), self.heartbeat)
            except TimeoutError:
                writer.write(b"event: heartbeat\ndata: {}\n\n")

    def _has_ended(self, job_id: str) -> bool:
        log = self.logs[job_id]
        return bool(log) and log[-1][0] in {"complete", "error"}

    def _frame(self, request: Request, event: str, data: dict[str, Any], seq: int) -> bytes:
        cursor = "" if len(request.jobs) > 1 else f"id: {self.epoch}-{seq}\n"
        return f"{cursor}event: {event}\ndata: {json.dumps(data)}\n\n".encode()


def document(**state: Any) -> dict[str, Any]:
    """Fill in the state of a job that runs."""
    blank = {"job_id": "it", "status": "running", "stage": "", "progress": 0, "message": ""}
    return {**blank, "details": {}, "eta": None, "started_at": None, "updated_at": None, **state}


def frame(event: str, data: dict[str, Any], seq: int) -> bytes:
    """Encode an event of the first epoch."""
    return f"id: e-1-{seq}\nevent: {event}\ndata: {json.dumps(data)}\n\n".encode()


def head(status: int, headers: dict[str, str]) -> bytes:
    """Encode the start of an answer, after whose body the connection ends."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


STREAM_HEAD = head(200, {"Content-Type": "text/event-stream", "Cache-Control": "no-store"})


def reply(status: int, body: str = "", **headers: str) -> Mood:
    """Make a mood that answers this; underscores in the names of headers are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def mood(server: MoodyServer, request: Request, writer: asyncio.StreamWriter) -> None:
        sized = (
            named if status in {204, 304} else {**named, "Content-Length": str(len(body.encode()))}
        )
        writer.write(head(status, sized) + body.encode())
        await writer.drain()

    return mood


def stream(*chunks: bytes, stay: bool = True) -> Mood:
    """Make a mood that writes these bytes as a stream, and stays open or ends."""

    async def mood(server: MoodyServer, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + b"".join(chunks))
        await writer.drain()
        if stay:
            await asyncio.Event().wait()

    return mood


def cut(after: int) -> Mood:
    """Make a mood that ends the stream in the middle of the frame after so many events."""

    async def mood(server: MoodyServer, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        await server.follow(request, writer, cut_after=after)

    return mood


def reset(after: int) -> Mood:
    """Make a mood that resets the connection after so many events."""

    async def mood(server: MoodyServer, request: Request, writer: asyncio.StreamWriter) -> None:
        await cut(after)(server, request, writer)
        # To linger for no second is to send RST in place of FIN.
        plain = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0.05)  # RST overtakes what is still to be read
        writer.transport.abort()

    return mood


mute = stream(b"retry: 100\n\n")
"""A stream that is open and says nothing, like a half-open connection."""


async def hang(server: MoodyServer, request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer nothing at all."""
    await asyncio.Event().wait()


swallow = stream()
"""The headers of a stream and nothing more: a proxy holds all bytes back."""

busy = stream(b"retry: 100\n\n: busy\n\n", stay=False)
"""What an ``EventSource`` is told if there are too many streams."""


def late(seconds: float) -> Mood:
    """Make a mood of a proxy that holds a stream's bytes back, and then lets them through."""

    async def mood(server: MoodyServer, request: Request, writer: asyncio.StreamWriter) -> None:
        held, passes = writer.write, asyncio.Event()
        chunks = [STREAM_HEAD]
        writer.write = lambda data: held(data) if passes.is_set() else chunks.append(bytes(data))  # type: ignore[method-assign]

        async def release() -> None:
            await asyncio.sleep(seconds)
            passes.set()
            held(b"".join(chunks))

        await asyncio.gather(release(), server.follow(request, writer))

    return mood


def snapshot(**headers: str) -> Mood:
    """Make a mood that answers with the newest state, and with these headers instead of an ETag."""

    async def mood(server: MoodyServer, request: Request, writer: asyncio.StreamWriter) -> None:
        [job_id] = request.jobs
        log = server.logs[job_id]
        state = log[-1][1] if log else document(job_id=job_id)
        named = {"Content_Type": "application/json", **headers}
        await reply(200, json.dumps(state), **named)(server, request, writer)

    return mood


async def _behave(server: MoodyServer, request: Request, writer: asyncio.StreamWriter) -> None:
    what = _asks_for(request)
    if not set(request.jobs) <= set(server.logs):
        mood = reply(404)
    elif what == "stream":
        writer.write(STREAM_HEAD)
        await server.follow(request, writer)
        return
    elif what == "snapshot":
        [job_id] = request.jobs
        tag = f'"{server.epoch}-{len(server.logs[job_id])}"'
        mood = snapshot(ETag=tag, Cache_Control="private, no-cache")
        if request.headers.get("if-none-match") == tag:
            server.unchanged += 1
            mood = reply(304, ETag=tag, Cache_Control="private, no-cache")
    elif what == "cancel":
        mood = reply(202, "{}", Content_Type="application/json")
    elif what != "page":
        mood = reply(204)
    elif request.path in server.pages:
        kind = KINDS.get(request.path.rpartition(".")[2], "text/html; charset=utf-8")
        mood = reply(200, server.pages[request.path], Content_Type=kind, **server.page_headers)
    elif request.path.endswith(".js") and (SCRIPTS / request.path[1:]).is_file():
        text = (SCRIPTS / request.path[1:]).read_text()
        mood = reply(200, text, Content_Type="text/javascript", **server.page_headers)
    else:
        mood = reply(404)
    await mood(server, request, writer)


def _asks_for(request: Request) -> str:
    if match := JOB.fullmatch(request.path):
        # What is about many jobs has no word after it.
        return (match[2] or ("/stream" if match[1] == "stream" else "/snapshot"))[1:]
    return request.path[1:] if request.method == "POST" else "page"


def _parse(head: bytes, body: bytes) -> Request:
    first, *rest = head.decode().strip().split("\r\n")
    method, target, _ = first.split(" ")
    parts = urlsplit(target)
    headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in rest)}
    query = parse_qsl(parts.query)
    match = JOB.fullmatch(parts.path)
    jobs = tuple(value for name, value in query if name == "job")
    if match and match[1] != "stream":
        jobs = (match[1],)
    return Request(method, parts.path, dict(query), headers, jobs, body)
