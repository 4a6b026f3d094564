"""The bytes of protocol.md as they leave a real server."""

import json
import re
import socket
import time
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import sseprog
from sseprog import Hub
from sseprog_starlette import ProgressApp

from .conftest import Connect, Eventually, Serve
from .uvicorn_thread import UvicornThread

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-store, no-transform",
    "x-accel-buffering": "no",
}


@pytest.fixture
def server(hub: Hub, serve: Serve) -> UvicornThread:
    return serve(Starlette(routes=[Mount("/jobs", ProgressApp(hub))]))


def ended_job(hub: Hub, job_id: str = "job-1", reports: int = 3) -> str:
    """Run a job to its end; return the epoch of its log."""
    with hub.job(job_id) as job:
        for number in range(1, reports + 1):
            job.update(number, stage="counting")
    return hub.broker.newest(job_id)[0]


class Bytes:
    """A raw socket: what came, to the byte."""

    def __init__(self, port: int, request: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.sendall(request.replace("\n", "\r\n").encode())
        self.unread = b""

    def until(self, end: bytes) -> bytes:
        while end not in self.unread:
            data = self.socket.recv(65536)
            assert data, f"the connection closed before {end!r}; unread {self.unread!r}"
            self.unread += data
        before, _, self.unread = self.unread.partition(end)
        return before + end

    def chunk(self) -> bytes:
        size = int(self.until(b"\r\n"), 16)
        while len(self.unread) < size + 2:
            self.unread += self.socket.recv(65536)
        body, self.unread = self.unread[:size], self.unread[size + 2 :]
        return body

    def rest(self) -> bytes:
        while data := self.socket.recv(65536):
            self.unread += data
        return self.unread


@pytest.mark.parametrize("http_parser", ["h11", "httptools"])
def test_curl_sees_exactly_these_bytes(hub: Hub, serve: Serve, http_parser: str) -> None:
    server = serve(Starlette(routes=[Mount("/jobs", ProgressApp(hub))]), http=http_parser)
    hub.create("job-1")
    curl = Bytes(
        server.port,
        "GET /jobs/job-1/stream HTTP/1.1\nHost: 127.0.0.1\nUser-Agent: curl/7.88.1\n"
        "Accept: */*\nConnection: close\n\n",
    )
    try:
        head = curl.until(b"\r\n\r\n").decode()
        status_line, *lines = head.strip().split("\r\n")
        assert status_line == "HTTP/1.1 200 OK"
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert {name: headers.get(name) for name in STREAM_HEADERS} == STREAM_HEADERS
        assert headers["transfer-encoding"] == "chunked"
        assert "content-length" not in headers

        # At once, in one piece, though the job has not begun.
        first = curl.chunk().decode()
        state = json.loads(re.search("^data: (.*)$", first, re.MULTILINE)[1])  # type: ignore[index]
        epoch = hub.broker.newest("job-1")[0]
        moment = state.pop("updated_at")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)
        data = (
            '{"job_id":"job-1","status":"pending","stage":"","progress":null,"message":"",'
            f'"details":{{}},"eta":null,"started_at":null,"updated_at":"{moment}"}}'
        )
        retry = re.match(r"retry: (\d+)\n\n", first)
        assert retry is not None
        assert 1500 <= int(retry[1]) <= 2500
        assert first == f"{retry[0]}id: {epoch}-0\nevent: status\ndata: {data}\n\n"

        with hub.job("job-1") as job:
            running = curl.chunk().decode()
            job.update(41.3, stage="transcoding 720p", message="Größe\n2", details={"fps": 96.1})
            progress = curl.chunk().decode()
        complete = curl.chunk().decode()
        assert running.startswith(f'id: {epoch}-1\nevent: progress\ndata: {{"job_id":"job-1"')
        started, updated = re.findall('_at":"([^"]*)"', progress)
        assert progress == (
            f'id: {epoch}-2\nevent: progress\ndata: {{"job_id":"job-1","status":"running",'
            '"stage":"transcoding 720p","progress":41.3,"message":"Größe\\n2",'
            f'"details":{{"fps":96.1}},"eta":null,"started_at":"{started}",'
            f'"updated_at":"{updated}"}}\n\n'
        )
        assert complete.startswith(f"id: {epoch}-3\nevent: complete\ndata: ")
        assert '"status":"completed"' in complete
        assert '"progress":100,' in complete
        assert complete.endswith("}\n\n")
        assert curl.rest() == b"0\r\n\r\n"
    finally:
        curl.socket.close()


