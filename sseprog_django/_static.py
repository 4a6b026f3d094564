"""Where the client is, and the nonce under which a page's policy lets it run."""

import django
from django.http import HttpRequest
from django.template import Context
from django.urls import reverse

from sseprog import __version__

__all__ = ["client_url", "nonce_of"]


def client_url() -> str:
    """Return the URL of the client: the mount's, where its modules are beside each other.

    Not that of a copy which ``collectstatic`` might make: a page that loads one module from here
    and one from there has each of them twice, and the two share no stream.
    """
    return f"{reverse('sseprog:static', kwargs={'name': 'sseprog.js'})}?v={__version__}"


def nonce_of(context: Context, request: HttpRequest | None) -> str | None:
    """Return the nonce of Django's own policy (from 6.0 on) or of django-csp, if there is one."""
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(request, "csp_nonce", None)
    if nonce is None and request is not None and django.VERSION >= (6, 0):
        from django.middleware.csp import get_nonce

        nonce = get_nonce(request)
    return None if nonce is None else str(nonce)
