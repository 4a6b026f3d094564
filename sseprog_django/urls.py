"""The routes of protocol.md, to be included: ``path("jobs/", include("sseprog_django.urls"))``."""

from django.urls import path, re_path

from . import views

__all__ = ["app_name", "urlpatterns"]

app_name = "sseprog"

urlpatterns = [
    path("static/<name>", views.static, name="static"),
    path("stream", views.streams, name="streams"),
    path("<job_id>/stream", views.stream, name="stream"),
    path("<job_id>/cancel", views.cancel, name="cancel"),
    path("<job_id>", views.snapshot, name="snapshot"),
    re_path(r"^(?P<path>[\s\S]*)$", views.other),
]
