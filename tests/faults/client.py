"""A fleet of clients that behave as a page's EventSource does, and forget nothing they see."""

import asyncio
import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import uvloop

from .invariants import Frame, Witness, silence

__all__ = ["HANG", "Client", "Fleet"]

HANG: Final = 10.0
"""Seconds without an event, when nothing is broken and the job goes on, that are a hang."""

ANSWERED: Final = 8.0
"""Seconds within which a server answers: it waits itself for 5, until a broker does."""

_CONNECT: Final = 3.0
_HEAD: Final = re.compile(rb"HTTP/1\.1 (\d+) ")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class Client(asyncio.Protocol):
    """One page that watches one job, on whichever server answers."""

    def __init__(self, fleet: "Fleet", job_id: str, turn: int) -> None:
        self.witness = Witness(job_id)
        self.done = False
        self.hangs: list[str] = []
        self.connections = 0
        self._fleet = fleet
        self._turn = turn
        self._retry = 0.2
        self._transport: asyncio.Transport | None = None
        self.connecting: asyncio.Task[None] | None = None
        self._read: Callable[[], bool] = self._read_head
        self._bytes = bytearray()
        self._body = bytearray()
        self._length = -1
        self._heard_at = self._event_at = time.monotonic()
        self._history: deque[str] = deque(maxlen=12)

    def begin(self, after: float = 0.0) -> None:
        """Connect to the next server."""
        self._fleet.loop.call_later(after, self._begin)

    def _begin(self) -> None:
        if not self._fleet.stopping and not self.done:  # whoever is done has no more to ask
            self.connecting = self._fleet.loop.create_task(self._connect())

    async def _connect(self) -> None:
        ports = self._fleet.ports
        port = ports[self._turn % len(ports)]
        self._turn += 1
        try:
            async with asyncio.timeout(_CONNECT):
                await self._fleet.loop.create_connection(lambda: self, "127.0.0.1", port)
        except OSError as error:
            self._fleet.met[type(error).__name__] += 1
            self.begin(self._retry)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = self._transport = cast("asyncio.Transport", transport)
        self._bytes.clear()
        self._body.clear()
        self._read = self._read_head
        self._heard_at = time.monotonic()
        self.connections += 1
        self._fleet.connected.add(self)
        self._note("connected")
        cursor = self.witness.cursor
        last = f"Last-Event-ID: {cursor}\r\n" if cursor else ""
        transport.write(
            f"GET /jobs/{self.witness.job_id}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Accept: text/event-stream\r\n{last}\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        self._bytes += data
        while self._bytes and self._read():
            pass

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fleet.note_lost(self)
        self._note(f"cut off: {error}" if error else "the connection ended")
        if error is not None:
            self._fleet.met[type(error).__name__] += 1
        self.begin(self._retry)

    def look(self, now: float) -> None:
        """Leave a connection that has been mute for longer than heartbeats allow."""
        if self.done:
            return
        self._check(now, "still")
        limit = ANSWERED if self._read == self._read_head else self._fleet.mute_after
        if self._transport is not None and now - self._heard_at > limit:
            self._fleet.met["mute"] += 1
            self._note("mute")
            self.lose()

    def lose(self) -> None:
        """Lose the connection, and come back."""
        if self._transport is not None:
            self._transport.abort()

    def _check(self, now: float, when: str) -> None:
        quiet = silence(self._event_at, now, self._fleet.calm_since)
        if quiet > HANG and not self.witness.ended and not self.hangs:
            self.hangs.append(f"{when} no event after {quiet:.1f} s, at {now:.1f}: {self.story}")

    @property
    def story(self) -> str:
        """What is to be known of a failure."""
        witness = self.witness
        told = [*self._history, *witness.recent[-5:]]
        where = f"{witness.job_id} at {witness.cursor}{' ended' * witness.ended}"
        return "\n    ".join([where, *told])

    def _note(self, what: str) -> None:
        if what != "heartbeat":
            self._history.append(f"{time.monotonic():.1f} {what}")

    def _leave(self) -> bool:
        if self._transport is not None:
            self._transport.abort()
        self._bytes.clear()
        return False

    # Each reads one piece of what has come; False if there is no whole one.

    def _read_head(self) -> bool:
        head, blank, rest = bytes(self._bytes).partition(b"\r\n\r\n")
        if not blank:
            return False
        found = _HEAD.match(head)
        assert found is not None, head
        status = int(found[1])
        self._note(f"answered {status}")
        self._bytes[:] = rest
        if status == 200:
            self.witness.connect()
            length = _LENGTH.search(head)
            self._length = int(length[1]) if length else -1
            self._read = self._read_whole if length else self._read_chunk
            return True
        if status == 204:
            self.done = True
            if not self.witness.ended:
                self.hangs.append(f"{self.witness.job_id}: 204 before the terminal event")
        else:  # an EventSource would give up here, and its page begin anew
            self._fleet.met[str(status)] += 1
        return self._leave()

    def _read_chunk(self) -> bool:
        end = self._bytes.find(b"\r\n")
        if end < 0:
            return False
        size = int(self._bytes[:end], 16)
        if len(self._bytes) < end + size + 4:
            return False
        self._body += self._bytes[end + 2 : end + 2 + size]
        del self._bytes[: end + size + 4]
        self._read_events()
        return True if size else self._leave()

    def _read_whole(self) -> bool:
        if len(self._bytes) < self._length:
            return False
        self._body += self._bytes
        self._read_events()
        return self._leave()

    def _read_events(self) -> None:
        *blocks, rest = bytes(self._body).split(b"\n\n")
        self._body[:] = rest
        for block in blocks:
            fields: dict[bytes, bytes] = {}
            for line in block.split(b"\n"):
                name, _, value = line.partition(b": ")
                fields[name] = value
            if b"retry" in fields:
                self._retry = int(fields[b"retry"]) / 1000
            if b"" in fields:
                self._note(fields[b""].decode())
                self._fleet.met[f"comment {fields[b''].decode()}"] += 1
            if b"data" not in fields:
                continue
            epoch, _, seq = fields[b"id"].decode().rpartition("-")
            name = fields[b"event"].decode()
            self._fleet.events += 1
            self._check(self._heard_at, "until now")
            self._event_at = self._heard_at
            self.witness.see(Frame(name, epoch, int(seq), fields[b"data"]))

    def close(self) -> None:
        """Give up."""
        self.done = True
        if self._transport is not None:
            self._transport.abort()


class Fleet:
    """Clients in one thread, spread over jobs and servers."""

    def __init__(
        self, ports: Sequence[int], job_ids: Sequence[str], streams: int, *, heartbeat: float
    ) -> None:
        self.ports = list(ports)
        self.mute_after = 2.5 * heartbeat
        self.calm_since = float("inf")
        self.met: Counter[str] = Counter()
        self.events = 0
        self.stopping = False
        self.loop = uvloop.new_event_loop()
        self.clients = [Client(self, job_ids[n % len(job_ids)], n) for n in range(streams)]
        self.connected: set[Client] = set()
        self._all_left = asyncio.Event()
        self._broken: list[dict[str, Any]] = []
        self._stopped: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="fleet")

    def start(self) -> None:
        """Connect all, over half a second."""
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop.set_exception_handler(lambda _loop, context: self._broken.append(context))
        self._stopped = asyncio.Event()
        for client in self.clients:
            client.begin(random.uniform(0, 0.5))  # noqa: S311
        while not self._stopped.is_set():
            now = time.monotonic()
            for client in self.clients:
                client.look(now)
            try:
                async with asyncio.timeout(0.25):
                    await self._stopped.wait()
            except TimeoutError:
                continue
        self.stopping = True
        connecting = [task for client in self.clients if (task := client.connecting)]
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        for client in list(self.connected):
            client.close()
        if self.connected:
            await self._all_left.wait()

    def stop(self) -> None:
        """Leave."""
        if self._thread.is_alive():
            if self._stopped is not None:
                self.loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    def fault_begins(self) -> None:
        """Excuse silence."""
        self.calm_since = float("inf")

    def fault_ends(self) -> None:
        """From now on nobody may be silent."""
        self.calm_since = time.monotonic()

    def join(self, job_id: str) -> Client:
        """Add a client that comes late."""
        client = Client(self, job_id, len(self.clients))
        self.clients.append(client)
        self.loop.call_soon_threadsafe(client.begin)
        return client

    def note_lost(self, client: Client) -> None:
        """Note that a connection is over."""
        self.connected.discard(client)
        if self.stopping and not self.connected:
            self._all_left.set()

    def cut(self, share: float) -> None:
        """Lose the connections of a part of the clients."""

        def cut() -> None:
            for client in self.clients[: int(share * len(self.clients))]:
                client.lose()

        self.loop.call_soon_threadsafe(cut)

    @property
    def complaints(self) -> list[str]:
        """What any client has seen that may not be."""
        return [
            *(text for client in self.clients for text in client.witness.complaints),
            *(text for client in self.clients for text in client.hangs),
            *(f"the fleet itself failed: {context}" for context in self._broken),
        ]

    @property
    def left(self) -> list[Client]:
        """Those who have not seen the end, and been told that nothing is left."""
        return [client for client in self.clients if not client.done]
