"""What an adapter is made of. A whole one is shown in ``docs/adapters.md``.

ASGI frameworks mount an `ASGIApp`. Others hand each request to an `Adapter` as an `Incoming`, and
pass on what they get back: a `Reply`, or a stream, which is an iterator of bytes, to be sent one by
one with `STREAM_HEADERS`, and closed. `incoming_of` reads an `Incoming` out of a WSGI environment.
"""

from ._access import Authorize
from ._adapter import Adapter
from ._app import ASGIApp
from ._http import STREAM_HEADERS, Ask, Incoming, Reply
from ._signals import drain_on_signals
from ._streams import AsyncStream, SyncStream
from ._wsgi import incoming_of

__all__ = [
    "STREAM_HEADERS",
    "ASGIApp",
    "Adapter",
    "Ask",
    "AsyncStream",
    "Authorize",
    "Incoming",
    "Reply",
    "SyncStream",
    "drain_on_signals",
    "incoming_of",
]
