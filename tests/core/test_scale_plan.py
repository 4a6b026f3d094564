"""The simulation of docs/scale.md, which is no part of the wheel: is it true to its own rules?"""

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

PLAN = Path(__file__).parents[2] / "benchmarks" / "scale" / "plan.py"


def chance() -> random.Random:
    return random.Random(7)  # noqa: S311 - a simulation, the same each time


@pytest.fixture(scope="module")
def plan() -> Any:
    spec = importlib.util.spec_from_file_location("scale_plan", PLAN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale_plan"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small(plan: Any) -> Any:
    """A thousandth of the plan."""
    given = plan.Assumptions(viewers=10_000, jobs=1_000, web_processes=20, masters=4)
    return plan.place(given, chance())


# As `CLUSTER KEYSLOT` answers.
@pytest.mark.parametrize(("key", "slot"), [("foo", 12182), ("bar", 5061), ("123456789", 12739)])
def test_a_job_is_in_the_slot_that_redis_says(plan: Any, key: str, slot: int) -> None:
    assert plan.slot(key) == slot


def test_every_viewer_has_a_stream(small: Any) -> None:
    assert sum(process.streams for process in small.processes) == pytest.approx(10_000, rel=0.01)
    assert sum(master.jobs for master in small.masters) == 1_000


def test_what_masters_send_is_what_processes_get(small: Any) -> None:
    sent = sum(master.messages for master in small.masters)
    assert sum(process.news for process in small.processes) == pytest.approx(sent)
    subscriptions = sum(master.subscriptions for master in small.masters)
    assert sum(process.watched for process in small.processes) == subscriptions


def test_a_process_hears_of_a_job_once_however_many_of_its_streams_watch_it(small: Any) -> None:
    for process in small.processes:
        assert 0 < process.watched <= process.streams
        assert process.news <= process.deliveries


def test_one_job_that_all_watch_is_sent_to_each_process_once(plan: Any) -> None:
    given = plan.Assumptions(viewers=5_000, jobs=1, web_processes=20, masters=1)
    (master,) = plan.place(given, chance()).masters
    assert master.subscriptions == 20
    assert master.messages == pytest.approx(20 * master.appends)


def test_a_drain_spreads_a_restart(plan: Any, small: Any) -> None:
    figures = {
        "web_us_open_new_job": 400.0,
        "web_us_open_new_job_at_many": 1_000.0,
        "few": 300,
        "many": 6_000,
    }

    def restart(drain: float) -> Any:
        return plan.restart(
            figures, small.processes, 0.3, chance(),
            at_once=5, every=20.0, drain=drain, fewest=True,
        )  # fmt: skip

    assert restart(10.0).peak < restart(0.0).peak
    assert restart(0.0).uneven >= 1
