"""Run the demo in this process: uvicorn, the browser, the terminal's view, and the end of all."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import uvicorn
from rich.console import Console

from .._reading import Unreachable, states_at
from .._terminal import draw
from ..emitters._ffmpeg.binary import find_ffmpeg, graph_builder
from ..hub import Hub
from .app import create_app
from .guard import is_loopback
from .studio import LADDER, Studio

__all__ = ["CannotServe", "serve"]

_PATIENCE: Final = 1  # seconds for requests under way, such as uploads, when the server stops
_STOPPING: Final = 8.0  # seconds for ffmpegs to end; they need one


class CannotServe(Exception):
    """The demo can't start; the text says why, in one sentence."""


def serve(
    host: str,
    port: int,
    *,
    video: Path | None = None,
    output: Path | None = None,
    workers: int | None = None,
    open_browser: bool = True,
) -> None:
    """Serve the demo until SIGINT or SIGTERM; then end the jobs, and return.

    ``video`` is started at once, with a line ``job <id> <stream URL>`` on stdout. ``output`` keeps
    what is made; without it, a temporary folder does until the end. ``workers`` jobs run at a
    time: half of the cores, unless it is said. Raises `CannotServe`, `MissingExtra`.
    """
    find_ffmpeg(None)  # now, rather than in every job
    graph_builder()
    if video is not None and not video.is_file():
        raise CannotServe(f"{video} is not a file")
    with contextlib.suppress(_Ended, KeyboardInterrupt), contextlib.ExitStack() as stack:
        listening = stack.enter_context(_listen(host, port))
        folder = stack.enter_context(_output_folder(output))
        hub = Hub("memory://", workers=workers or max(1, (os.cpu_count() or 1) // 2), ttl=None)
        studio = Studio(hub, folder)
        stack.callback(studio.close)
        stack.callback(hub.close, _STOPPING)
        stopping = threading.Event()
        stack.callback(stopping.set)
        stack.enter_context(_signals_that_end_quietly())

        url = _url_of(listening, host)
        console = Console(highlight=False)
        if video is not None:
            job_id = studio.start_file(video, LADDER).job_id
            stream = f"{url}jobs/{job_id}/stream"
            print(f"job {job_id} {stream}", flush=True)
        print(f"The demo is at {url}", flush=True)
        if not is_loopback(host):
            print(f"Whoever can reach {host} can watch, and send videos.", flush=True)
        kept = "stay in" if output else "are removed at the end; until then they are in"
        print(f"Finished files {kept} {folder}", flush=True)
        print("Ctrl-C ends it.", flush=True)
        if video is not None:
            threading.Thread(
                target=_draw, args=(stream, video.name, console, stopping), daemon=True
            ).start()
        if open_browser and _has_screen():
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        _run(create_app(studio, local=is_loopback(host)), listening)


def _draw(stream: str, name: str, console: Console, stopping: threading.Event) -> None:
    with contextlib.suppress(Unreachable):  # the demo has ended before it began
        draw(states_at(stream, stopping), name, console)


def _run(app: object, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        timeout_graceful_shutdown=_PATIENCE,
        server_header=False,
    )
    # Requests that are cut off at the end are no errors, and not worth 50 lines each.
    logging.getLogger("uvicorn.error").addFilter(_tells_of_no_cancellation)
    uvicorn.Server(config).run(sockets=[listening])


def _tells_of_no_cancellation(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


class _Ended(BaseException):
    """SIGTERM or SIGHUP came."""


@contextlib.contextmanager
def _signals_that_end_quietly() -> Iterator[None]:
    """Have SIGTERM unwind this thread, and SIGHUP be one.

    uvicorn stops at a SIGTERM and raises it again when all is over; of SIGHUP it knows nothing, and
    an exception that a handler raises inside its event loop is lost.
    """

    def end(number: int, frame: object) -> None:
        raise _Ended

    def pass_on(number: int, frame: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    handlers = {signal.SIGTERM: end, signal.SIGHUP: pass_on}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is said or started: who connects from now on only waits."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise CannotServe(
            f"can't listen on {host}, port {port} ({error.strerror}); --port takes another"
        ) from error
    return listening


@contextlib.contextmanager
def _output_folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is None:
        folder = Path(tempfile.mkdtemp(prefix="sseprog-demo-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=chosen).close()
    except OSError as error:
        raise CannotServe(f"can't write to {chosen}: {error.strerror}") from error
    yield chosen.resolve()


def _url_of(listening: socket.socket, host: str) -> str:
    address, port = listening.getsockname()[:2]
    if address in {"0.0.0.0", "::"}:  # noqa: S104  # no address to go to
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _has_screen() -> bool:
    """Tell whether a browser can open a window: one in the terminal would take it from us."""
    return sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
