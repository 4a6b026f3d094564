"""What a page of another site must not do to a server on this machine."""

import ipaddress
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "is_loopback"]

_POLICY: Final = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' blob:",  # a frame of the file that is being uploaded
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


# A job may be watched from a page of one's own, wherever it is served: its id is the secret. No
# cookie goes along, and all else stays with this page.
_SHARED: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class Guard:
    """Refuse other sites, and set the headers that make a browser refuse them too.

    ``local``: the server listens on the loopback only, and a ``Host`` that is not of it is that
    of an attacker who has pointed a name of his own there (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, *, local: bool) -> None:
        self._app = app
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if shared:
                    headers.update(_SHARED)
            await send(message)

        headers = Headers(scope=scope)
        shared = scope["method"] in {"GET", "HEAD"} and scope["path"].startswith("/jobs/")
        if self._local and not is_loopback(_name_of(headers.get("host", ""))):
            refusal = JSONResponse({"error": "this server is for its own machine"}, 421)
            await refusal(scope, receive, send_with_headers)
        elif scope["method"] not in {"GET", "HEAD"} and _is_of_another_site(headers):
            refusal = JSONResponse({"error": "only this page may do that"}, 403)
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def is_loopback(host: str) -> bool:
    """Tell whether a host, a name or an address without its port, is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """Cut the port off a ``Host`` header."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_of_another_site(headers: Headers) -> bool:
    """Tell it as OWASP advises: Fetch Metadata, else Origin; who sends neither is no browser.

    "same-site" is refused as well: each port of this machine is of the same site.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")
