"""Streams in one process: how they are opened, read and closed, by Django's own test clients."""

import asyncio
import gc
from collections.abc import Callable

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.db import connection, transaction
from django.test import AsyncClient, Client, RequestFactory, override_settings

from sseprog import Hub
from sseprog._asgi import Message
from sseprog.adapters import Incoming
from sseprog_django import views
from sseprog_django.asgi import with_streams


@pytest.fixture
def job(hub: Hub) -> str:
    """A job that has ended, so that its stream does."""
    with hub.job("j") as job:
        job.update(50)
    return "j"


def test_a_sync_client_reads_a_stream(client: Client, hub: Hub, job: str) -> None:
    response = client.get("/jobs/j/stream", headers={"Accept-Encoding": "gzip"})
    assert response.streaming
    text = b"".join(response).decode()  # type: ignore[call-overload]
    assert [line for line in text.splitlines() if line.startswith("event")] == [
        "event: status",
        "event: complete",
    ]
    assert hub.streams == 0


def test_an_async_client_reads_a_stream(people: None, hub: Hub, job: str) -> None:
    async def read() -> str:
        response = await AsyncClient().get("/jobs/j/stream")
        return b"".join([chunk async for chunk in response]).decode()  # type: ignore[attr-defined]

    assert "event: complete" in asyncio.run(read())
    assert hub.streams == 0


def test_a_response_that_is_closed_unread_closes_its_stream(
    client: Client, hub: Hub, eventually: Callable[..., None]
) -> None:
    hub.create("j")
    response = client.get("/jobs/j/stream")
    assert hub.streams == 1
    response.close()
    assert hub.streams == 0

    async def leave() -> None:
        response = await AsyncClient().get("/jobs/j/stream")
        assert hub.streams == 0, "it is opened when it is read"
        response.close()
        response = await AsyncClient().get("/jobs/j/stream")
        await anext(aiter(response))  # type: ignore[call-overload]
        assert hub.streams == 1
        await asyncio.to_thread(response.close)  # in a thread, as Django does
        while hub.streams:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(leave(), 10))


def test_the_connection_of_a_test_case_is_kept(client: Client, job: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        response = client.get("/jobs/j/stream")
        assert b"event: complete" in b"".join(response)  # type: ignore[call-overload]
        cursor.execute("SELECT 2")
        assert cursor.fetchone() == (2,)


def test_a_stream_is_not_in_the_transaction_of_its_request(client: Client, job: str) -> None:
    for view in (views.stream, views.snapshot, views.cancel, views.static, views.other):
        assert "default" in view._non_atomic_requests  # type: ignore[attr-defined]


def test_a_stream_that_is_asked_for_by_head_has_no_body(client: Client, hub: Hub) -> None:
    hub.create("j")
    response = client.head("/jobs/j/stream")
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (response.content, hub.streams) == (b"", 0)


def test_a_full_hub_says_come_back_later(client: Client) -> None:
    from sseprog_django import hub

    with override_settings(SSEPROG={"MAX_STREAMS": 1}):
        hub.create("j")
        first = client.get("/jobs/j/stream")
        assert client.get("/jobs/j/stream").status_code == 503
        told = client.get("/jobs/j/stream", headers={"Accept": "text/event-stream"})
        assert b": busy" in told.content
        first.close()
        again = client.get("/jobs/j/stream")
        assert again.streaming
        again.close()


def test_a_view_takes_a_request_that_no_middleware_has_seen(hub: Hub, job: str) -> None:
    assert views.snapshot(RequestFactory().get("/"), job_id="j").status_code == 200


@pytest.mark.parametrize(("server", "warnings"), [("", 0), ("gunicorn/27", 1)])
def test_several_processes_with_a_broker_of_one_are_warned_of_once(
    client: Client, job: str, caplog: pytest.LogCaptureFixture, server: str, warnings: int
) -> None:
    environ: dict[str, object] = {"wsgi.multiprocess": True}
    if server:  # else it is as Django's test client says of itself
        environ.update({"SERVER_SOFTWARE": server, "wsgi.multithread": True})
    for _ in range(2):
        assert client.get("/jobs/j", **environ).status_code == 200  # type: ignore[arg-type]
    told = [record for record in caplog.records if record.name == "sseprog"]
    assert [record.levelname for record in told] == ["WARNING"] * warnings


# with_streams, driven by hand


class Asking:
    """One request to an ASGI application, by hand."""

    def __init__(self, path: str = "/jobs/j/stream", **scope: object) -> None:
        self.sent: list[Message] = []
        self.leave = asyncio.Event()
        self.came = asyncio.Event()
        self._received = False
        self._scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(b"accept", b"text/event-stream")],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            **scope,
        }
        self.task = asyncio.create_task(
            with_streams(ASGIHandler())(self._scope, self._receive, self._send)  # type: ignore[arg-type]
        )

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(10):
            while text not in self.body:
                self.came.clear()
                await self.came.wait()

    async def _receive(self) -> Message:
        if not self._received:
            self._received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self.came.set()


