"""The settings of a hub: their defaults, where they come from, what they may be."""

import os
from collections.abc import Mapping
from typing import Any, Final, TypedDict

import msgspec

from .progress import shown

__all__ = ["Settings", "SettingsOptions"]


class SettingsOptions(TypedDict, total=False):
    """The settings as keywords."""

    heartbeat: float | None
    retry: float | None
    retention: int | None
    conflate_after: int | None
    throttle: float | None
    ttl: float | None
    lease: float | None
    send_timeout: float | None
    max_stream_age: float | None
    drain: float | None
    flush_timeout: float | None
    max_jobs: int | None
    max_streams: int | None
    max_streams_per_client: int | None
    workers: int | None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of a hub, in seconds or counts. ``None`` and 0 switch a limit or a wait off."""

    heartbeat: float | None = 15.0
    """Seconds without a byte after which a stream gets a heartbeat."""
    retry: float | None = 2.0
    """Seconds until a browser reconnects, spread by 25 %."""
    retention: int | None = 256
    """Events that a job's log keeps."""
    conflate_after: int | None = 16
    """Events that a subscriber may lag before it gets the newest of each stage only: who reads
    slowly, and all where events come faster than the process can write them."""
    throttle: float | None = 0.1
    """Seconds within which reports of one job are merged."""
    ttl: float | None = 3600.0
    """Seconds that an ended job is kept."""
    lease: float | None = 30.0
    """Seconds after which a job whose process is silent counts as stalled. Of no meaning to
    ``memory://``, whose jobs have no other process."""
    send_timeout: float | None = 30.0
    """Seconds that one write to a client may take."""
    max_stream_age: float | None = 900.0
    """Seconds after which a stream is ended, and the browser comes back; spread by 10 %."""
    drain: float | None = 0.0
    """Seconds over which the streams are ended when the server stops."""
    flush_timeout: float | None = 10.0
    """Seconds that the end of a job waits until the broker has it; ``memory://`` has it at once."""
    max_jobs: int | None = 10_000
    """Jobs that are kept; ended ones make room for new ones."""
    max_streams: int | None = None
    """Streams that one process serves at a time."""
    max_streams_per_client: int | None = None
    """Streams that one client may have open at a time."""
    workers: int | None = None
    """Threads that `Hub.start` may use; ``None`` is four more than there are cores, at most 32."""

    @classmethod
    def load(
        cls, options: Mapping[str, Any], environment: Mapping[str, str] = os.environ
    ) -> "Settings":
        """Take each setting from ``options``, else from ``SSEPROG_<NAME>``, else its default.

        Raises `TypeError` or `ValueError`, naming the setting and the rule.
        """
        for name in options:
            if name not in cls.__struct_fields__:
                known = ", ".join(cls.__struct_fields__)
                raise TypeError(f"unknown setting {name!r}; known are {known}")
        values = {name: _checked(name, value, name) for name, value in options.items()}
        for name in cls.__struct_fields__:
            variable = f"SSEPROG_{name.upper()}"
            if name not in values and variable in environment:
                value = _from_text(variable, environment[variable])
                values[name] = _checked(name, value, variable)
        return cls(**values)


_MOST: Final = 1_000_000_000  # 30 years; what is larger breaks timers, and is a slip
_COUNTS: Final = frozenset(
    {"retention", "conflate_after", "max_jobs", "max_streams", "max_streams_per_client", "workers"}
)


def _from_text(variable: str, text: str) -> float | None:
    if text.strip().lower() in {"", "none"}:
        return None
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{variable}={shown(text)} is not a number, nor 'none'") from None
    return int(number) if number.is_integer() else number


def _checked(name: str, value: Any, said_as: str) -> Any:
    if value is None:
        return None
    kinds = (int,) if name in _COUNTS else (int, float)
    what = "a whole number" if name in _COUNTS else "a number of seconds"
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"setting {said_as}={shown(value)} is not {what}, nor None")
    if not 0 <= value <= _MOST:
        raise ValueError(
            f"setting {said_as}={shown(value)} is not {what} from 0 on (to 1e9), nor None"
        )
    return value or None  # 0 switches off, as None does