def test_an_ended_job_is_status_then_the_terminal_event_then_the_end(
    hub: Hub, server: UvicornThread, connect: Connect
) -> None:
    epoch = ended_job(hub)
    events = list(connect(server.port, "/jobs/job-1/stream"))
    assert [(event.name, event.id) for event in events] == [
        ("status", f"{epoch}-4"),
        ("complete", f"{epoch}-5"),
    ]


@pytest.mark.parametrize("way", ["header", "query", "both, the header wins"])
def test_a_cursor_gets_every_event_after_it(
    way: str, hub: Hub, server: UvicornThread, connect: Connect
) -> None:
    epoch = ended_job(hub, reports=40)  # more than conflate_after: a replay is whole
    path, headers = "/jobs/job-1/stream", {"Last-Event-ID": f"{epoch}-3"}
    if way == "query":
        path, headers = f"{path}?last_event_id={epoch}-3", {}
    elif way != "header":
        path = f"{path}?last_event_id={epoch}-9"
    status, *events = connect(server.port, path, headers=headers)
    assert (status.name, status.id, status.data["resumed"]) == ("status", f"{epoch}-3", True)
    assert status.data["progress"] == 2
    assert [event.id for event in events] == [f"{epoch}-{seq}" for seq in range(4, 43)]
    assert [event.name for event in events] == 38 * ["progress"] + ["complete"]


def test_a_stream_that_was_cut_goes_on_where_it_was(
    hub: Hub, server: UvicornThread, connect: Connect
) -> None:
    with hub.job("job-1") as job:
        stream = connect(server.port, "/jobs/job-1/stream")
        next(stream)
        job.update(1)
        job.update(2)
        seen = next(stream)
        stream.reset()
        job.update(3)
        again = connect(server.port, "/jobs/job-1/stream", headers={"Last-Event-ID": seen.id})
        status = next(again)
        assert (status.id, status.data["resumed"]) == (seen.id, True)
        job.update(4)
        assert [next(again).data["progress"] for _ in range(3)] == [2, 3, 4]


def test_nothing_is_left_after_the_terminal_event(
    hub: Hub, server: UvicornThread, http: httpx.Client
) -> None:
    epoch = ended_job(hub)
    url = f"{server.url}/jobs/job-1/stream"
    answers = [
        http.get(url, headers={"Last-Event-ID": f"{epoch}-5"}),
        http.get(url, params={"last_event_id": f"{epoch}-5"}),
        http.head(url, headers={"Last-Event-ID": f"{epoch}-5"}),
    ]
    assert [(answer.status_code, answer.content) for answer in answers] == 3 * [(204, b"")]
    assert hub.streams == 0


@pytest.mark.parametrize("cursor", ["{epoch}-0", "otherlog-2", "{epoch}-999"])
def test_a_gap_is_told_by_a_status_that_did_not_resume(
    cursor: str, serve: Serve, connect: Connect
) -> None:
    hub = Hub(throttle=0, retention=4)
    server = serve(Starlette(routes=[Mount("/jobs", ProgressApp(hub))]))
    with hub.job("job-1") as job:
        for number in range(1, 11):
            job.update(number)
        epoch = hub.broker.newest("job-1")[0]
        headers = {"Last-Event-ID": cursor.format(epoch=epoch)}
        stream = connect(server.port, "/jobs/job-1/stream", headers=headers)
        status = next(stream)
        assert (status.data["resumed"], status.data["progress"]) == (False, 10)
        job.update(11)
        assert next(stream).data["progress"] == 11
    hub.close()


def test_from_start_begins_at_the_oldest_event(
    hub: Hub, server: UvicornThread, connect: Connect
) -> None:
    epoch = ended_job(hub)
    events = list(connect(server.port, "/jobs/job-1/stream?from=start"))
    assert [event.id for event in events] == [f"{epoch}-{seq}" for seq in range(6)]
    assert [event.name for event in events] == ["status", *4 * ["progress"], "complete"]


