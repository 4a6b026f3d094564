"""The application under test: an adapter of one's own for WSGI, whole."""

from http import HTTPStatus

from sseprog import Hub
from sseprog.adapters import STREAM_HEADERS, Adapter, Reply, incoming_of
from sseprog.testing import authorize_under_test, remote_control

hub = Hub()
adapter = Adapter(
    hub, authorize_under_test(), user_of=lambda environ: environ.get("HTTP_X_USER") or None
)
remote_control(hub)


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if not path.startswith("/jobs/"):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
        return [b"pong"]
    reply = adapter.answer(environ, incoming_of(environ, path.removeprefix("/jobs")))
    if isinstance(reply, Reply):
        status = HTTPStatus(reply.status)
        start_response(f"{status.value} {status.phrase}", list(reply.headers))
        return [reply.body]
    start_response("200 OK", list(STREAM_HEADERS))
    return reply
