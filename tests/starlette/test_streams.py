"""Many streams, slow ones, ones that leave: what each costs, and that none holds up another."""

import asyncio
import http.client
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import fastapi
import httpx
import pytest

from sseprog import Hub
from sseprog.testing._client import Stream
from sseprog_starlette import ProgressApp

from .conftest import Connect, Eventually, Serve
from .uvicorn_thread import LOOPS

WAYS_TO_LEAVE: dict[str, Callable[[Stream], None]] = {
    "FIN": Stream.close,
    "RST": Stream.reset,
    "half close": Stream.half_close,
}


class Counting:
    """Middleware that counts the body messages that pass."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.bodies = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counting_send(message: Any) -> None:
            if message["type"] == "http.response.body":
                self.bodies += 1
            await send(message)

        await self.app(scope, receive, counting_send)


@pytest.mark.parametrize("leave", WAYS_TO_LEAVE.values(), ids=WAYS_TO_LEAVE)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_a_client_that_leaves_is_noticed_though_nothing_is_written(
    leave: Callable[[Stream], None],
    loop: str,
    parser: str,
    hub: Hub,
    serve: Serve,
    connect: Connect,
    eventually: Eventually,
) -> None:
    app = Counting(ProgressApp(hub))
    server = serve(app, loop=loop, http=parser)
    with hub.job("job-1") as job:
        clients = [connect(server.port, "/job-1/stream") for _ in range(3)]
        for client in clients:
            next(client)
        assert hub.streams == 3
        written = app.bodies
        for client in clients[1:]:
            leave(client)
        eventually(lambda: hub.streams == 1)
        assert app.bodies == written
        job.update(50)
        assert next(clients[0]).data["progress"] == 50
    assert hub.snapshot("job-1").status == "completed"


def test_clients_that_come_and_go_leave_nothing_behind(
    hub: Hub, serve: Serve, eventually: Eventually
) -> None:
    server = serve(ProgressApp(hub))
    hub.create("job-1")
    for number in range(200):
        client = Stream(server.port, "/job-1/stream")
        if number % 2:  # the others leave before the answer
            next(client)
        client.reset()
    # Not streams alone: some of the 200 may not have been accepted yet.
    with Stream(server.port, "/job-1/stream") as last:
        next(last)
        eventually(lambda: hub.streams == 1)
    eventually(lambda: hub.streams == 0)
    pump = server.call(hub._pump)
    assert not pump.watches.used
    assert not any(pump._due.values())


def test_two_hundred_streams_of_one_job_all_get_its_end(
    hub: Hub, serve: Serve, connect: Connect
) -> None:
    server = serve(ProgressApp(hub))
    hub.create("job-1")
    streams = [connect(server.port, "/job-1/stream") for _ in range(200)]
    firsts = [next(stream) for stream in streams]
    assert {event.name for event in firsts} == {"status"}
    with hub.job("job-1") as job:
        for number in range(100):
            job.update(number, stage="counting")
    for stream in streams:
        events = list(stream)
        assert Counter(event.name for event in events)["complete"] == 1
        assert events[-1].name == "complete"
        numbers = [int(event.id.rpartition("-")[2]) for event in events]
        assert numbers == sorted(set(numbers))


def test_a_slow_reader_is_conflated_and_holds_up_nobody(
    hub: Hub, serve: Serve, connect: Connect
) -> None:
    server = serve(ProgressApp(hub), send_buffer=4096)
    stages = ("one", "two", "three")
    with hub.job("job-1") as job:
        slow = connect(server.port, "/job-1/stream", receive_buffer=4096)
        fast = [connect(server.port, "/job-1/stream") for _ in range(4)]
        seen: list[list[str]] = [[] for _ in fast]
        for stream in [slow, *fast]:
            next(stream)
        for number, stage in enumerate(stages):
            for step in range(25):
                job.update(30 * number + step, stage=stage, details={"filler": "x" * 15_000})
                # Each reads each event before the next is made: who is not slow misses none.
                for stream, ids in zip(fast, seen, strict=True):
                    ids.append(next(stream).id)
    everything = [f"{hub.broker.newest('job-1')[0]}-{seq}" for seq in range(2, 78)]
    for stream, ids in zip(fast, seen, strict=True):
        assert ids + [event.id for event in stream] == everything

    events = list(slow)
    ids = [event.id for event in events]
    assert ids == [id_ for id_ in everything if id_ in set(ids)], "out of order, or twice"
    assert len(ids) < 40, "the whole log was sent"
    assert events[-1].name == "complete"
    for stage in stages:  # the first of each stage and its newest are never left out
        progress = [event.data["progress"] for event in events if event.data["stage"] == stage]
        assert progress[0] == 30 * stages.index(stage)
        assert progress[-2 if stage == "three" else -1] == 30 * stages.index(stage) + 24


def test_a_slow_reader_that_fell_out_of_the_log_gets_a_new_status(
    serve: Serve, connect: Connect
) -> None:
    hub = Hub(throttle=0, retention=8)
    server = serve(ProgressApp(hub), send_buffer=4096)
    with hub.job("job-1") as job:
        slow = connect(server.port, "/job-1/stream", receive_buffer=4096)
        next(slow)
        for number in range(100):
            job.update(number, details={"filler": "x" * 8192})
    events = list(slow)
    status = next(event for event in events if event.name == "status")
    assert status.data["resumed"] is False
    assert events[-1].name == "complete"
    hub.close()


def test_a_client_that_never_reads_is_given_up(
    serve: Serve, connect: Connect, eventually: Eventually
) -> None:
    hub = Hub(throttle=0, send_timeout=0.2)
    server = serve(ProgressApp(hub), send_buffer=4096)
    with hub.job("job-1") as job:
        stuck = connect(server.port, "/job-1/stream", receive_buffer=4096)
        reader = connect(server.port, "/job-1/stream")
        for stream in (stuck, reader):
            next(stream)
        for number in range(1, 40):
            job.update(number, details={"filler": "x" * 8192})
            assert next(reader).data["progress"] == number
        eventually(lambda: hub.streams == 1)
        job.update(50)
        assert next(reader).data["progress"] == 50
    assert next(reader).name == "complete"
    # It is no clean end, so an EventSource that wakes up comes back with its cursor.
    with pytest.raises(http.client.IncompleteRead):
        list(stuck)
    hub.close()


def test_a_stream_costs_no_task_but_the_server_s_own(
    hub: Hub, serve: Serve, connect: Connect
) -> None:
    server = serve(ProgressApp(hub))
    hub.create("job-1")
    tasks = server.call(lambda: len(asyncio.all_tasks()))
    threads = set(threading.enumerate())
    for _ in range(50):
        next(connect(server.port, "/job-1/stream"))
    assert server.call(lambda: len(asyncio.all_tasks())) == tasks + 50
    assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize("publisher", ["loop", "thread"])
def test_a_burst_leaves_in_one_write_for_each_stream(
    publisher: str, hub: Hub, serve: Serve, connect: Connect
) -> None:
    app = Counting(ProgressApp(hub))
    server = serve(app)
    with hub.job("job-1") as job:
        streams = [connect(server.port, "/job-1/stream") for _ in range(50)]
        for stream in streams:
            next(stream)
        written = app.bodies

        def burst() -> None:
            for number in range(1, 11):
                job.update(number)

        def burst_of_a_thread_while_the_loop_is_busy() -> None:
            thread = threading.Thread(target=burst)
            thread.start()
            thread.join()

        server.call(burst if publisher == "loop" else burst_of_a_thread_while_the_loop_is_busy)
        for stream in streams:
            assert [next(stream).data["progress"] for _ in range(10)] == list(range(1, 11))
        assert app.bodies == written + 50


def publishing_app(hub: Hub) -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    app.mount("/jobs", ProgressApp(hub))

    @app.post("/loop")
    async def in_the_loop() -> None:
        async with hub.job("job-1") as job:
            for number in range(10):
                job.update(number)
                await asyncio.sleep(0)

    @app.post("/pool")
    def in_a_thread_of_the_pool() -> None:
        with hub.job("job-1") as job:
            for number in range(10):
                job.update(number)

    @app.post("/background")
    def after_the_answer(tasks: fastapi.BackgroundTasks) -> None:
        tasks.add_task(in_a_thread_of_the_pool)

    return app


@pytest.mark.parametrize("viewers", [1, 5])  # few are written to at once, many once per turn
@pytest.mark.parametrize("where", ["loop", "pool", "background"])
def test_a_job_may_run_anywhere_in_the_application(
    where: str, viewers: int, hub: Hub, serve: Serve, connect: Connect, http: httpx.Client
) -> None:
    server = serve(publishing_app(hub))
    hub.create("job-1")
    streams = [connect(server.port, "/jobs/job-1/stream") for _ in range(viewers)]
    for stream in streams:
        assert next(stream).data["status"] == "pending"
    assert http.post(f"{server.url}/{where}").status_code == 200
    for stream in streams:
        names = [event.name for event in stream]
        assert names == 11 * ["progress"] + ["complete"]