@pytest.mark.parametrize(
    ("query", "shown"),
    [("", ("comment", ": heartbeat\n\n")), ("?heartbeat=event", ("event", "event: heartbeat\n"))],
)
def test_a_quiet_stream_has_heartbeats(
    query: str, shown: tuple[str, str], serve: Serve, connect: Connect
) -> None:
    hub = Hub(heartbeat=0.1)
    server = serve(ProgressApp(hub))
    with hub.job("job-1"):
        stream = connect(server.port, f"/job-1/stream{query}")
        next(stream)
        if shown[0] == "event":
            heartbeat = next(stream)
            assert (heartbeat.name, heartbeat.id, heartbeat.data) == ("heartbeat", "", {})
        else:
            while b"heartbeat" not in stream.raw:
                stream.raw += stream.response.read1(1000)
        assert shown[1].encode() in stream.raw
    hub.close()


def test_a_heartbeat_is_not_put_off_to_that_of_another_stream(
    serve: Serve, connect: Connect
) -> None:
    hub = Hub(heartbeat=0.8)
    app = ProgressApp(hub)
    written: dict[bytes, list[float]] = {}

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            if b"heartbeat" in message.get("body", b""):
                written.setdefault(scope["query_string"], []).append(time.monotonic())
            await send(message)

        await app(scope, receive, note)

    server = serve(noting)
    with hub.job("job-1"):
        first = connect(server.port, "/job-1/stream?heartbeat=event")
        next(first)
        time.sleep(0.4)  # half a period is what this is about
        second = connect(server.port, "/job-1/stream?from=&heartbeat=event")
        next(second)
        next(second)
        next(first)
        next(first)
    times = written[b"heartbeat=event"]
    between = written[b"from=&heartbeat=event"][0]
    assert between < times[1] - 0.1  # with the first's own, if they are in step
    hub.close()


@pytest.mark.parametrize("path", ["job-1/stream", "job-1", "static/sseprog.js"])
def test_head_has_the_headers_of_get_and_no_body(
    path: str, hub: Hub, server: UvicornThread, http: httpx.Client
) -> None:
    hub.create("job-1")
    url = f"{server.url}/jobs/{path}"
    head = http.head(url)
    with http.stream("GET", url) as get:
        wanted = dict(get.headers)
    assert head.status_code == 200
    assert head.content == b""
    volatile = {"date", "transfer-encoding"}
    assert {name: value for name, value in head.headers.items() if name not in volatile} == {
        name: value for name, value in wanted.items() if name not in volatile
    }


def test_a_snapshot_is_the_status_document_and_is_not_sent_twice(
    hub: Hub, server: UvicornThread, http: httpx.Client
) -> None:
    url = f"{server.url}/jobs/job-1"
    with hub.job("job-1") as job:
        job.update(12.5, message="rows")
        answer = http.get(url)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["progress"] == 12.5
        assert answer.json()["status"] == "running"
        tag = answer.headers["etag"]
        for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            same = http.get(url, headers={"If-None-Match": condition})
            assert (same.status_code, same.content) == (304, b"")
            assert same.headers["etag"] == tag
        job.update(13)
        assert http.get(url, headers={"If-None-Match": tag}).json()["progress"] == 13


def test_the_script_is_kept_by_its_version_only(server: UvicornThread, http: httpx.Client) -> None:
    url = f"{server.url}/jobs/static/sseprog.js"
    plain = http.get(url)
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert plain.headers["cache-control"] == "no-cache"
    versioned = http.get(url, params={"v": sseprog.__version__})
    assert versioned.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert http.get(url, params={"v": "0.0.0"}).headers["cache-control"] == "no-cache"
    again = http.get(url, headers={"If-None-Match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get(f"{server.url}/jobs/static/../hub.py").status_code == 404
    assert http.get(f"{server.url}/jobs/static/%2e%2e%2fhub.py").status_code == 404


BAD: list[tuple[str, str, dict[str, str], int]] = [
    ("GET", "job-1/stream?last_event_id=garbage", {}, 400),
    ("GET", "job-1/stream", {"Last-Event-ID": "x" * 10_000}, 400),
    ("GET", "job-1/stream", {"Last-Event-ID": "\xff\xfe"}, 400),
    ("GET", "job-1/stream?from=end", {}, 400),
    ("GET", "job-1/stream?heartbeat=loud", {}, 400),
    ("GET", "job-1/stream?last_event_id=%ff", {}, 400),
    ("GET", "job-1/stream?" + "a=1&" * 40, {}, 400),
    ("GET", "stream", {}, 400),
    ("GET", "job%201", {}, 400),
    ("GET", "job%001/stream", {}, 400),
    ("GET", "x" * 129, {}, 400),
    ("GET", "other/stream", {}, 404),
    ("GET", "other", {}, 404),
    ("POST", "other/cancel", {}, 404),
    ("GET", "job-1/stream/more", {}, 404),
    ("GET", "", {}, 404),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), BAD)
def test_a_bad_request_has_a_reason_in_one_line_of_json(
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    hub: Hub,
    server: UvicornThread,
    http: httpx.Client,
) -> None:
    hub.create("job-1")
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = http.request(method, f"{server.url}/jobs/{path}", headers=raw)
    assert answer.status_code == status
    assert answer.content.count(b"\n") == 1
    assert answer.json()["error"]
    assert len(answer.content) < 300
    assert hub.streams == 0


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "job-1/stream", "GET, HEAD"),
        ("PUT", "job-1", "GET, HEAD"),
        ("DELETE", "job-1", "GET, HEAD"),
        ("GET", "job-1/cancel", "POST"),
        ("HEAD", "job-1/cancel", "POST"),
        ("POST", "static/sseprog.js", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    method: str, path: str, allow: str, hub: Hub, server: UvicornThread, http: httpx.Client
) -> None:
    hub.create("job-1")
    answer = http.request(method, f"{server.url}/jobs/{path}")
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


