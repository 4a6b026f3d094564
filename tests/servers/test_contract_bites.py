"""The contract notices adapters that don't keep it, and has nothing against one that does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# What an adapter may get wrong, and the test that is there for it.
CAUGHT = {
    "buffers": "test_an_event_arrives_at_once_after_it_was_reported",
    "skips the first frame": "test_a_stream_begins_at_once_and_with_the_headers_of_the_protocol",
    "drops heartbeats": "test_a_quiet_stream_has_heartbeats_and_ends_cleanly_when_it_is_old",
    "changes the retry": "test_a_stream_begins_at_once_and_with_the_headers_of_the_protocol",
    "cuts off the end": "test_draining_ends_streams_cleanly_and_refuses_new_ones",
    "has another content type": (
        "test_a_stream_begins_at_once_and_with_the_headers_of_the_protocol"
    ),
    "leaves out Allow": "test_a_wrong_method_is_told_the_right_ones[PUT]",
    "leaves out ETag": "test_a_snapshot_is_the_newest_state_and_is_not_sent_twice",
    "ignores Last-Event-ID": "test_a_cursor_gets_every_event_after_it[header]",
    "ignores Sec-Fetch-Site": "test_a_page_of_another_site_cancels_nothing",
    "takes all for the owner": "test_for_anybody_else_it_is_as_if_it_were_not_there[8]",
    "ignores the user": "test_a_job_is_for_its_owner",
    "believes anybody": "test_one_client_may_have_so_many_streams_and_another_as_many",
    "never sees a client leave": (
        "test_a_client_that_leaves_is_noticed_though_nothing_is_published[FIN]"
    ),
    "cancels for who leaves": (
        "test_a_client_that_leaves_is_noticed_though_nothing_is_published[FIN]"
    ),
    "cancels nothing": "test_cancelling_asks_the_emitter_to_stop",
    "leaks a thread": "test_clients_that_come_and_go_leave_nothing_behind",
    "logs the query": "test_a_ticket_lets_its_bearer_watch_one_job_for_a_while",
    "takes one of many": (
        "test_one_job_that_is_unknown_or_another_users_refuses_all[job=a&job=unknown"
    ),
    "fails on a bad id": "test_a_malformed_request_is_told_why_in_one_line[/j%C3%B6b/stream-",
    "lets errors through": "test_an_authorize_that_breaks_is_a_refusal_and_logged[raises]",
    "never drains": "test_a_server_that_is_told_to_stop_ends_its_streams_and_itself",
}

SUITE = """
import sys
from sseprog.testing import AdapterContract

class Toy(AdapterContract):
    command = (sys.executable, "-m", "uvicorn", "broken_app:app", "--port", "{{port}}",
               "--no-proxy-headers")
    cwd = {here!r}
    patience = {patience}

for title, name in {titles!r}.items():
    globals()[title] = type(
        title, (Toy,), {{"__module__": __name__, "environment": {{"BREAKS": name}}}}
    )
"""


def title_of(name: str) -> str:
    return "Test" + re.sub(r"\W", "", name.title())


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run what is to fail, and the same tests where nothing is broken; return their outcomes."""
    folder = tmp_path_factory.mktemp("bites")
    suite = folder / "test_suite.py"
    titles = {title_of(name): name for name in ("nothing", *CAUGHT)}
    suite.write_text(SUITE.format(here=str(HERE), patience=1.0, titles=titles))
    for title in titles:
        assert title.isidentifier()
    chosen = [f"({title_of(name)} and {_words(test)})" for name, test in CAUGHT.items()]
    chosen += [f"(TestNothing and {_words(test)})" for test in CAUGHT.values()]
    command = [sys.executable, "-m", "pytest", "test_suite.py", "-q", "--tb=short", "-rA"]
    command += ["-p", "no:cacheprovider", "-k", " or ".join(chosen)]
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=150
    )
    lines = re.findall(r"^(PASSED|FAILED|ERROR) test_suite.py::(\S+)", ran.stdout, re.MULTILINE)
    assert lines, ran.stdout + ran.stderr
    found: dict[str, str] = {}
    for outcome, test in lines:
        if found.get(test) != "FAILED":  # an error may come on top of a failure
            found[test] = outcome
    return found


def _words(test: str) -> str:
    return test.partition("[")[0]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", CAUGHT)
def test_a_broken_adapter_fails_the_test_that_is_there_for_it(
    name: str, outcomes: dict[str, str]
) -> None:
    wanted = f"{title_of(name)}::{CAUGHT[name]}"
    ran = {test: outcome for test, outcome in outcomes.items() if test.startswith(wanted)}
    assert set(ran.values()) == {"FAILED"}, ran


def test_an_adapter_that_is_not_broken_passes_them_all(outcomes: dict[str, str]) -> None:
    ran = {test: outcome for test, outcome in outcomes.items() if "TestNothing::" in test}
    assert len(ran) >= len(set(CAUGHT.values()))
    assert set(ran.values()) == {"PASSED"}, ran
