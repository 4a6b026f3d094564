"""How many streams there may be, and what becomes of the others."""

# ruff: noqa: S101 - these are tests, which pytest runs

import re
import time

from ._client import Answer
from ._server import Server
from ._serving import Serving

__all__ = ["OfLimits"]

EVENT_SOURCE = {"Accept": "text/event-stream"}
USER_7 = {"X-User": "7"}
USER_8 = {"X-User": "8"}


class OfLimits(Serving):
    """``max_streams``, ``max_streams_per_client``, and room for everything else."""

    def test_when_all_places_are_taken_browsers_come_back_later(self, small: Server) -> None:
        small.job("j")
        users: tuple[dict[str, str], ...] = ({}, USER_7, USER_8)
        streams = [small.stream("/j/stream", headers) for headers in users]
        for stream in streams:
            assert next(stream).name == "status"
        assert_is_busy(small.get("/j/stream", EVENT_SOURCE))
        assert_is_busy(small.get("/j/stream", {"Accept": "*/*, TEXT/event-stream;q=0.5"}))
        other = small.get("/j/stream", {"Accept": "*/*"})
        assert (other.status, other.headers["content-type"]) == (503, "application/json")
        assert 1 <= int(other.headers["retry-after"]) <= 5
        assert small.get("/j").status == 200, "snapshots take no place"
        assert small.get("/k/stream", EVENT_SOURCE).status == 404
        small.remote("end_all")  # which ends the streams: on any server, at once
        for stream in streams:
            list(stream)
        small.wait_for_streams(0)
        small.job("k")
        assert next(small.stream("/k/stream")).name == "status"

    def test_one_client_may_have_so_many_streams_and_another_as_many(self, small: Server) -> None:
        small.job("j")
        for number in range(2):
            # What anybody can write into a header makes nobody another client.
            claimed = {"X-Forwarded-For": f"203.0.113.{number}"}
            assert next(small.stream("/j/stream", claimed)).name == "status"
        assert_is_busy(small.get("/j/stream", {**EVENT_SOURCE, "X-Forwarded-For": "203.0.113.9"}))
        assert next(small.stream("/j/stream", USER_7)).name == "status"

    def test_a_user_is_one_client_wherever_he_is(self, guarded: Server) -> None:
        guarded.job("allowed")
        assert next(guarded.stream("/allowed/stream", _from("203.0.113.1", "7"))).name == "status"
        again = {**EVENT_SOURCE, **_from("203.0.113.2", "7")}
        assert_is_busy(guarded.get("/allowed/stream", again))
        assert next(guarded.stream("/allowed/stream", _from("203.0.113.1", "8"))).name == "status"

    def test_a_trusted_proxy_is_believed_who_the_client_is(self, guarded: Server) -> None:
        guarded.job("allowed")
        for address in ("203.0.113.1", "203.0.113.2", "2001:db8::1"):
            stream = guarded.stream("/allowed/stream", {"X-Forwarded-For": address})
            assert next(stream).name == "status"
        for chain in ("203.0.113.1", "198.51.100.7, 203.0.113.2", "203.0.113.2, 127.0.0.1"):
            again = {**EVENT_SOURCE, "X-Forwarded-For": chain}
            assert_is_busy(guarded.get("/allowed/stream", again))

    def test_everything_else_is_answered_while_streams_take_all_places(self, plain: Server) -> None:
        plain.job("j")
        streams = plain.fill("/j/stream", 40)
        assert len(streams) > 1
        for _ in range(3):
            begun = time.monotonic()
            assert plain.ping().body == b"pong"
            assert plain.get("/j").status == 200
            assert time.monotonic() - begun < 1
        plain.update("j", 50)
        assert [next(stream).data["progress"] for stream in streams] == len(streams) * [50]

    def test_draining_ends_streams_cleanly_and_refuses_new_ones(self, small: Server) -> None:
        small.job("j")
        streams = [small.stream("/j/stream", headers) for headers in ({}, USER_7, USER_8)]
        for stream in streams:
            next(stream)
        small.spent = True  # a hub that drains does so to the end
        small.remote("drain")
        for stream in streams:
            assert list(stream) == []
            assert len(stream.retries) == 2
            assert 1000 <= stream.retries[1] <= 5000
        small.wait_for_streams(0)
        assert_is_busy(small.get("/j/stream", EVENT_SOURCE))
        assert small.get("/j/stream", {"Accept": "*/*"}).status == 503
        assert small.get("/j").json["status"] == "running", "jobs go on"


def assert_is_busy(answer: Answer) -> None:
    """Check that an ``EventSource`` would come back, and not at once."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    body = re.fullmatch(r"retry: (\d+)\n: busy\n\n", answer.body.decode())
    assert body is not None, answer.body
    assert 1000 <= int(body[1]) <= 5000


def _from(address: str, user: str) -> dict[str, str]:
    return {"X-Forwarded-For": address, "X-User": user}
