"""The views of the routes. The one that cancels is under CSRF protection, as any form is."""

from django.contrib.auth.decorators import login_not_required
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from ._hub import adapter
from ._respond import respond

__all__ = ["cancel", "other", "snapshot", "static", "stream", "streams"]


@csrf_exempt
@non_atomic_requests
def stream(request: HttpRequest, job_id: str) -> HttpResponseBase:
    """Send a job's events."""
    return respond(adapter(), request, f"/{job_id}/stream")


@csrf_exempt
@non_atomic_requests
def streams(request: HttpRequest) -> HttpResponseBase:
    """Send the events of many jobs, ``?job=a&job=b``."""
    return respond(adapter(), request, "/stream")


@csrf_exempt
@non_atomic_requests
def snapshot(request: HttpRequest, job_id: str) -> HttpResponseBase:
    """Answer with a job's newest state."""
    return respond(adapter(), request, f"/{job_id}")


@non_atomic_requests
def cancel(request: HttpRequest, job_id: str) -> HttpResponseBase:
    """Ask a job to stop."""
    return respond(adapter(), request, f"/{job_id}/cancel")


@csrf_exempt
@login_not_required
@non_atomic_requests
def static(request: HttpRequest, name: str) -> HttpResponseBase:
    """Answer with the client that draws jobs in pages, which is for everybody."""
    return respond(adapter(), request, f"/static/{name}")


@csrf_exempt
@non_atomic_requests
def other(request: HttpRequest, path: str) -> HttpResponseBase:
    """Answer for all that the other routes leave, as the protocol has it."""
    return respond(adapter(), request, f"/{path}")
