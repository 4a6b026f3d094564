"""Where the client is, and the nonce under which a page's policy lets it run."""

from functools import cache
from typing import Final

import django
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest
from django.template import Context
from django.templatetags.static import static
from django.urls import reverse

from sseprog import __version__

__all__ = ["client_url", "nonce_of"]

_CLIENT: Final = "sseprog/sseprog.js"


def client_url() -> str:
    """Return the URL of the client: among the static files if it was collected, else the mount's.

    So it is there on every server, also where nobody has run ``collectstatic``, or serves static
    files, as under uvicorn on the machine of a developer.
    """
    own = f"{reverse('sseprog:static', kwargs={'name': 'sseprog.js'})}?v={__version__}"
    return own if settings.DEBUG else _collected_url() or own


def nonce_of(context: Context, request: HttpRequest | None) -> str | None:
    """Return the nonce of Django's own policy (from 6.0 on) or of django-csp, if there is one."""
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(request, "csp_nonce", None)
    if nonce is None and request is not None and django.VERSION >= (6, 0):
        from django.middleware.csp import get_nonce

        nonce = get_nonce(request)
    return None if nonce is None else str(nonce)


@cache
def _collected_url() -> str | None:
    if not apps.is_installed("django.contrib.staticfiles"):
        return None
    from django.contrib.staticfiles.storage import staticfiles_storage

    try:
        return static(_CLIENT) if staticfiles_storage.exists(_CLIENT) else None
    except (ImproperlyConfigured, ValueError):  # no STATIC_ROOT; not in the manifest
        return None


@receiver(setting_changed)
def _forget(*, setting: str, **_: object) -> None:
    if setting.startswith("STATIC") or setting in {"STORAGES", "INSTALLED_APPS"}:
        _collected_url.cache_clear()
