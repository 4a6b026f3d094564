"""The application under test: Django, under WSGI and ASGI, as one file."""

import sys
from collections.abc import Callable

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from sseprog.testing import authorize_under_test, remote_control


class User:
    """Whom a project's own authentication would find."""

    is_authenticated = True

    def __init__(self, pk: str) -> None:
        self.pk = pk


class HeaderMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        pk = request.headers.get("X-User")
        if pk:
            request.user = User(pk)
        return self.get_response(request)


def ping(request: HttpRequest) -> HttpResponse:
    return HttpResponse("pong", content_type="text/plain")


urlpatterns = [path("ping", ping), path("jobs/", include("sseprog_django.urls"))]

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    INSTALLED_APPS=["sseprog_django"],
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", f"{__name__}.HeaderMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    SSEPROG={"AUTHORIZE": authorize_under_test()},
)
wsgi = get_wsgi_application()
asgi = get_asgi_application()

from sseprog_django import hub  # noqa: E402 - it needs the settings
from sseprog_django.asgi import with_streams  # noqa: E402

with_streams_asgi = with_streams(asgi)
remote_control(hub)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
