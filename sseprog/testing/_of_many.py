"""Many jobs on one stream."""

# ruff: noqa: S101 - these are tests, which pytest runs

import pytest

from ._of_streams import HEADERS
from ._server import Server
from ._serving import Serving

__all__ = ["OfMany"]


class OfMany(Serving):
    """Protocol, section 7."""

    def test_each_jobs_status_comes_first_then_their_events_and_the_end(
        self, plain: Server
    ) -> None:
        for job_id in ("a", "b", "c"):
            plain.job(job_id)
        stream = plain.stream("/stream?job=a&job=b&job=c")
        seen = [next(stream) for _ in range(3)]
        headers = stream.response.headers
        assert {name: headers.get_all(name) for name in HEADERS} == HEADERS
        assert [(event.name, event.data["job_id"]) for event in seen] == [
            ("status", "a"),
            ("status", "b"),
            ("status", "c"),
        ]
        for percent in range(1, 20):
            plain.update("ab"[percent % 2], percent)
        for job_id in ("a", "b", "c"):
            plain.remote("complete", job_id=job_id)
        seen += list(stream)
        for job_id, percents in (("a", range(2, 20, 2)), ("b", range(1, 20, 2)), ("c", ())):
            events = [event for event in seen if event.data["job_id"] == job_id]
            assert [event.name for event in events][1:-1] == len(percents) * ["progress"]
            assert [event.data["progress"] for event in events][1:] == [*percents, 100]
            assert events[-1].name == "complete"
        assert {event.id for event in seen} == {""}
        assert len(stream.retries) == 1
        assert plain.remote("streams") == 0

    def test_after_a_cut_each_jobs_newest_status_comes_again(self, plain: Server) -> None:
        plain.job("a")
        plain.job("b")
        plain.update("a", 10)
        plain.remote("complete", job_id="b")
        for percent in (10, 20):
            stream = plain.stream("/stream?job=b&job=a", {"Last-Event-ID": "e-1"})
            seen = [next(stream) for _ in range(3)]
            assert [(event.name, event.data["job_id"]) for event in seen] == [
                ("status", "b"),
                ("complete", "b"),
                ("status", "a"),
            ]
            assert seen[-1].data["progress"] == percent
            stream.close()
            plain.update("a", 20)

    @pytest.mark.parametrize("query", ["job=a&job=unknown", "job=secret&job=a", "job=unknown"])
    def test_one_job_that_is_unknown_or_another_users_refuses_all(
        self, plain: Server, query: str
    ) -> None:
        plain.job("a")
        plain.job("secret", owner="7")
        assert plain.get(f"/stream?{query}").json == {"error": "there is no such job"}
        assert plain.get(f"/stream?{query}").status == 404
        if "secret" in query:
            stream = plain.stream(f"/stream?{query}", {"X-User": "7"})
            assert next(stream).data["job_id"] == "secret"

    @pytest.mark.parametrize(
        "query", ["", "job=", "job=a%20b", "&".join(f"job=j{n}" for n in range(65))]
    )
    def test_a_query_that_can_not_be_is_refused(self, plain: Server, query: str) -> None:
        answer = plain.get(f"/stream?{query}")
        assert answer.status == 400
        assert "job" in answer.json["error"]
