"""The suite that every adapter passes, on every server."""

from ._of_access import OfAccess
from ._of_connections import OfConnections
from ._of_limits import OfLimits
from ._of_many import OfMany
from ._of_requests import OfRequests
from ._of_streams import OfStreams

__all__ = ["AdapterContract"]


class AdapterContract(OfStreams, OfMany, OfRequests, OfAccess, OfLimits, OfConnections):
    """What an adapter must hold, test by test, on a real server in a process of its own.

    Inherit, and say how to start it::

        class TestMyAdapter(AdapterContract):
            command = ("uvicorn", "my_app:app", "--port", "{port}", "--no-proxy-headers")

    ``my_app.py``, beside the test, is an application that

    - makes a ``Hub()``, whose settings the contract gives by the environment,
    - mounts the adapter at ``/jobs`` with ``authorize=authorize_under_test()``,
    - takes a request with the header ``X-User: 7`` to be of the user ``"7"``,
    - answers ``/ping`` with ``pong``,
    - calls ``remote_control(hub)``.

    Both functions are of `sseprog.testing`, and do nothing outside the contract. The server must
    not believe ``X-Forwarded-For`` by itself.

    Further attributes of the class, times in seconds:

    - ``cwd``: where to start, and to import the application from; the test's own folder
    - ``environment``: variables that the server needs
    - ``prefix``: where the adapter is mounted; ``"/jobs"``
    - ``cancel_headers(server)``: a method that returns what a POST needs, such as a CSRF token
    - ``notices_within``: until a client that has left is noticed, with nothing published; 1.0
    - ``notices_half_close``: whether that goes for one that has shut down its sending side only
    - ``ends_within``: from SIGTERM, with streams open, to the end of the process; 3.0; None: never
    - ``ends_cleanly``: whether the streams are told so, and not just cut off; None: by chance
    - ``visits``, ``visitors_at_once``: clients that come and go in all, 1,000, and together, 20: on
      a server with threads, no more than it has
    - ``tolerated``: patterns of what the server itself complains about in its log
    - ``patience``: until something that has to come counts as never coming; 10.0
    """
