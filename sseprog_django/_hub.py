"""The hub of a project: made by its settings at first use, and anew when a test changes them."""

import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, cast

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import Http404, HttpRequest
from django.utils.functional import LazyObject, empty
from django.utils.module_loading import import_string

from sseprog import Hub, SSEProgError
from sseprog._configured import KNOWN, hub_of_options, unknown_option
from sseprog.adapters import Adapter

__all__ = ["Authorize", "adapter", "authorizer", "hub", "options", "staff_adapter", "unknown"]

Authorize = Callable[[HttpRequest, str, str | None], bool | Awaitable[bool]]
"""``(request, job_id, owner) -> bool``: may this request see this job?"""

_PASSING: Final = (Http404, PermissionDenied)
"""What ``AUTHORIZE`` may raise for Django to answer."""


class _Made(NamedTuple):
    hub: Hub
    adapter: Adapter
    staff: Adapter


class _LazyHub(LazyObject):  # type: ignore[type-arg]  # it takes none when it runs
    def _setup(self) -> None:
        self._wrapped = _made().hub


_lazy: Final = _LazyHub()
_lock: Final = threading.RLock()
_current: list[_Made] = []
"""The only one, or none."""

hub: Final = cast(Hub, _lazy)
"""The hub that ``settings.SSEPROG`` asks for. Raises `ImproperlyConfigured` when first used."""


def adapter() -> Adapter:
    """Return what answers for the hub."""
    return _made().adapter


def staff_adapter() -> Adapter:
    """Return what answers for the hub to everybody: its caller has seen to who that is."""
    return _made().staff


def options() -> Mapping[str, Any]:
    """Return ``settings.SSEPROG``. Raises `ImproperlyConfigured` if it is no dict."""
    found = getattr(settings, "SSEPROG", {})
    if not isinstance(found, Mapping):
        raise ImproperlyConfigured(
            f'SSEPROG is a dict, such as {{"HEARTBEAT": 15}}, not {type(found).__name__}'
        )
    return found


def unknown(name: object) -> str | None:
    """Say what is wrong with a key of ``settings.SSEPROG``, if something is."""
    if name in (*KNOWN, "AUTHORIZE"):
        return None
    return unknown_option(str(name), said_as='SSEPROG["{}"]', also=("AUTHORIZE",))


def authorizer(found: object) -> Authorize | None:
    """Return the function that ``AUTHORIZE`` is, or names. Raises `ImproperlyConfigured`."""
    if isinstance(found, str):
        try:
            found = import_string(found)
        except ImportError as error:
            raise ImproperlyConfigured(f'SSEPROG["AUTHORIZE"]: {error}') from error
    if found is not None and not callable(found):
        raise ImproperlyConfigured(
            'SSEPROG["AUTHORIZE"] is a function (request, job_id, owner), or the dotted path of '
            f"one, not {found!r}"
        )
    if iscoroutinefunction(found) or iscoroutinefunction(type(found).__call__):
        return _in_thread(cast("Callable[..., Awaitable[bool]]", found))
    return cast("Authorize | None", found)


def _in_thread(function: Callable[..., Awaitable[bool]]) -> Authorize:
    """Run it in Django's way: the queries in it use the connections of the request's thread."""

    def authorize(request: HttpRequest, job_id: str, owner: str | None) -> bool:
        return async_to_sync(function)(request, job_id, owner)

    return authorize


def _user_of(request: HttpRequest) -> str | None:
    """Return the id of the user that AuthenticationMiddleware found."""
    user = getattr(request, "user", None)
    return str(user.pk) if user is not None and user.is_authenticated else None


def _made() -> _Made:
    with _lock:
        if not _current:
            _current.append(_make())
        return _current[0]


def _make() -> _Made:
    given = dict(options())
    for name in given:
        if (said := unknown(name)) is not None:
            raise ImproperlyConfigured(said)
    authorize = authorizer(given.pop("AUTHORIZE", None))
    if "SSEPROG_SECRET" not in os.environ:
        given.setdefault("SECRET", _secret())
    try:
        made = hub_of_options(given, said_as='SSEPROG["{}"]')
    except (ValueError, TypeError, SSEProgError) as error:
        raise ImproperlyConfigured(f"settings.SSEPROG: {error}") from error
    return _Made(
        made,
        Adapter(made, authorize, user_of=_user_of, passing=_PASSING),
        Adapter(made, lambda *_: True, user_of=_user_of),
    )


def _secret() -> list[str]:
    """Return what signs tickets, and what has signed them, if nothing else is said."""
    try:
        keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    except ImproperlyConfigured:  # it is empty, as while an image is built
        return []
    return [key if isinstance(key, str) else key.hex() for key in keys]


@receiver(setting_changed)
def _forget(*, setting: str, **_: object) -> None:
    if setting not in {"SSEPROG", "SECRET_KEY", "SECRET_KEY_FALLBACKS"}:
        return
    with _lock:
        old = list(_current)
        _current.clear()
        _lazy._wrapped = empty  # type: ignore[assignment]
    for made in old:
        made.hub.close()
