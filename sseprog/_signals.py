"""End the streams when the server is told to stop, since most servers wait for them for ever.

A handler is chained in front of the one that the server has set, never put in its place, and does
nothing but have the hubs drained, in the event loop's next turn or in a thread. (uvicorn,
hypercorn and granian wait for open streams without a limit, gunicorn for 30 s: measured.)
"""

import _thread
import logging
import signal
import threading
import time
import weakref
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["drain_on_signals", "handler_of_server"]

logger = logging.getLogger("sseprog")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_hubs: Final["weakref.WeakSet[Hub]"] = weakref.WeakSet()
_chained: Final[dict[int, tuple[object, object]]] = {}
"""By signal: our handler, and the one that it was put in front of."""


_AGAIN: Final = 0.1
"""Seconds until handlers are looked at again: that costs as much as all else at a stream's start,
and ten thousand may start in a second."""
_look_at = 0.0


def drain_on_signals(hub: "Hub") -> None:
    """Drain ``hub`` on SIGTERM and SIGINT. Called as often as one likes.

    Nothing is chained outside the main thread, where Python allows no handler, nor where the
    server has set none: a process that dies at once of a signal keeps nobody waiting.
    """
    global _look_at
    now = time.monotonic()
    if now < _look_at and hub in _hubs:
        return
    _hubs.add(hub)
    if threading.current_thread() is not threading.main_thread():
        return
    _look_at = now + _AGAIN
    for number in SIGNALS:
        current = signal.getsignal(number)
        # Looked at again each time: a server may set its own after the first stream.
        ours, _ = _chained.get(number, (None, None))
        if current is not ours and callable(current) and current is not signal.default_int_handler:
            _chain(number, current)


def handler_of_server(number: signal.Signals) -> object:
    """Return the handler that the server has set, be ours in front of it or not."""
    current = signal.getsignal(number)
    ours, previous = _chained.get(number, (None, None))
    return previous if current is ours else current


def _chain(number: signal.Signals, previous: "signal._HANDLER") -> None:
    def handle(received: int, frame: FrameType | None) -> None:
        for hub in list(_hubs):
            # Never here, where this thread may hold a lock in the middle of a statement.
            if not _drain_in_loop(hub):
                # Of the lowest kind of thread: what threading.Thread does besides takes a lock
                # itself. (gevent makes it a greenlet.)
                with suppress(RuntimeError):  # there are no more threads to be had
                    _thread.start_new_thread(hub.drain, ())
        if callable(previous):
            previous(received, frame)

    signal.signal(number, handle)
    _chained[number] = (handle, previous)
    logger.debug("chained a handler for %s", number.name)


def _drain_in_loop(hub: "Hub") -> bool:
    """Drain in the loop's next turn, ahead of what the server is about to do in it.

    daphne cancels all requests there: from a thread we came too late.
    """
    for loop in list(hub._pumps):
        try:
            loop.call_soon_threadsafe(hub.drain)
        except RuntimeError:  # it is closed
            continue
        return True
    return False
