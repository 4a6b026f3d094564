"""uvicorn in a thread of the test's own process, so that a test can look into the hub."""

import asyncio
import concurrent.futures
import socket
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import uvicorn
import uvloop

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class UvicornThread:
    """One server on a free loopback port; it accepts connections as soon as it is made."""

    def __init__(
        self,
        app: Any,
        *,
        loop: str = "uvloop",
        http: Literal["h11", "httptools"] = "httptools",
        root_path: str = "",
        send_buffer: int | None = None,
    ) -> None:
        self._socket = socket.socket()
        if send_buffer is not None:  # accepted sockets inherit it
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(1024)
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(app, http=http, ws="none", root_path=root_path, log_config=None)
        )
        self._loop: concurrent.futures.Future[asyncio.AbstractEventLoop] = (
            concurrent.futures.Future()
        )
        self._thread = threading.Thread(target=self._run, args=[LOOPS[loop]])
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop.set_result(asyncio.get_running_loop())
        await self._server.serve(sockets=[self._socket])

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the server's event loop, as a callback, and return its result."""
        result: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)

        self._loop.result(10).call_soon_threadsafe(run)
        return result.result(10)

    def stop(self) -> None:
        """Ask the server to end; its thread does, within its next ticks of 0.1 s."""
        self._server.should_exit = True

    def join(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive(), "uvicorn did not end"
        self._socket.close()
