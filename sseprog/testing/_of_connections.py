"""Clients that leave, and a server that is told to stop."""

# ruff: noqa: S101 - these are tests, which pytest runs

import http.client
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

import pytest

from ._client import Stream, connect
from ._server import Server, wait_until
from ._serving import Serving

__all__ = ["OfConnections"]

SPARE: Final = 12
"""What a server may keep more of after all visits: a pool of threads grows when it likes."""

WAYS_TO_LEAVE: Final[Mapping[str, Callable[[Stream], None]]] = {
    "FIN": Stream.close,
    "RST": Stream.reset,
    "half close": Stream.half_close,
}


class OfConnections(Serving):
    """What is left of a client that has left, and of a server that has."""

    @pytest.mark.parametrize("way", WAYS_TO_LEAVE)
    def test_a_client_that_leaves_is_noticed_though_nothing_is_published(
        self, plain: Server, way: str
    ) -> None:
        if way == "half close" and not self.notices_half_close:
            pytest.skip("the server tells nothing of it, and such a client may still be reading")
        plain.job("j")
        stays, leaves = (plain.stream("/j/stream") for _ in range(2))
        next(stays)
        next(leaves)
        assert plain.remote("streams") == 2
        WAYS_TO_LEAVE[way](leaves)
        plain.wait_for_streams(1, self.notices_within)
        plain.update("j", 50)  # who leaves stops no job
        assert next(stays).data["progress"] == 50

    def test_clients_that_come_and_go_leave_nothing_behind(self, plain: Server) -> None:
        plain.job("j")

        def visit(clients: int) -> None:
            streams = [plain.stream("/j/stream") for _ in range(clients)]
            for number, stream in enumerate(streams):
                if number % 4:  # the others leave before the answer
                    assert next(stream).name == "status"
                stream.reset() if number % 2 else stream.close()

            def gone() -> bool:
                plain.update("j", 50)  # a write tells every server
                # One that a framework has dropped unopened may have to be collected first.
                return int(plain.remote("streams")) <= clients // 4

            wait_until(gone, self.patience, "the streams are given up")

        visit(self.visitors_at_once)
        before = plain.remote("counts")
        for _ in range(0, self.visits, self.visitors_at_once):
            visit(self.visitors_at_once)

        def left_over() -> dict[str, int]:
            counts = plain.remote("counts").items()
            more = {what: n - before[what] for what, n in counts if n > before[what] + SPARE}
            open_still = plain.remote("streams")
            return {**more, "open": open_still} if open_still else more

        try:
            wait_until(lambda: not left_over(), self.patience, "all is given back")
        except AssertionError:
            assert left_over() == {}

    def test_who_says_nothing_or_half_of_it_hurts_nobody(self, plain: Server) -> None:
        plain.job("j")
        half = f"GET {self.prefix}/j/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAcc".encode()
        silent = [connect(plain.port, self.patience, sent) for sent in (b"", half)]
        try:
            stream = plain.stream("/j/stream")
            next(stream)
            plain.update("j", 50)
            assert next(stream).data["progress"] == 50
            assert plain.ping().body == b"pong"
        finally:
            for connection in silent:
                connection.close()
        assert plain.ping().body == b"pong"

    def test_a_server_that_is_told_to_stop_ends_its_streams_and_itself(self, plain: Server) -> None:
        if self.ends_within is None:
            pytest.skip("the server waits for its streams, and tells nobody")
        plain.job("j")
        streams = plain.fill("/j/stream", 20)
        assert len(streams) > 1
        plain.stop()
        for stream in streams:
            try:
                assert list(stream) == []
            except (OSError, http.client.HTTPException):
                assert not self.ends_cleanly, "it was cut"
            if self.ends_cleanly:
                assert len(stream.retries) == 2
                assert 1000 <= stream.retries[1] <= 5000
        try:
            plain.process.wait(self.ends_within)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it is still there {self.ends_within} s after its streams")
