"""The estimate of the seconds left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sseprog._eta import EtaEstimator


def observe(*points: tuple[float, float]) -> list[float | None]:
    eta = EtaEstimator()
    return [eta.observe(now, fraction) for now, fraction in points]


def test_nothing_is_said_before_there_is_enough_to_tell() -> None:
    assert observe((0, 0), (1, 0.1), (2.9, 0.3)) == [None, None, None]
    assert observe((0, 0), (5, 0.01), (29, 0.019)) == [None, None, None]
    assert observe((0, 0), (30, 0.01)) == [None, 3000]


def test_a_steady_job_is_told_truly() -> None:
    told = observe(*((second, second / 200) for second in range(200)))

    for second, eta in enumerate(told[10:], 10):
        assert eta is not None
        assert eta == pytest.approx(200 - second, abs=8)


def test_a_change_of_speed_is_noticed_within_a_minute() -> None:
    points = [(float(s), s / 200) for s in range(100)]
    points += [(100.0 + s, 0.5 + s / 2000) for s in range(61)]
    last = observe(*points)[-1]

    assert last is not None
    assert last == pytest.approx(940, rel=0.25)


def test_a_stall_freezes_the_estimate() -> None:
    told = observe((0, 0), (5, 0.1), (10, 0.2), (70, 0.2), (100, 0.1))

    assert told[2] == told[3] == told[4] == 40


def test_the_end_is_zero_and_before_it_something_is_left() -> None:
    assert observe((0, 0), (5, 0.5), (9.99, 0.999), (10, 1)) == [None, 5, 1, 0]


@pytest.mark.parametrize(
    ("left", "shown"), [(7.4, 7), (33, 35), (100, 105), (1000, 1020), (5000, 5100), (90000, 90000)]
)
def test_it_is_rounded_to_what_it_is_worth(left: float, shown: float) -> None:
    fraction = 40 / (40 + left)

    assert observe((0, 0), (40, fraction))[-1] == shown


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1))))
def test_whatever_it_sees_it_says_none_or_a_number_from_0_on(
    points: list[tuple[float, float]],
) -> None:
    assert all(eta is None or 0 <= eta < float("inf") for eta in observe(*points))
