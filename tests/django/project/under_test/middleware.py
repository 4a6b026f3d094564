"""Middleware of a project: it adds what with_streams has to keep."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

__all__ = ["added_headers"]


def added_headers(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers["X-Under-Test"] = "yes"
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        response.set_cookie("seen", "1")
        if request.GET.get("replaced"):
            return HttpResponse("replaced by middleware", status=418)
        return response

    return middleware
