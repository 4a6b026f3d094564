"""One thread that calls back when it is time, for all jobs of a hub."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Timer"]

logger = logging.getLogger("sseprog")

_IDLE: Final = 5.0
"""Seconds after which a thread with nothing to do ends; a hub that is gone leaves none."""


class Timer:
    """Call functions at given times (seconds, monotonic), in one thread that starts when needed."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # of equal times; functions can't be compared
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call ``call`` at ``when``, or soon if that has passed; never, once closed."""
        with self._changed:
            if self._closed:
                return
            heapq.heappush(self._due, (when, next(self._order), call))
            # A thread that isn't alive is that of the process that this one was forked from.
            if self._thread is None or not self._thread.is_alive():
                self._start()
            elif self._due[0][2] is call:
                self._changed.notify()

    def close(self) -> None:
        """Forget what is due and let the thread end."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="sseprog-timer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread is to be had: no job is to fail for that
            logger.exception("what is due is called later: its thread can't be started")
        else:
            self._thread = thread

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (wait := self._wait()) > 0:
                    self._changed.wait(min(wait, threading.TIMEOUT_MAX))
                    if not self._due:  # for so long that nobody may come any more
                        break
                if not self._due:
                    self._thread = None
                    return
                call = heapq.heappop(self._due)[2]
            try:
                call()
            except BaseException:  # a sys.exit() too: other jobs need this thread
                logger.exception("a timed call failed")

    def _wait(self) -> float:
        return self._due[0][0] - time.monotonic() if self._due else _IDLE
