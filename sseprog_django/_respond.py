"""A request in, a response out, under WSGI and ASGI."""

from collections.abc import Callable
from functools import partial

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from sseprog.adapters import STREAM_HEADERS, Adapter, AsyncStream, Reply, incoming_of

from ._body import HANDOVER, AsyncBody, Handover, SyncBody

__all__ = ["respond"]


def respond(adapter: Adapter, request: HttpRequest, path: str) -> HttpResponseBase:
    """Answer a request in its thread; ``path`` is what follows the mount."""
    incoming = incoming_of(request.META, path)
    if isinstance(request, ASGIRequest):  # whose META pretends to be of a WSGI server
        incoming = incoming._replace(threads=None, processes=False, connection=None)
    ask = adapter.decide(request, incoming)
    if isinstance(ask, Reply):
        return _whole(ask)
    stream = adapter.open(ask)
    if isinstance(stream, Reply):
        return _whole(stream)
    # Nobody shall compress it: each event would wait for the next to fill a block.
    request.META.pop("HTTP_ACCEPT_ENCODING", None)
    body: SyncBody | AsyncBody | Handover
    if isinstance(request, ASGIRequest):
        stream.close()  # it has shown that there is room; the event loop opens its own
        body = _body_on_loop(request, partial(adapter.open_async, ask))
    else:
        body = SyncBody(stream)
    return StreamingHttpResponse(body, headers=dict(STREAM_HEADERS))


def _body_on_loop(
    request: ASGIRequest, open_stream: Callable[[], Reply | AsyncStream]
) -> AsyncBody | Handover:
    handover: Handover | None = request.scope.get(HANDOVER)
    if handover is None:
        return AsyncBody(open_stream)
    handover.open = open_stream
    return handover


def _whole(reply: Reply) -> HttpResponse:
    headers = dict(reply.headers)
    response = HttpResponse(reply.body, status=reply.status, headers=headers)
    if "Content-Type" not in headers:
        del response.headers["Content-Type"]
    return response
