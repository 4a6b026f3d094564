"""The admin's pages of live and recent jobs, for staff who may see them all."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import django
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from sseprog import BrokerUnavailable, JobNotFound

from ._hub import adapter, staff_adapter
from ._listing import Listing, owner_of
from ._respond import respond
from .models import Job

__all__ = ["JobAdmin"]

View = Callable[..., HttpResponseBase]

_AWAY: Final = "The jobs can't be reached for the moment: their broker doesn't answer."

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Job]
else:  # it takes no argument when it runs
    Base = admin.ModelAdmin


@admin.register(Job)
class JobAdmin(Base):
    """List the jobs of the hub, and show one. Nothing here reads a table: there is none.

    Staff are not the owners of the jobs they look after, so the routes of the protocol are here
    once more, for those who have ``view_job`` and, to cancel, ``cancel_job``.
    """

    def get_urls(self) -> list[URLPattern]:
        """Return the routes of the two pages, and of the protocol below ``live/``."""
        return [
            path("", self._guarded(self._list), name="sseprog_job_changelist"),
            path("rows/", self._guarded(self._rows), name="sseprog_job_rows"),
            path("<job_id>/change/", self._guarded(self._detail), name="sseprog_job_change"),
            path("live/static/<name>", self._guarded(self._client), name="sseprog_job_static"),
            path("live/<job_id>/stream", self._guarded(self._stream), name="sseprog_job_stream"),
            path("live/<job_id>/cancel", self._guarded(self._cancel), name="sseprog_job_cancel"),
            path("live/<job_id>", self._guarded(self._snapshot), name="sseprog_job_snapshot"),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Jobs are made by the application."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """What a job has reported, it has reported."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Jobs go when their time to live is over."""
        return False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may stop jobs."""
        user: Any = request.user  # django-stubs' lowest common user has no permissions
        may: bool = user.has_perm("sseprog.cancel_job")
        return may

    def _guarded(self, view: View) -> View:
        @non_atomic_requests
        def guarded(request: HttpRequest, **names: str) -> HttpResponseBase:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return view(request, **names)

        return self.admin_site.admin_view(guarded)

    def _list(self, request: HttpRequest) -> HttpResponse:
        listing = Listing(adapter().hub, request.GET)
        if listing.away:
            messages.error(request, _AWAY)
        context = {
            "title": "Jobs",
            "listing": listing,
            "rows_url": self._url("rows") + listing.query,
        }
        return self._page(request, "list", context)

    def _rows(self, request: HttpRequest) -> HttpResponse:
        context = {"listing": (listing := Listing(adapter().hub, request.GET))}
        if listing.away:  # the page keeps what it has
            return HttpResponse(_AWAY, status=503, content_type="text/plain; charset=utf-8")
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/sseprog/job/_listing.html", context)

    def _detail(self, request: HttpRequest, job_id: str) -> HttpResponse:
        job_id = unquote(job_id)
        hub = adapter().hub
        try:
            job = hub.snapshot(job_id)
        except JobNotFound:
            messages.warning(
                request, f"There is no job “{job_id}”. Ended jobs are kept for a while."
            )
            return redirect(self._url("changelist"))
        except BrokerUnavailable:
            return redirect(self._url("changelist"))  # which says so
        may_cancel = self.has_cancel_permission(request)
        return self._page(
            request,
            "detail",
            {
                "title": job_id,
                "job": job,
                "owner": owner_of(hub, job_id),
                "details": json.dumps(job.details, indent=2, ensure_ascii=False),
                "stream_url": self._url("stream", job_id),
                "may_cancel": may_cancel,
                "token": get_token(request) if may_cancel else None,
            },
        )

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        request.current_app = self.admin_site.name
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "breadcrumbs_in_list": django.VERSION >= (6, 1),
        }
        template = f"admin/sseprog/job/{name}.html"
        return TemplateResponse(request, template, {**common, **context})

    def _url(self, name: str, *arguments: str) -> str:
        site = self.admin_site.name
        return reverse(f"admin:sseprog_job_{name}", args=arguments, current_app=site)

    def _stream(self, request: HttpRequest, job_id: str) -> HttpResponseBase:
        return respond(staff_adapter(), request, f"/{job_id}/stream")

    def _snapshot(self, request: HttpRequest, job_id: str) -> HttpResponseBase:
        return respond(staff_adapter(), request, f"/{job_id}")

    def _client(self, request: HttpRequest, name: str) -> HttpResponseBase:
        return respond(staff_adapter(), request, f"/static/{name}")

    def _cancel(self, request: HttpRequest, job_id: str) -> HttpResponseBase:
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        response = respond(staff_adapter(), request, f"/{job_id}/cancel")
        if response.status_code == 202:
            self.log_change(request, Job(job_id=job_id), "Cancelled.")
        return response
