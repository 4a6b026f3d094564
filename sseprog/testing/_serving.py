"""What the author of an adapter says of his server, and the servers of one class of tests."""

# ruff: noqa: S101 - these are tests, which pytest runs

import inspect
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import pytest

from ._control import AUTHORIZES
from ._server import Server

__all__ = ["Serving"]

_SETTINGS: Final[Mapping[str, Mapping[str, str]]] = {
    # Every report is an event, and reaches every stream.
    "plain": {"SSEPROG_THROTTLE": "0", "SSEPROG_CONFLATE_AFTER": "0"},
    "small": {"SSEPROG_MAX_STREAMS": "3", "SSEPROG_MAX_STREAMS_PER_CLIENT": "2"},
    "guarded": {
        AUTHORIZES: "yes",
        "SSEPROG_MAX_STREAMS_PER_CLIENT": "1",
        "SSEPROG_TRUSTED_PROXIES": "127.0.0.1",
        "SSEPROG_HEARTBEAT": "0.2",
        "SSEPROG_MAX_STREAM_AGE": "1",
    },
}


class Serving:
    """The attributes to set, the processes, and the fixtures by which tests get at them."""

    command: ClassVar[Sequence[str]]
    """How to start the server, ``{port}`` where the port goes: that of 127.0.0.1."""

    cwd: ClassVar[str | os.PathLike[str] | None] = None
    """Where to start it, and to import the application from; the test's own folder if None."""

    environment: ClassVar[Mapping[str, str]] = {}
    """Variables that it needs."""

    prefix: ClassVar[str] = "/jobs"
    """Where the application mounts the adapter."""

    tolerated: ClassVar[Sequence[str]] = ()
    """Patterns of what the server itself writes to its log when a client is cut off."""

    notices_within: ClassVar[float] = 1.0
    """Seconds after which a client that has left is noticed, with nothing published."""

    notices_half_close: ClassVar[bool] = True
    """Whether that goes for a client that has only shut down its sending side."""

    ends_within: ClassVar[float | None] = 3.0
    """Seconds after SIGTERM, with streams open, by which the process has ended; None for never."""

    ends_cleanly: ClassVar[bool | None] = True
    """Whether its streams are told so, and not just cut off; None if that is left to chance."""

    visits: ClassVar[int] = 1_000
    """How many clients come and go in the test that looks for what they leave behind."""

    visitors_at_once: ClassVar[int] = 20
    """How many clients come and go together; on a server with threads, no more than it serves."""

    patience: ClassVar[float] = 10.0
    """Seconds until something that has to come counts as never coming."""

    _running: ClassVar[dict[str, Server]]
    _started: ClassVar[list[Server]]

    def cancel_headers(self, server: Server) -> Mapping[str, str]:
        """Return headers that a POST needs, such as those of a CSRF token."""
        return {}

    @pytest.fixture
    def plain(self) -> Iterator[Server]:
        """A server with the default limits."""
        yield from self._serve("plain")

    @pytest.fixture
    def small(self) -> Iterator[Server]:
        """A server for three streams, two for one client."""
        yield from self._serve("small")

    @pytest.fixture
    def guarded(self) -> Iterator[Server]:
        """A server with an ``authorize``, behind a trusted proxy, whose streams are short."""
        yield from self._serve("guarded")

    @classmethod
    def start(cls, kind: str) -> Server:
        """Start the server of this kind, unless there is one; don't wait for it."""
        server = cls._running.get(kind)
        if server is None or server.spent:
            server = Server(
                cls.command,
                cwd=cls.cwd or Path(inspect.getfile(cls)).parent,
                environment={**cls.environment, **_SETTINGS[kind]},
                prefix=cls.prefix,
                patience=cls.patience,
                tolerated=cls.tolerated,
            )
            cls._running[kind] = server
            cls._started.append(server)
        return server

    @classmethod
    def setup_class(cls) -> None:
        """Begin without servers; each starts with the first test that needs it."""
        cls._running = {}
        cls._started = []

    @classmethod
    def teardown_class(cls) -> None:
        """End all servers, and look through what they wrote last."""
        for server in cls._started:
            server.stop()
        complaints: list[str] = []
        for server in cls._started:
            try:
                server.process.wait(cls.ends_within or 1.0)
            except subprocess.TimeoutExpired:
                complaints.append(f"the server did not end: {server.command}")
            server.kill()
            log = server.unread_log()
            found = server.complaints(log)
            if found:
                print(log)
            complaints += found
            server.close()
        assert complaints == []

    def _serve(self, kind: str) -> Iterator[Server]:
        server = self.start(kind)
        server.wait()
        complaints: list[str] = []
        try:
            yield server
        finally:
            try:
                server.clean_up()
            finally:
                log = server.unread_log()
                print(log, end="")  # pytest shows it if the test has failed
                complaints = server.complaints(log)
        assert complaints == [], "the server has complained in its log"
