"""Where the project's jobs are."""

from django.urls import include, path

urlpatterns = [path("jobs/", include("sseprog_django.urls"))]
