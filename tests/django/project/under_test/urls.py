"""The routes: sseprog's, the login and the admin, and what the tests drive the process by."""

import os
import threading
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.contrib.staticfiles.views import serve
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import include, path

from sseprog import Job
from sseprog_django import hub

held: dict[str, Job] = {}


def page(request: HttpRequest, job_id: str) -> HttpResponse:
    return render(request, "page.html", {"job_id": job_id})


def create(request: HttpRequest, job_id: str) -> HttpResponse:
    """Make a job and hold it, so that ``report`` can report."""
    hub.create(job_id, owner=request.GET.get("owner"))
    held[job_id] = hub.job(job_id).__enter__()
    return HttpResponse()


def report(request: HttpRequest, job_id: str) -> HttpResponse:
    held[job_id].update(float(request.GET["progress"]))
    return HttpResponse()


def finish(request: HttpRequest, job_id: str) -> HttpResponse:
    held.pop(job_id).__exit__(None, None, None)
    return HttpResponse()


@non_atomic_requests
async def figures(request: HttpRequest) -> JsonResponse:
    """Count what streams may cost. (async: no thread of this request's own under ASGI.)"""
    files = [_target(number) for number in os.listdir("/proc/self/fd")]
    counted = {
        "threads": threading.active_count(),
        "databases": sum(file.endswith(".sqlite3") for file in files),
        "streams": hub.streams,
    }
    return JsonResponse(counted)


def foreign(request: HttpRequest, name: str) -> HttpResponse | StreamingHttpResponse:
    """Answer on a path that ends as a stream's does, but is none of sseprog's."""
    if name == "whole":
        return HttpResponse("whole")
    if name == "broken":
        raise ZeroDivisionError
    return StreamingHttpResponse(_parts())


def _parts() -> Iterator[str]:
    yield "one "
    yield "two"


def _target(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:  # that of the listing itself
        return ""


def only_a(request: HttpRequest, job_id: str, owner: str | None) -> Any:
    """Decide, as AUTHORIZE of some tests."""
    return job_id.startswith("a")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("login/", LoginView.as_view(template_name="login.html", next_page="/figures")),
    path("jobs/", include("sseprog_django.urls")),
    path("page/<job_id>", page),
    path("create/<job_id>", create),
    path("report/<job_id>", report),
    path("finish/<job_id>", finish),
    path("figures", figures),
    path("foreign/<name>/stream", foreign),
    path("static/<path:path>", serve, {"insecure": True}),
]