def test_cancel_asks_the_emitter_to_stop(
    hub: Hub, server: UvicornThread, http: httpx.Client, connect: Connect
) -> None:
    url = f"{server.url}/jobs/job-1/cancel"
    hub.create("job-1")
    stream = connect(server.port, "/jobs/job-1/stream")

    def work() -> None:
        with hub.job("job-1") as job:
            answer = http.post(url)
            assert (answer.status_code, answer.json()) == (202, {"cancelling": True})
            job.update(50)

    with pytest.raises(sseprog.JobCancelled):
        work()
    last = list(stream)[-1]
    assert (last.name, last.data["status"]) == ("error", "cancelled")
    assert last.data["details"]["code"] == "cancelled"
    assert http.post(url).status_code == 409


SAME_SITE: list[tuple[dict[str, str], int]] = [
    ({}, 202),
    ({"Sec-Fetch-Site": "same-origin"}, 202),
    ({"Sec-Fetch-Site": "same-site"}, 202),
    ({"Sec-Fetch-Site": "none"}, 202),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Origin": "https://example.org", "Host": "example.org"}, 202),
    ({"Origin": "https://example.org", "Host": "x:8000", "X-Forwarded-Host": "example.org"}, 202),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), SAME_SITE)
def test_only_pages_of_its_own_site_cancel_a_job(
    headers: dict[str, str], status: int, hub: Hub, server: UvicornThread, http: httpx.Client
) -> None:
    hub.create("job-1")
    answer = http.post(f"{server.url}/jobs/job-1/cancel", headers=headers)
    assert answer.status_code == status
    assert hub.snapshot("job-1").status == ("cancelled" if status == 202 else "pending")


def answer_when_busy(server: UvicornThread, http: httpx.Client, accept: str) -> Any:
    return http.get(f"{server.url}/job-1/stream", headers={"Accept": accept})


@pytest.mark.parametrize("why", ["too many streams", "draining"])
def test_a_busy_server_sends_browsers_away_for_a_while_only(
    why: str, serve: Serve, http: httpx.Client, connect: Connect, eventually: Eventually
) -> None:
    hub = Hub(max_streams=2)
    server = serve(ProgressApp(hub))
    hub.create("job-1")
    streams = [connect(server.port, "/job-1/stream") for _ in range(2)]
    for stream in streams:
        next(stream)
    if why == "draining":
        streams[0].close()
        eventually(lambda: hub.streams == 1)
        hub.drain()
    page = answer_when_busy(server, http, "text/event-stream")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/event-stream")
    retry = re.fullmatch(r"retry: (\d+)\n: busy\n\n", page.text)
    assert retry is not None
    assert 1000 <= int(retry[1]) <= 5000
    other = answer_when_busy(server, http, "*/*")
    assert other.status_code == 503
    assert 1 <= int(other.headers["retry-after"]) <= 5
    assert http.get(f"{server.url}/job-1").status_code == 200
    if why == "too many streams":
        streams[0].close()
        eventually(lambda: hub.streams == 1)
        assert next(connect(server.port, "/job-1/stream")).name == "status"
    hub.close()
