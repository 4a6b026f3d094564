"""A hub by an application's config."""

import os

from flask import Flask

from sseprog import Hub
from sseprog._configured import hub_of_options

__all__ = ["hub_of_config"]

_PREFIX = "SSEPROG_"


def hub_of_config(app: Flask) -> Hub:
    """Make the hub that ``SSEPROG_BROKER`` and the other keys ask for.

    Tickets are signed by the application's ``SECRET_KEY`` unless ``SSEPROG_SECRET`` is set.
    Raises `ValueError` or `TypeError`, naming the key.
    """
    options = {
        key.removeprefix(_PREFIX): value for key, value in app.config.items()
        if key.startswith(_PREFIX)
    }  # fmt: skip
    if app.secret_key and "SSEPROG_SECRET" not in os.environ:
        fallbacks = app.config.get("SECRET_KEY_FALLBACKS") or ()
        options.setdefault("SECRET", [_text(app.secret_key), *map(_text, fallbacks)])
    return hub_of_options(options, said_as=f"app.config[{_PREFIX}{{}}]")


def _text(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.hex()
