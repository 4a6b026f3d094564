"""A blocking HTTP and SSE client that is its own: http.client's framing, and the rest by hand."""

# ruff: noqa: S101 - what it asserts is a test's

import http.client
import json
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import Any, Self

__all__ = ["Answer", "Event", "Stream", "connect", "fetch"]


@dataclass(frozen=True)
class Answer:
    """A whole answer, as it came."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Event:
    """One event of a stream."""

    name: str
    id: str
    data: dict[str, Any]

    @property
    def number(self) -> int:
        """The number in its cursor."""
        return int(self.id.rpartition("-")[2])


def connect(
    port: int, timeout: float, sent: bytes = b"", receive_buffer: int | None = None
) -> socket.socket:
    """Open a connection and send what is given, which may be half a request, or nothing."""
    connection = socket.socket()
    if receive_buffer is not None:  # before connect(), or the window is settled already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(timeout)
    try:
        connection.connect(("127.0.0.1", port))
        connection.sendall(sent)
    except OSError:
        connection.close()
        raise
    return connection


def fetch(
    port: int,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float,
) -> Answer:
    """Send one request, be it as odd as it may, and read the answer to its end."""
    sent = _head(method, target, {"Connection": "close", **(headers or {})})
    deadline = time.monotonic() + timeout
    with connect(port, timeout, sent) as connection:
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        body = b""
        while chunk := response.read1(65536):
            body += chunk
            _check(deadline, "an answer that has an end")
        response.close()
        return Answer(response.status, response.headers, body)


class Stream(Iterator[Event]):
    """One request for a stream, whose answer is read event by event, as an ``EventSource`` does.

    An answer that is cut raises `http.client.IncompleteRead` or `ConnectionError`.
    """

    def __init__(
        self,
        port: int,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = 10.0,
        receive_buffer: int | None = None,
    ) -> None:
        accept = {"Accept": "text/event-stream", **(headers or {})}
        self._socket = connect(port, timeout, _head("GET", target, accept), receive_buffer)
        self._timeout = timeout
        self._response: http.client.HTTPResponse | None = None
        self._unread = b""
        self.raw = b""
        self.retries: list[int] = []
        self.comments: list[str] = []

    @property
    def response(self) -> http.client.HTTPResponse:
        """The answer, once its head has come."""
        if self._response is None:
            self._response = http.client.HTTPResponse(self._socket, method="GET")
            self._response.begin()
        return self._response

    def __next__(self) -> Event:
        deadline = time.monotonic() + self._timeout
        while True:
            _check(deadline, "an event")
            block, blank_line, rest = self._unread.partition(b"\n\n")
            if not blank_line:
                if not self._read_more():
                    assert not self._unread, "the stream ended within an event"
                    raise StopIteration
                continue
            self._unread = rest
            event = self._read_block(block.decode())
            if event is not None:
                return event

    def _read_more(self) -> bool:
        chunk = self.response.read1(65536)
        self.raw += chunk
        self._unread += chunk
        return bool(chunk)

    def _read_block(self, block: str) -> Event | None:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "":
                self.comments.append(value)
            elif name == "retry":
                self.retries.append(int(value))
            else:
                assert name not in fields, f"{name} twice in one event"
                fields[name] = value
        if "data" not in fields:
            return None
        return Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))

    def close(self) -> None:
        """Leave with a FIN."""
        if self._response is not None:
            self._response.close()
        self._socket.close()

    def reset(self) -> None:
        """Leave with a RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def half_close(self) -> None:
        """Send a FIN and stay to listen."""
        self._socket.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(deadline: float, what: str) -> None:
    """Lose patience, though there are heartbeats: the socket's own limit starts anew with each."""
    if time.monotonic() > deadline:
        raise TimeoutError(f"{what} never came")


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
    if method in {"POST", "PUT", "PATCH"}:
        lines.append("Content-Length: 0")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
