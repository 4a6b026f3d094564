"""Who may watch, and cancel."""

# ruff: noqa: S101 - these are tests, which pytest runs

import re
from collections.abc import Mapping

import pytest

from ._client import Answer
from ._server import Server, wait_until
from ._serving import Serving

__all__ = ["OfAccess"]

_REQUEST_LINE = re.compile(r"(GET|HEAD|POST) /")
USER_7 = {"X-User": "7"}
USER_8 = {"X-User": "8"}


class OfAccess(Serving):
    """Owners, ``authorize`` and tickets."""

    def ask_all(
        self, server: Server, job_id: str, headers: Mapping[str, str] | None = None
    ) -> list[Answer]:
        """Ask every route for a job, but GET for its stream, which need not end."""
        asked = {**self.cancel_headers(server), **(headers or {})}
        return [
            server.request("HEAD", f"/{job_id}/stream", asked),
            server.request("GET", f"/{job_id}", asked),
            server.request("POST", f"/{job_id}/cancel", asked),
        ]

    def test_a_job_is_for_its_owner(self, plain: Server) -> None:
        plain.job("j", owner="7")
        assert next(plain.stream("/j/stream", USER_7)).name == "status"
        answers = self.ask_all(plain, "j", USER_7)
        assert [answer.status for answer in answers] == [200, 200, 202]

    @pytest.mark.parametrize("headers", [USER_8, {}, {"X-User": ""}], ids=["8", "none", "empty"])
    def test_for_anybody_else_it_is_as_if_it_were_not_there(
        self, plain: Server, headers: Mapping[str, str]
    ) -> None:
        plain.job("j", owner="7")
        assert plain.get("/j/stream", headers).status == 404
        refused = self.ask_all(plain, "j", headers)
        unknown = self.ask_all(plain, "k", headers)
        assert [answer.status for answer in refused] == [404, 404, 404]
        assert list(map(_all_of, refused)) == list(map(_all_of, unknown))
        assert not plain.remote("stop", job_id="j")

    def test_a_job_without_an_owner_is_for_who_knows_its_id(self, plain: Server) -> None:
        for job_id, headers in (("j", {}), ("k", USER_8)):
            plain.job(job_id)
            answers = self.ask_all(plain, job_id, headers)
            assert [answer.status for answer in answers] == [200, 200, 202]

    def test_authorize_decides_alone(self, guarded: Server) -> None:
        guarded.job("allowed", owner="7")
        answers = self.ask_all(guarded, "allowed")
        assert [answer.status for answer in answers] == [200, 200, 202]
        guarded.job("refused", owner="7")
        refused = self.ask_all(guarded, "refused", USER_7)
        unknown = self.ask_all(guarded, "unknown", USER_7)
        assert [answer.status for answer in refused] == [404, 404, 404]
        assert list(map(_all_of, refused)) == list(map(_all_of, unknown))

    @pytest.mark.parametrize("job_id", ["raises", "truthy"])
    def test_an_authorize_that_breaks_is_a_refusal_and_logged(
        self, guarded: Server, job_id: str
    ) -> None:
        guarded.job(job_id, owner="7")
        answers = self.ask_all(guarded, job_id, USER_7)
        assert [answer.status for answer in answers] == [404, 404, 404]
        for answer in answers:
            assert b"10.0.0.7" not in answer.body
            assert b"Traceback" not in answer.body
        said = f"job {job_id}: a request was refused because authorize failed"
        wait_until(lambda: guarded.log.count(said) == 3, guarded.patience, "the log says why")
        log = guarded.unread_log()
        assert log.count("Traceback") == 3
        assert ("10.0.0.7 is down" if job_id == "raises" else "not 'a page") in log

    def test_a_ticket_lets_its_bearer_watch_one_job_for_a_while(self, plain: Server) -> None:
        for job_id in ("j", "k"):
            plain.job(job_id, owner="7")
        ticket = plain.remote("ticket", job_id="j", ttl=60)
        short = plain.remote("ticket", job_id="j", ttl=0.01)
        assert next(plain.stream(f"/j/stream?ticket={ticket}")).name == "status"
        assert plain.get(f"/j?ticket={ticket}").status == 200
        changed = ticket[:-3] + ("AAA" if not ticket.endswith("AAA") else "BBB")
        for wrong in (f"/k?ticket={ticket}", f"/j?ticket={changed}", "/j?ticket=", "/j"):
            assert plain.get(wrong).status == 404
        headers = self.cancel_headers(plain)
        answer = plain.request("POST", f"/j/cancel?ticket={ticket}", headers)
        assert answer.status == 404, "who may watch may not cancel"
        expired = f"/j?ticket={short}"
        wait_until(lambda: plain.get(expired).status == 404, 3, "a ticket is no good any more")
        # What a server writes of each request is its own business, and to be set there.
        ours = [line for line in plain.log.splitlines() if not _REQUEST_LINE.search(line)]
        assert ticket not in "\n".join(ours)


def _all_of(answer: Answer) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all that could tell one answer from another."""
    volatile = {"date", "set-cookie"}
    headers = [(k.lower(), v) for k, v in answer.headers.items() if k.lower() not in volatile]
    return answer.status, answer.body, headers
