"""A TCP proxy that does to connections what networks do."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

__all__ = ["Proxy"]


class _Link:
    """One connection and its other half."""

    def __init__(self, ends: list[asyncio.StreamWriter], budget: float) -> None:
        self.ends = ends
        self.budget = budget
        self.dead = False

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Proxy:
    """Pass everything on to a port of this machine, until told otherwise. Its loop is a thread.

    ``with Proxy(port) as proxy: connect(proxy.port)``.
    """

    def __init__(self, target: int, seed: int = 1) -> None:
        self.target = target
        self.port = 0
        self.cuts = 0
        self._chance = random.Random(seed)  # noqa: S311
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._mean = float("inf")  # bytes until a connection is cut
        self._delay = 0.0
        self._swallows = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    @contextmanager
    def cutting(self, mean: int) -> Iterator[None]:
        """Cut every connection at a random byte: after ``mean`` of them on average, either way."""
        self._call(self._begin_cutting, float(mean))
        yield
        self._call(self._begin_cutting, float("inf"))

    @contextmanager
    def delaying(self, most: float) -> Iterator[None]:
        """Keep each piece for up to so many seconds; the order stays."""
        self._delay = most
        yield
        self._delay = 0.0

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Pass nothing on for a while, and all of it after that, as a network that was away."""
        self._call(self._open.clear)
        yield
        self._call(self._open.set)

    @contextmanager
    def swallowing(self) -> Iterator[None]:
        """Lose everything; whoever is connected now stays so, mute, for ever."""
        self._call(self._swallow, True)
        yield
        self._call(self._swallow, False)

    def _call(self, function: object, *values: object) -> None:
        self._loop.call_soon_threadsafe(function, *values)  # type: ignore[arg-type]

    # In the loop

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for link in list(self._links):
            link.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin_cutting(self, mean: float) -> None:
        self._mean = mean
        for link in self._links:
            link.budget = self._budget()

    def _budget(self) -> float:
        return self._mean if self._mean == float("inf") else self._chance.uniform(0, 2 * self._mean)

    def _swallow(self, begins: bool) -> None:
        self._swallows = begins
        for link in self._links:
            link.dead = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link([writer], self._budget())
        link.dead = self._swallows
        self._links.add(link)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if link.dead:
                await self._stop.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            link.ends.append(back)
            await asyncio.gather(self._pass(link, reader, back), self._pass(link, there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            link.cut()
            for end in link.ends:
                with suppress(OSError):
                    await end.wait_closed()
            self._links.discard(link)
            self._tasks.discard(task)

    async def _pass(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65_536):
            await self._open.wait()
            if link.dead:
                continue
            if self._delay:
                await asyncio.sleep(self._chance.uniform(0, self._delay))
            writer.write(data[: int(min(link.budget, len(data)))])
            await writer.drain()
            link.budget -= len(data)
            if link.budget <= 0:
                self.cuts += 1
                # What was written is to arrive: a FIN, and then nothing is heard any more.
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
                link.cut()
                return
        if not link.dead:
            link.cut()
