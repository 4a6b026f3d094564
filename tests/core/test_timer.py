"""The timer calls back in order and on time, in one thread, whatever a call does."""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sseprog._timer import Timer

PATIENCE = 5.0
"""Seconds after which a call that didn't come never will."""

HOUR = 3600.0


@pytest.fixture
def timer() -> Iterator[Timer]:
    timer = Timer()
    yield timer
    timer.close()


class Calls:
    """What was called, in order, and from which thread; each can be waited for."""

    def __init__(self) -> None:
        self._came: queue.Queue[tuple[str, float, threading.Thread]] = queue.Queue()

    def named(self, name: str) -> Callable[[], None]:
        return lambda: self._came.put((name, time.monotonic(), threading.current_thread()))

    def next(self) -> tuple[str, float, threading.Thread]:
        return self._came.get(timeout=PATIENCE)

    def names(self, count: int) -> list[str]:
        return [self.next()[0] for _ in range(count)]

    @property
    def none_left(self) -> bool:
        return self._came.empty()


@pytest.fixture
def calls() -> Calls:
    return Calls()


class Busy:
    """A call that keeps the timer's thread until it is released."""

    def __init__(self, timer: Timer) -> None:
        self._begun = threading.Event()
        self._may_end = threading.Event()
        timer.at(0, self)
        assert self._begun.wait(PATIENCE)

    def __call__(self) -> None:
        self._begun.set()
        assert self._may_end.wait(PATIENCE)

    def release(self) -> None:
        self._may_end.set()


def test_calls_come_in_the_order_of_their_times(timer: Timer, calls: Calls) -> None:
    busy = Busy(timer)
    for when in (3, 1, 4, 2, 5):
        timer.at(when, calls.named(str(when)))
    busy.release()
    assert calls.names(5) == ["1", "2", "3", "4", "5"]


def test_calls_of_the_same_time_come_in_the_order_in_which_they_were_asked_for(
    timer: Timer, calls: Calls
) -> None:
    busy = Busy(timer)
    expected = [str(n) for n in range(20)]
    for name in expected:
        timer.at(1.0, calls.named(name))
    busy.release()
    assert calls.names(20) == expected


def test_a_call_comes_at_its_time_and_not_before(timer: Timer, calls: Calls) -> None:
    due = time.monotonic() + 0.05
    timer.at(due, calls.named("it"))
    _, came, _ = calls.next()
    assert due <= came < due + PATIENCE


@pytest.mark.parametrize("later", [HOUR, math.inf], ids=["an hour", "for ever"])
def test_an_early_call_overtakes_one_that_is_waited_for(
    timer: Timer, calls: Calls, later: float
) -> None:
    for n in range(20):  # the thread is caught before, while and after it begins to wait
        timer.at(time.monotonic() + later, calls.named("late"))
        timer.at(time.monotonic() + later - n, calls.named("late"))
        timer.at(time.monotonic(), calls.named("early"))
        assert calls.names(1) == ["early"]
    assert calls.none_left


def test_one_function_may_be_due_many_times(timer: Timer, calls: Calls) -> None:
    call = calls.named("it")
    timer.at(time.monotonic() + HOUR, call)
    for _ in range(3):
        timer.at(0, call)
    assert calls.names(3) == ["it"] * 3
    assert calls.none_left


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(1)], ids=["error", "sys.exit"])
def test_a_call_that_raises_is_logged_and_stops_no_other(
    timer: Timer, calls: Calls, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    busy = Busy(timer)
    timer.at(1, calls.named("before"))
    timer.at(2, fail)
    timer.at(3, calls.named("after"))
    busy.release()
    assert calls.names(2) == ["before", "after"]
    [record] = caplog.records
    assert (record.name, record.levelno) == ("sseprog", logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_call_may_ask_for_another(timer: Timer, calls: Calls) -> None:
    def again() -> None:
        calls.named("first")()
        timer.at(0, calls.named("second"))

    timer.at(0, again)
    assert calls.names(2) == ["first", "second"]


def test_a_call_that_takes_its_time_holds_up_nobody_who_asks(timer: Timer, calls: Calls) -> None:
    busy = Busy(timer)
    asking = threading.Thread(target=timer.at, args=(0, calls.named("it")))
    asking.start()
    asking.join(PATIENCE)
    assert not asking.is_alive()
    busy.release()
    assert calls.names(1) == ["it"]


def test_all_calls_come_from_one_thread_that_is_started_by_the_first(
    calls: Calls,
) -> None:
    before = set(threading.enumerate())
    timer = Timer()
    assert set(threading.enumerate()) == before
    for _ in range(3):
        timer.at(0, calls.named("it"))
    threads = {calls.next()[2] for _ in range(3)}
    timer.close()
    [thread] = threads
    assert thread not in before
    assert thread.daemon, "it must not keep the interpreter from ending"


def test_many_threads_may_ask_and_each_call_comes_once(timer: Timer, calls: Calls) -> None:
    now = time.monotonic()

    def ask(first: int) -> None:
        for n in range(first, first + 50):
            timer.at(now + (n * 7 % 50) / 10_000, calls.named(str(n)))

    threads = [threading.Thread(target=ask, args=(50 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(calls.names(200), key=int) == [str(n) for n in range(200)]
    assert calls.none_left


def test_closing_forgets_what_is_due_and_ends_the_thread(timer: Timer, calls: Calls) -> None:
    timer.at(0, calls.named("first"))
    _, _, thread = calls.next()
    timer.at(time.monotonic() + HOUR, calls.named("never"))
    timer.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert calls.none_left


def test_what_is_due_while_a_call_runs_is_forgotten_too(timer: Timer, calls: Calls) -> None:
    timer.at(0, calls.named("first"))
    _, _, thread = calls.next()
    busy = Busy(timer)
    timer.at(0, calls.named("never"))
    timer.close()
    busy.release()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert calls.none_left


def test_a_call_may_close_its_own_timer(timer: Timer, calls: Calls) -> None:
    def close() -> None:
        timer.close()
        calls.named("closed")()

    timer.at(0, close)
    name, _, thread = calls.next()
    thread.join(PATIENCE)
    assert name == "closed"
    assert not thread.is_alive()


def test_nothing_is_called_or_started_after_the_end(calls: Calls) -> None:
    before = set(threading.enumerate())
    timer = Timer()
    timer.close()
    timer.close()
    timer.at(0, calls.named("never"))
    assert set(threading.enumerate()) == before
    assert calls.none_left
