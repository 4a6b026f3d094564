"""What requests are answered: every route, every code."""

# ruff: noqa: S101 - these are tests, which pytest runs

import pytest

from .. import __version__
from ._client import Answer
from ._server import Server
from ._serving import Serving

__all__ = ["OfRequests"]


class OfRequests(Serving):
    """Protocol, section 1."""

    def test_the_head_of_a_stream_is_its_headers_and_holds_no_place(self, plain: Server) -> None:
        plain.job("j")
        head = plain.request("HEAD", "/j/stream")
        assert (head.status, head.body) == (200, b"")
        stream = plain.stream("/j/stream")
        next(stream)
        for name in ("content-type", "cache-control", "x-accel-buffering"):
            assert head.headers[name] == stream.response.headers[name]
        assert plain.remote("streams") == 1

    def test_a_snapshot_is_the_newest_state_and_is_not_sent_twice(self, plain: Server) -> None:
        plain.job("j")
        plain.update("j", 12.5, message="rows")
        answer = plain.get("/j")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["content-length"] == str(len(answer.body))
        state = plain.remote("state", job_id="j")
        assert answer.json.items() <= state.items()
        assert (answer.json["progress"], answer.json["message"]) == (12.5, "rows")
        tag = answer.headers["etag"]
        head = plain.request("HEAD", "/j")
        assert (head.status, head.body, head.headers["etag"]) == (200, b"", tag)
        for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            same = plain.get("/j", {"If-None-Match": condition})
            assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
        plain.update("j", 13)
        changed = plain.get("/j", {"If-None-Match": tag})
        assert (changed.status, changed.json["progress"]) == (200, 13)
        assert changed.headers["etag"] != tag

    def test_cancelling_asks_the_emitter_to_stop(self, plain: Server) -> None:
        stream = plain.stream(f"/{plain.job('j')}/stream")
        next(stream)
        headers = self.cancel_headers(plain)
        answer = plain.request("POST", "/j/cancel", headers)
        assert (answer.status, answer.json) == (202, {"cancelling": True})
        assert plain.remote("stop", job_id="j"), "the emitter was not asked to"
        [last] = list(stream)
        assert (last.name, last.data["status"]) == ("error", "cancelled")
        assert last.data["details"]["code"] == "cancelled"
        again = plain.request("POST", "/j/cancel", headers)
        assert_is_error(again, 409)

    def test_a_page_of_another_site_cancels_nothing(self, plain: Server) -> None:
        plain.job("j")
        for forged in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            headers = {**self.cancel_headers(plain), **forged}
            assert plain.request("POST", "/j/cancel", headers).status == 403
        assert not plain.remote("stop", job_id="j")
        assert plain.get("/j").json["status"] == "running"

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "other"])
    def test_a_wrong_method_is_told_the_right_ones(self, plain: Server, method: str) -> None:
        plain.job("j")
        headers = self.cancel_headers(plain)
        for path, allowed in (
            ("/j/stream", "GET, HEAD"),
            ("/j", "GET, HEAD"),
            ("/j/cancel", "POST"),
            ("/static/sseprog.js", "GET, HEAD"),
        ):
            other = "GET" if allowed == "POST" else "POST"
            answer = plain.request(other if method == "other" else method, path, headers)
            if method == "PROPFIND" and answer.status in {400, 501}:
                continue  # the server knows its methods, and this isn't one
            assert_is_error(answer, 405)
            assert answer.headers.get_all("allow") == [allowed]
        head = plain.request("HEAD", "/j/cancel")
        assert (head.status, head.headers["allow"]) == (405, "POST")
        assert plain.get("/j").json["status"] == "running"

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            ("/j/stream?last_event_id=garbage", {}),
            ("/j/stream", {"Last-Event-ID": "garbage"}),
            ("/j/stream", {"Last-Event-ID": 5_000 * "x"}),
            (f"/j/stream?last_event_id={2_000 * 'x'}", {}),
            ("/j/stream?last_event_id=%ff", {}),
            ("/j/stream?from=end", {}),
            ("/j/stream?heartbeat=loud", {}),
            (f"/j/stream?{40 * 'a=1&'}", {}),
            ("/stream", {}),
            ("/job%201", {}),
            ("/job%201/stream", {}),
            ("/j%C3%B6b/stream", {}),
            ("/j%ff/stream", {}),
            (f"/{129 * 'x'}/stream", {}),
        ],
    )
    def test_a_malformed_request_is_told_why_in_one_line(
        self, plain: Server, path: str, headers: dict[str, str]
    ) -> None:
        plain.job("j")
        assert_is_error(plain.get(path, headers), 400)
        assert plain.remote("streams") == 0

    @pytest.mark.parametrize(
        "path",
        [
            "/other",
            "/other/stream",
            "/j/stream/more",
            "/j/other",
            "/static/other.js",
            "/static/sseprog.js/more",
            "/a%2Fb/stream",
            "/static/..%2F__init__.py",
            "/static/%2e%2e/%2e%2e/__init__.py",
            "/",
        ],
    )
    def test_what_is_not_there_is_not_found(self, plain: Server, path: str) -> None:
        plain.job("j")
        answer = plain.get(path)
        assert answer.status == 404
        assert b"Traceback" not in answer.body

    @pytest.mark.parametrize(
        "path",
        [
            "/j%00/stream",
            "/j%0a/stream",
            "/j\xc3\xb6/stream",
            "/j;x",
            "/..",
            "/../stream",
            "/%2e%2e/stream",
        ],
    )
    def test_an_odd_path_breaks_nothing(self, plain: Server, path: str) -> None:
        plain.job("j", begin=False)
        assert 300 <= plain.get(path, {"Last-Event-ID": "x"}).status < 500

    def test_a_cursor_in_no_known_encoding_breaks_nothing(self, plain: Server) -> None:
        plain.job("j")
        answer = plain.request("HEAD", "/j/stream", {"Last-Event-ID": "\xff\xfe"})
        assert answer.status in {200, 400}, "a server may drop such a header"

    def test_a_slash_too_many_is_another_path(self, plain: Server) -> None:
        plain.job("j", begin=False)
        for path in ("/j/", "/j/stream/", "/j/cancel/", "//j/cancel", "/j//cancel"):
            method = "POST" if "cancel" in path else "GET"
            answer = plain.request(method, path, self.cancel_headers(plain))
            assert answer.status in {308, 404}, path  # some frameworks take a double one away
        assert plain.remote("state", job_id="j")["status"] == "pending", "lest it go by a guard"

    def test_the_client_is_served_and_kept_by_its_version_only(self, plain: Server) -> None:
        first = plain.get("/static/sseprog.js")
        assert first.status == 200
        assert first.headers["content-type"] == "text/javascript; charset=utf-8"
        assert first.headers["cache-control"] == "no-cache"
        assert b"JobProgress" in first.body
        tag = first.headers["etag"]
        again = plain.get("/static/sseprog.js", {"If-None-Match": tag})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        versioned = plain.get(f"/static/sseprog.js?v={__version__}")
        assert versioned.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert versioned.body == first.body
        assert plain.get("/static/sseprog.js?v=0").headers["cache-control"] == "no-cache"
        head = plain.request("HEAD", "/static/sseprog.js")
        assert (head.status, head.body, head.headers["etag"]) == (200, b"", tag)


def assert_is_error(answer: Answer, status: int) -> None:
    """Check that an answer is the adapter's own: a reason, in a line of JSON."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.body.count(b"\n") == 1
    assert len(answer.body) < 300
    assert answer.json["error"]
