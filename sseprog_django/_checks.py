"""The system checks: what ``manage.py check`` says of the settings, and the line that helps."""

import os
import shlex
from argparse import ArgumentError, ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse

from sseprog._proxies import Proxies
from sseprog._settings import Settings
from sseprog._tickets import Tickets

from ._hub import adapter, authorizer, options, unknown

__all__ = ["check_middleware", "check_settings", "check_static", "check_urls", "check_workers"]

Found = list[CheckMessage]

_GZIP: Final = "django.middleware.gzip.GZipMiddleware"
_BEFORE_GZIP: Final = {
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
}
"""What Django's documentation of the order of middleware, and WhiteNoise's, put before it."""

_MADE_OF: Final[Mapping[str, Callable[[Any], object]]] = {
    "TRUSTED_PROXIES": Proxies,
    "SECRET": Tickets,
}


def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> Found:
    """Say what is wrong with ``settings.SSEPROG``, and with ``SSEPROG_...`` in the environment."""
    try:
        given = options()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint='Write SSEPROG = {"HEARTBEAT": 15}', id="sseprog.E001")]
    found = [message for name, value in given.items() if (message := _wrong(name, value))]
    try:
        Settings.load({})
    except (TypeError, ValueError) as error:
        found.append(Error(str(error), hint="Set it to a number, or unset it", id="sseprog.E003"))
    if found:
        return found
    try:
        adapter()
    except ImproperlyConfigured as error:  # the broker is all that is left
        hint = 'Correct the URL in SSEPROG = {"BROKER": ...}, or install what the broker needs'
        return [Error(str(error), hint=hint, id="sseprog.E004")]
    return []


def check_workers(app_configs: Sequence[AppConfig] | None, **_: Any) -> Found:
    """Warn of several processes, of which each would have jobs of its own."""
    workers = _workers(os.environ)
    if workers < 2 or _shared() is not False:
        return []
    return [
        Warning(
            f"the server is to have {workers} workers, but the broker keeps jobs in one process: "
            "who asks another finds none",
            hint="Set WEB_CONCURRENCY=1 and use threads (gunicorn --threads 16), or write SSEPROG "
            '= {"BROKER": "sqlite:///jobs.db"}, or another broker that processes share',
            id="sseprog.W001",
        )
    ]


def check_middleware(app_configs: Sequence[AppConfig] | None, **_: Any) -> Found:
    """Warn of a GZipMiddleware that is not where Django's documentation has it."""
    order = list(settings.MIDDLEWARE)
    if _GZIP not in order or _BEFORE_GZIP.issuperset(order[: order.index(_GZIP)]):
        return []
    return [
        Warning(
            "GZipMiddleware comes after middleware that reads or writes the bodies of answers",
            hint=f'In MIDDLEWARE, put "{_GZIP}" first, or right after SecurityMiddleware. (Streams '
            "are not compressed wherever it is)",
            id="sseprog.W002",
        )
    ]


def check_urls(app_configs: Sequence[AppConfig] | None, **_: Any) -> Found:
    """Warn of routes that nobody has mounted."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []  # a worker's settings: nobody asks it for pages
    try:
        reverse("sseprog:stream", kwargs={"job_id": "job"})
    except NoReverseMatch:
        return [
            Warning(
                "the routes of sseprog are not in the URLconf: no page can watch a job",
                hint='In urls.py, add path("jobs/", include("sseprog_django.urls"))',
                id="sseprog.W003",
            )
        ]
    return []


def check_static(app_configs: Sequence[AppConfig] | None, **_: Any) -> Found:
    """Warn of an admin whose styles and scripts are not served."""
    if apps.is_installed("django.contrib.staticfiles"):
        return []
    if not apps.is_installed("django.contrib.admin"):
        return []  # the client of the other pages is served by the mount
    return [
        Warning(
            "the admin's pages of jobs have styles and scripts, which staticfiles would serve",
            hint='In INSTALLED_APPS, add "django.contrib.staticfiles"',
            id="sseprog.W004",
        )
    ]


def _wrong(name: object, value: Any) -> CheckMessage | None:
    """Say what is wrong with one option, if anything is that can be told without the others."""
    said = unknown(name)
    if said is not None:
        return Error(said, hint="Correct the name, or leave it out", id="sseprog.E002")
    try:
        if name == "AUTHORIZE":
            authorizer(value)
        elif name in _MADE_OF:
            _MADE_OF[str(name)](value)
        elif name != "BROKER":
            Settings.load({str(name).lower(): value}, {})
    except ImproperlyConfigured as error:
        hint = 'Write SSEPROG = {"AUTHORIZE": "mysite.access.may_watch"}, a function of yours'
        return Error(str(error), hint=hint, id="sseprog.E005")
    except (TypeError, ValueError) as error:
        default = getattr(Settings(), str(name).lower(), None)
        hint = f'Write SSEPROG = {{"{name}": {default!r}}}, or leave it out'
        return Error(f'SSEPROG["{name}"]: {error}', hint=hint, id="sseprog.E003")
    return None


def _workers(environment: Mapping[str, str]) -> int:
    """Return how many processes gunicorn and uvicorn are to start, by the environment.

    Their command line is not that of ``manage.py check``; `Adapter` warns of it at run time.
    """
    parser = ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("-w", "--workers", type=int)
    try:
        default = int(environment.get("WEB_CONCURRENCY", "1"))
        known, _ = parser.parse_known_args(shlex.split(environment.get("GUNICORN_CMD_ARGS", "")))
    except (ValueError, ArgumentError):  # for the server to complain of
        return 1
    workers: int = known.workers or default
    return workers


def _shared() -> bool | None:
    """Tell whether processes share the broker, if there is one."""
    try:
        return adapter().hub.broker.shared
    except ImproperlyConfigured:
        return None
