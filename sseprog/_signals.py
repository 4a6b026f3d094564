"""End the streams when the server is told to stop, since most servers wait for them for ever.

A handler is chained in front of the one that the server has set, never put in its place, and does
nothing but wake the event loop. (uvicorn, hypercorn and granian wait for open streams without a
limit, and run their lifespan shutdown only after that: measured, more than 40 s.)
"""

import asyncio
import logging
import signal
import threading
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["drain_on_signals"]

logger = logging.getLogger("sseprog")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_hubs: Final["weakref.WeakKeyDictionary[Hub, asyncio.AbstractEventLoop]"] = (
    weakref.WeakKeyDictionary()
)
_ours: Final[dict[int, object]] = {}


def drain_on_signals(hub: "Hub") -> None:
    """Drain ``hub`` on SIGTERM and SIGINT. Called in the event loop, as often as one likes.

    Nothing is chained outside the main thread, where Python allows no handler, nor where a
    signal is ignored; `max_stream_age` ends the streams there.
    """
    loop = _hubs.get(hub)
    if loop is None or loop.is_closed():
        _hubs[hub] = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        current = signal.getsignal(number)
        # Looked at again each time: a server may set its own after the first stream.
        if current is not _ours.get(number) and current not in (None, signal.SIG_IGN):
            _chain(number, current)


def _chain(number: signal.Signals, previous: object) -> None:
    def handle(received: int, frame: FrameType | None) -> None:
        for hub, loop in list(_hubs.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(hub.drain)
        if callable(previous):
            previous(received, frame)
        else:  # SIG_DFL: what would have happened without us
            signal.signal(received, signal.SIG_DFL)
            signal.raise_signal(received)

    signal.signal(number, handle)
    _ours[number] = handle
    logger.debug("chained a handler for %s", number.name)
