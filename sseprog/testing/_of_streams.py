"""What a stream sends: its head, a job's life, and where it goes on after a cut."""

# ruff: noqa: S101 - these are tests, which pytest runs

import re
import time

import pytest

from ._server import Server
from ._serving import Serving

__all__ = ["OfStreams"]

HEADERS = {
    "content-type": ["text/event-stream; charset=utf-8"],
    "cache-control": ["no-cache, no-store, no-transform"],
    "x-accel-buffering": ["no"],
}


class OfStreams(Serving):
    """Protocol, sections 1 to 4."""

    def test_a_stream_begins_at_once_and_with_the_headers_of_the_protocol(
        self, plain: Server
    ) -> None:
        plain.job("j", begin=False)
        times: list[float] = []
        for _ in range(3):  # the best of three: the machine has other work
            begun = time.monotonic()
            # An answer that is compressed waits until a block is full.
            stream = plain.stream("/j/stream", {"Accept-Encoding": "gzip, deflate, br"})
            first = next(stream)
            times.append(time.monotonic() - begun)
            assert stream.response.status == 200
            headers = stream.response.headers
            assert {name: headers.get_all(name) for name in HEADERS} == HEADERS
            assert headers["content-length"] is None
            assert headers["content-encoding"] is None
            assert len(headers.get_all("connection", [])) < 2, "the server's is enough"
            wanted = r"retry: (\d+)\n\nid: ([\w-]+-0)\nevent: status\ndata: {"
            start = re.match(wanted, stream.raw.decode())
            assert start is not None, stream.raw
            assert 1500 <= int(start[1]) <= 2500
            assert (first.name, first.id) == ("status", start[2])
            assert (first.data["job_id"], first.data["status"]) == ("j", "pending")
            assert "resumed" not in first.data
        assert min(times) < 0.2

    def test_an_event_arrives_at_once_after_it_was_reported(self, plain: Server) -> None:
        stream = plain.stream(f"/{plain.job('j')}/stream")
        next(stream)
        times: list[float] = []
        for percent in range(1, 6):
            begun = time.monotonic()
            plain.update("j", percent)
            assert next(stream).data["progress"] == percent
            times.append(time.monotonic() - begun)
        assert min(times) < 0.2

    def test_a_stream_tells_the_whole_life_of_a_job_in_order(self, plain: Server) -> None:
        plain.job("j", begin=False)
        stream = plain.stream("/j/stream")
        events = [next(stream)]
        plain.remote("begin", job_id="j")
        plain.update("j", 10, stage="reading", details={"rows": 3})
        plain.update("j", 55.5, stage="writing")
        plain.remote("complete", job_id="j")
        events += list(stream)
        assert [event.name for event in events] == ["status", *3 * ["progress"], "complete"]
        assert [event.number for event in events] == [0, 1, 2, 3, 4]
        assert len({event.id.rpartition("-")[0] for event in events}) == 1
        states = [(event.data["status"], event.data["stage"]) for event in events]
        assert states == [
            ("pending", ""),
            ("running", ""),
            ("running", "reading"),
            ("running", "writing"),
            ("completed", "writing"),
        ]
        assert [event.data["progress"] for event in events[2:]] == [10, 55.5, 100]
        assert events[2].data["details"] == {"rows": 3}
        assert len(stream.retries) == 1

    def test_a_job_that_fails_ends_its_stream_with_an_error(self, plain: Server) -> None:
        stream = plain.stream(f"/{plain.job('j')}/stream")
        next(stream)
        plain.remote("fail", job_id="j", text="The file has no header row.")
        [last] = list(stream)
        assert (last.name, last.data["status"]) == ("error", "failed")
        assert last.data["message"] == "The file has no header row."

    def test_an_ended_job_is_status_then_the_terminal_event_then_the_end(
        self, plain: Server
    ) -> None:
        plain.job("j")
        plain.remote("complete", job_id="j")
        events = list(plain.stream("/j/stream"))
        assert [event.name for event in events] == ["status", "complete"]

    def test_text_is_utf_8_and_one_line(self, plain: Server) -> None:
        text = "Größe 日本 🎬 \u2028\nnext line"
        stream = plain.stream(f"/{plain.job('j')}/stream")
        next(stream)
        plain.update("j", 1, message=text)
        assert next(stream).data["message"] == text
        assert "Größe 日本 🎬".encode() in stream.raw
        assert plain.get("/j").json["message"] == text

    def test_several_streams_get_every_event(self, plain: Server) -> None:
        plain.job("j")
        streams = [plain.stream("/j/stream") for _ in range(4)]
        for stream in streams:
            next(stream)
        plain.remote("count", job_id="j", first=1, last=99)
        plain.remote("complete", job_id="j")
        for stream in streams:
            events = list(stream)
            assert [event.number for event in events] == list(range(2, 102))
            assert [event.data["progress"] for event in events] == list(range(1, 101))

    @pytest.mark.parametrize("way", ["header", "query", "header before query"])
    def test_a_cursor_gets_every_event_after_it(self, plain: Server, way: str) -> None:
        plain.job("j")
        epoch = plain.remote("state", job_id="j")["epoch"]
        plain.remote("count", job_id="j", first=1, last=40)
        plain.remote("complete", job_id="j")
        header = {} if way == "query" else {"Last-Event-ID": f"{epoch}-3"}
        number = 9 if way == "header before query" else 3
        query = "" if way == "header" else f"?last_event_id={epoch}-{number}"
        status, *events = plain.stream(f"/j/stream{query}", header)
        assert (status.name, status.id, status.data["resumed"]) == ("status", f"{epoch}-3", True)
        assert [event.id for event in events] == [f"{epoch}-{n}" for n in range(4, 43)]
        assert [event.name for event in events] == [*38 * ["progress"], "complete"]

    @pytest.mark.parametrize("cursor", ["another-log-2", "{epoch}-999", "{epoch}-0"])
    def test_a_cursor_that_is_unknown_gets_the_newest_state(
        self, plain: Server, cursor: str
    ) -> None:
        plain.job("j")
        epoch = plain.remote("state", job_id="j")["epoch"]
        for _ in range(3):  # more events than a log keeps
            plain.remote("count", job_id="j", first=1, last=99)
        header = {"Last-Event-ID": cursor.format(epoch=epoch)}
        stream = plain.stream("/j/stream", header)
        status = next(stream)
        assert (status.name, status.data["resumed"], status.number) == ("status", False, 298)
        plain.update("j", 99.5)
        assert next(stream).data["progress"] == 99.5

    def test_nothing_is_left_after_the_terminal_event(self, plain: Server) -> None:
        plain.job("j")
        plain.remote("complete", job_id="j")
        cursor = plain.remote("state", job_id="j")["cursor"]
        for answer in (
            plain.get("/j/stream", {"Last-Event-ID": cursor}),
            plain.get(f"/j/stream?last_event_id={cursor}"),
            plain.request("HEAD", "/j/stream", {"Last-Event-ID": cursor}),
        ):
            assert (answer.status, answer.body) == (204, b"")
        assert plain.remote("streams") == 0

    def test_from_start_begins_at_the_oldest_event(self, plain: Server) -> None:
        plain.job("j")
        plain.remote("count", job_id="j", first=1, last=3)
        plain.remote("complete", job_id="j")
        events = list(plain.stream("/j/stream?from=start"))
        assert [event.number for event in events] == [0, 1, 2, 3, 4, 5]
        assert [event.name for event in events] == ["status", *4 * ["progress"], "complete"]

    def test_a_quiet_stream_has_heartbeats_and_ends_cleanly_when_it_is_old(
        self, guarded: Server
    ) -> None:
        guarded.job("allowed")
        commented = guarded.stream("/allowed/stream")  # one stream for one client
        named = guarded.stream("/allowed/stream?heartbeat=event", {"X-User": "7"})
        begun = time.monotonic()
        events = list(named)
        assert [event.name for event in events[:3]] == ["status", "heartbeat", "heartbeat"]
        assert {event.name for event in events[1:]} == {"heartbeat"}
        assert [(event.id, event.data) for event in events[1:3]] == 2 * [("", {})]
        assert [event.name for event in commented] == ["status"]
        assert time.monotonic() - begun < 5
        assert commented.comments[:2] == ["heartbeat", "heartbeat"]
        for stream in (commented, named):
            assert len(stream.retries) == 2
            assert 1000 <= stream.retries[1] <= 5000
        status = guarded.remote("state", job_id="allowed")["status"]
        assert status == "running", "the end of a stream is not that of its job"
