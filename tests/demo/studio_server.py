"""The demo's application on a real uvicorn, with settings that the command doesn't have."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from sseprog import Hub
from sseprog.demo.app import create_app
from sseprog.demo.studio import Studio


class StudioServer:
    """One server on a free loopback port, in a thread; it runs one job at a time."""

    def __init__(
        self,
        output: Path,
        *,
        max_jobs: int | None = None,
        around: Callable[[Any], Any] = lambda app: app,
        **options: Any,
    ) -> None:
        self.output = output
        self.uploads = output / ".uploads"
        self._hub = Hub("memory://", workers=1, ttl=None, max_jobs=max_jobs)
        self._studio = Studio(self._hub, output)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        app = around(create_app(self._studio, **options))
        config = uvicorn.Config(
            app, ws="none", log_level="warning", timeout_graceful_shutdown=1, server_header=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "uvicorn did not end"
        self._socket.close()
        self._hub.close()
        self._studio.close()