def test_with_streams_ends_a_stream_when_its_client_leaves(people: None, hub: Hub) -> None:
    async def play() -> None:
        hub.create("j")
        asking = Asking()
        await asking.until(b"event: status")
        assert hub.streams == 1
        asking.leave.set()
        await asyncio.wait_for(asking.task, 10)
        assert hub.streams == 0
        assert asking.sent[0]["status"] == 200
        assert all(message["type"] == "http.response.body" for message in asking.sent[1:])

    asyncio.run(play())


def requests_kept() -> list[Incoming]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Incoming)]


def test_with_streams_keeps_nothing_of_the_request_while_it_streams(people: None, hub: Hub) -> None:
    async def play() -> None:
        hub.create("j")
        asking = Asking()
        await asking.until(b"event: status")
        assert len(requests_kept()) <= len(before)
        asking.leave.set()
        await asyncio.wait_for(asking.task, 10)

    before = requests_kept()  # by other tests
    asyncio.run(play())


def test_with_streams_ends_a_stream_whose_request_the_server_cancels(
    people: None, hub: Hub
) -> None:
    async def play() -> None:
        hub.create("j")
        asking = Asking()
        await asking.until(b"event: status")
        asking.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking.task
        assert hub.streams == 0

    asyncio.run(play())


def test_with_streams_survives_a_client_who_leaves_at_once(people: None, hub: Hub) -> None:
    async def play() -> None:
        hub.create("j")
        asking = Asking()
        asking.leave.set()
        await asyncio.wait_for(asking.task, 10)
        assert hub.streams == 0

    asyncio.run(play())


def test_with_streams_closes_a_stream_that_middleware_did_not_send(people: None, hub: Hub) -> None:
    async def play() -> None:
        hub.create("j")
        asking = Asking(query_string=b"replaced=1")
        await asyncio.wait_for(asking.task, 10)
        assert (asking.sent[0]["status"], asking.body) == (418, b"replaced by middleware")
        assert hub.streams == 0

    asyncio.run(play())


@pytest.mark.parametrize(
    ("path", "status"),
    [("/jobs/nope/stream", 404), ("/jobs/j/stream/", 404), ("/jobs/j", 200), ("/nope/stream", 404)],
)
def test_with_streams_answers_as_django_does(
    people: None, hub: Hub, job: str, path: str, status: int
) -> None:
    async def play() -> None:
        asking = Asking(path)
        await asyncio.wait_for(asking.task, 10)
        assert asking.sent[0]["status"] == status
        assert asking.sent[-1].get("more_body", False) is False

    asyncio.run(play())


def test_with_streams_leaves_other_protocols_to_the_application() -> None:
    async def play() -> None:
        with pytest.raises(ValueError, match="only handle ASGI/HTTP"):
            await Asking(type="websocket").task

    asyncio.run(play())
