"""A hub by the settings of a framework, which keeps them by names in upper case."""

import difflib
from collections.abc import Mapping
from typing import Any, Final

from ._settings import Settings
from .hub import Hub

__all__ = ["KNOWN", "hub_of_options", "unknown_option"]

KNOWN: Final = (
    "BROKER",
    "SECRET",
    "TRUSTED_PROXIES",
    *(name.upper() for name in Settings.__struct_fields__),
)


def hub_of_options(options: Mapping[str, Any], *, said_as: str = "{}") -> Hub:
    """Make a hub by ``BROKER``, ``HEARTBEAT`` and so on; what is missing is the environment's.

    ``said_as`` is how an error names an option. Raises `ValueError` or `TypeError`.
    """
    for name in options:
        if name not in KNOWN:
            raise ValueError(unknown_option(name, said_as=said_as))
    return Hub(**{name.lower(): value for name, value in options.items()})


def unknown_option(name: str, *, said_as: str = "{}", also: tuple[str, ...] = ()) -> str:
    """Say that there is no such option, and which one may have been meant."""
    known = (*KNOWN, *also)
    close = difflib.get_close_matches(name.upper(), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return f"{said_as.format(name)} is no setting of sseprog: {hint}"
