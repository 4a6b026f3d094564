"""A blocking SSE client that is its own: http.client's framing, and the fields read by hand."""

import http.client
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

TIMEOUT = 10.0


@dataclass(frozen=True)
class Received:
    """One event as the client read it."""

    name: str
    id: str
    data: dict[str, Any]


class EventClient:
    """One request whose answer is read event by event.

    An answer that ends without the chunked terminator raises `http.client.IncompleteRead`.
    """

    def __init__(
        self,
        port: int,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:  # before connect(), or the window is settled already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(TIMEOUT)
        self._socket.connect(("127.0.0.1", port))
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
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

    def __iter__(self) -> Iterator[Received]:
        return self

    def __next__(self) -> Received:
        while True:
            block, blank_line, rest = self._unread.partition(b"\n\n")
            if blank_line:
                self._unread = rest
                event = self._read_block(block.decode())
                if event is not None:
                    return event
                continue
            chunk = self.response.read1(65536)
            if not chunk:
                assert not self._unread, "the stream ended within an event"
                raise StopIteration
            self.raw += chunk
            self._unread += chunk

    def _read_block(self, block: str) -> Received | None:
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
        return Received(fields["event"], fields.get("id", ""), json.loads(fields["data"]))

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
