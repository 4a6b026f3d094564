"""A server of streams of bytes, with a page that lets a browser's ``EventSource`` read them."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["TablePage"]

SCRIPT = """
const read = (address, names) => new Promise((resolve) => {
  const events = [], source = new EventSource(address);
  const hear = (event) => {
    if ("data" in event) events.push([event.type, event.data, event.lastEventId]);
    else if (source.readyState === 2) resolve(events);
  };
  for (const name of names) source.addEventListener(name, hear);
});
const all = addresses.map((address) => read(address, names));
const body = JSON.stringify(await Promise.all(all));
await fetch("/report", { method: "POST", body });
"""


class TablePage:
    """Each stream is sent once, whole, and ends; who comes again is told by a 204 to stop.

    ``again`` has what each was asked for then: the last event id, and after how many milliseconds.
    """

    def __init__(self, streams: list[tuple[bytes, str]], names: list[str]) -> None:
        self._streams = streams
        self._sent: dict[int, float] = {}
        self.again: dict[int, tuple[str, float]] = {}
        self._report: list[list[Any]] = []
        self._reported = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.end_headers()
                outer._report = json.loads(body)
                outer._reported.set()

            def log_message(self, *_: Any) -> None:
                pass

        # Six connections to a host would have streams wait for each other.
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(8)]
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,)) for server in self._servers
        ]
        for thread in self._threads:
            thread.start()
        self._hosts = [f"http://127.0.0.1:{server.server_port}" for server in self._servers]
        self.url = f"{self._hosts[0]}/"
        addresses = [f"{self._hosts[n % len(self._hosts)]}/{n}" for n in range(len(streams))]
        self._page = (
            f"<!doctype html><script type=module>const addresses = {json.dumps(addresses)},"
            f" names = {json.dumps(names)};{SCRIPT}</script>"
        ).encode()

    def report(self) -> list[list[Any]]:
        """Wait for what the page has seen of each stream."""
        assert self._reported.wait(40), "the page has not reported"
        return self._report

    def close(self) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()

    def _answer(self, to: BaseHTTPRequestHandler) -> None:
        name = to.path[1:]
        if not name.isdigit():
            self._write(to, 200 if not name else 404, "text/html", self._page)
            return
        number = int(name)
        if number not in self._sent:
            data, content_type = self._streams[number]
            self._write(to, 200, content_type, data)
            self._sent[number] = time.monotonic()
            return
        cursor = to.headers.get("Last-Event-ID", "").encode("latin-1").decode()
        self.again[number] = (cursor, 1000 * (time.monotonic() - self._sent[number]))
        to.send_response(204)
        to.end_headers()

    def _write(self, to: BaseHTTPRequestHandler, status: int, kind: str, body: bytes) -> None:
        to.send_response(status)
        to.send_header("Content-Type", kind)
        to.send_header("Access-Control-Allow-Origin", "*")
        to.end_headers()
        to.wfile.write(body)
