"""The application, as ``INSTALLED_APPS`` knows it."""

import signal

from django.apps import AppConfig
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from sseprog.adapters import drain_on_signals

from ._checks import check_middleware, check_settings, check_static, check_urls, check_workers
from ._hub import adapter

__all__ = ["SSEProgConfig"]


class SSEProgConfig(AppConfig):
    """Register the checks, and end streams when the server is told to stop."""

    name = "sseprog_django"
    label = "sseprog"
    verbose_name = "Progress"

    def ready(self) -> None:
        """Run in the main thread, which a view is not: only there handlers can be chained."""
        for check in (check_settings, check_workers, check_middleware, check_static):
            checks.register(check, "sseprog")
        checks.register(check_urls, "sseprog", "urls")
        if not callable(signal.getsignal(signal.SIGTERM)):  # no server has set one
            return
        try:
            drain_on_signals(adapter().hub)
        except ImproperlyConfigured:
            return  # as check_settings will say
