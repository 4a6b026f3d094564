"""A job's state: what every event carries, what an emitter yields, and what may be in it."""

import math
import numbers
import re
import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, SupportsFloat, get_args

import msgspec

__all__ = ["MAX_DETAILS", "MAX_TEXT", "TERMINAL", "Progress", "Status", "check_job_id", "shown"]

Status = Literal["pending", "running", "stalled", "completed", "failed", "cancelled", "lost"]

TERMINAL: Final = frozenset({"completed", "failed", "cancelled", "lost"})
"""The statuses that end a job."""

MAX_DETAILS: Final = 16 * 1024
"""The most bytes that ``details`` may take as JSON."""

MAX_TEXT: Final = 16 * 1024
"""The most characters of a stage or a message: a log of them must stay bounded too."""

_STATUSES: Final = get_args(Status)
_MAX_LEVELS: Final = 100  # of nested details: what parses everywhere, and never near a stack's end
_JOB_ID: Final = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
# The name of a route; and what browsers take for "here" and "one up" and cut out of the URL.
_RESERVED: Final = frozenset({"static", "stream", ".", ".."})
# Category Cc but tab and newline; and surrogates, which UTF-8 has no bytes for.
_REFUSED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _plain(value: object) -> object:
    """Encode what is a number, a text or a mapping, though not of Python's own kind."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, bool):  # which comes here as a key only
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real):
            return float(value)
    raise TypeError(f"{shown(value)}, of type {type(value).__name__}, is no JSON")


_encoder: Final = msgspec.json.Encoder(enc_hook=_plain)
_repr: Final = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 80


class _Report(msgspec.Struct, frozen=True):
    progress: float | None = None


class Progress(_Report, frozen=True, kw_only=True):
    """A job's whole state, as frozen as its parts allow.

    An emitter yields it with its first five fields; the hub fills in the others.

    ``progress``: percent of the whole job, 0 to 100, or ``None`` where it can't be known.
    ``stage``: what is being done, such as ``"transcoding 720p"``; a page lists stages by it.
    ``message``: a sentence for people. Any Unicode but control characters; newline and tab pass.
    ``details``: any JSON object of at most 16 KiB encoded; dates, UUIDs and dataclasses are
    turned into JSON when the value is made.
    ``eta``: seconds left, or ``None``.

    Raises `TypeError` or `ValueError`, naming the value and the rule.
    """

    stage: str = ""
    message: str = ""
    details: dict[str, Any] = {}
    eta: float | None = None
    status: Status = "running"
    job_id: str = ""
    started_at: datetime | None = None
    updated_at: datetime | None = None

    def __post_init__(self) -> None:
        put = msgspec.structs.force_setattr
        if self.progress is not None:
            put(self, "progress", check_percent(self.progress))
        if self.eta is not None:
            put(self, "eta", check_eta(self.eta))
        put(self, "stage", check_text("stage", self.stage))
        put(self, "message", check_text("message", self.message))
        if type(self.details) is not dict or self.details:
            put(self, "details", check_details(self.details))
        else:
            put(self, "details", {})  # not the caller's own, which may change
        if self.status not in _STATUSES:
            raise ValueError(f"status {shown(self.status)} is not one of {', '.join(_STATUSES)}")

    @property
    def ended(self) -> bool:
        """Tell whether the job is over."""
        return self.status in TERMINAL

    def wire(self) -> "WireState":
        """Return the state as events carry it."""
        return WireState(
            self.job_id,
            self.status,
            self.stage,
            shortest(self.progress),
            self.message,
            self.details,
            shortest(self.eta),
            rfc3339(self.started_at),
            rfc3339(self.updated_at),
        )

    def to_json(self) -> bytes:
        """Encode as one line of JSON, the ``data`` of an event (protocol, section 2)."""
        return self.wire().to_json()

    @classmethod
    def from_json(cls, data: bytes) -> "Progress":
        """Decode what `to_json` gave; fields that it doesn't know are ignored.

        Raises `ValueError` for what is no JSON, or no state.
        """
        try:
            return _decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{shown(data)} is not the JSON of a job's state: {error}") from error


class WireState(msgspec.Struct, frozen=True):
    """A state as events carry it: its parts have been checked, numbers and times are as written."""

    job_id: str
    status: Status
    stage: str
    progress: float | None
    message: str
    details: dict[str, Any]
    eta: float | None
    started_at: str | None
    updated_at: str | None

    def to_json(self) -> bytes:
        """Encode as one line of JSON."""
        return _encoder.encode(self)


_decoder: Final = msgspec.json.Decoder(Progress)


def check_job_id(job_id: str) -> str:
    """Return ``job_id`` as a plain `str` if it may be one; raise `TypeError` or `ValueError`."""
    if not isinstance(job_id, str):
        raise TypeError(f"a job id is a str, not {type(job_id).__name__}: {shown(job_id)}")
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(
            f"job id {shown(job_id)} is not 1 to 128 characters of A-Z a-z 0-9 . _ ~ : -"
        )
    if job_id in _RESERVED:
        raise ValueError(f"job id {job_id!r} is reserved: it means something in a URL")
    return str.__str__(job_id)


def check_percent(value: SupportsFloat) -> float:
    """Return a percentage as a float, or raise `TypeError` or `ValueError`."""
    number = value if type(value) is float else _number("progress", value)
    if not 0 <= number <= 100:  # also refuses NaN, which compares false
        raise ValueError(
            f"progress {shown(value)} is not a number from 0 to 100 (percent), or None"
        )
    return number


def check_eta(value: SupportsFloat) -> float:
    """Return a number of seconds as a float, or raise `TypeError` or `ValueError`."""
    number = _number("eta", value)
    if not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"eta {shown(value)} is not a finite number of seconds from 0 on, or None")
    return number


def check_text(name: str, value: str) -> str:
    """Return a stage or a message as a plain `str`, or raise `TypeError` or `ValueError`."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}: {shown(value)}")
    if len(value) > MAX_TEXT:
        raise ValueError(f"{name} has {len(value)} characters; at most {MAX_TEXT} are allowed")
    if bad := _REFUSED.search(value):
        raise ValueError(
            f"{name} {shown(value)} has U+{ord(bad[0]):04X} at index {bad.start()}: "
            "no control characters but newline and tab, and no lone surrogates"
        )
    return str.__str__(value)  # of a template's SafeString too, which JSON encoders refuse


def check_details(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return details as a plain JSON object of its own, or raise `TypeError` or `ValueError`.

    A copy, so that what the caller changes later can neither alter nor break an event.
    """
    if not isinstance(value, Mapping):
        raise TypeError(
            f"details is a mapping (a JSON object), not {type(value).__name__}: {shown(value)}"
        )
    try:
        encoded = _encoder.encode(value if isinstance(value, dict) else dict(value))
    except RecursionError:
        raise _too_deep(value) from None
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"details {shown(value)} can't be written as JSON: {error}") from error
    if len(encoded) > MAX_DETAILS:
        raise ValueError(
            f"details take {len(encoded)} bytes as JSON; at most {MAX_DETAILS} are allowed"
        )
    # There are no more levels than brackets, and hardly ever that many brackets.
    brackets = encoded.count(b"{") + encoded.count(b"[")
    try:
        decoded: dict[str, Any] = msgspec.json.decode(encoded)
        too_deep = brackets > _MAX_LEVELS and _is_deeper(decoded, _MAX_LEVELS)
    except RecursionError:
        too_deep = True
    if too_deep:
        raise _too_deep(value)
    return decoded


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (levels <= 0 or any(_is_deeper(each, levels - 1) for each in inner))


def _too_deep(value: object) -> ValueError:
    return ValueError(f"details {shown(value)} have more than {_MAX_LEVELS} levels")


def clean_text(text: str) -> str:
    """Make a text fit for a message: what `check_text` refuses becomes U+FFFD, or is cut off."""
    return _REFUSED.sub("\N{REPLACEMENT CHARACTER}", text)[:MAX_TEXT]


def _number(name: str, value: SupportsFloat) -> float:
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is a number or None, not {type(value).__name__}: {shown(value)}")
    try:
        return float(value)
    except OverflowError:  # an int of more than 308 digits
        return math.nan
    except Exception as error:
        raise ValueError(f"{name} {shown(value)} can't be read as a number: {error}") from error


def shown(value: object) -> str:
    """Name a value in an error: short, however long, deep or odd it is."""
    try:
        text = _repr.repr(value)
    except ValueError:  # an int of more digits than Python writes
        return f"of type {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."


def shortest(number: float | None) -> float | None:
    """Write 100.0 as ``100``."""
    return int(number) if number is not None and number.is_integer() else number


def rfc3339(moment: datetime | None) -> str | None:
    """Write a time as events carry it: in UTC, to the millisecond."""
    if moment is None:
        return None
    # Three times as fast as isoformat(), whose two times would be a quarter of an event's cost.
    written = _encoder.encode(moment.astimezone(UTC)).decode()  # "2026-01-31T12:00:00.123456Z"
    return f"{written[1:20]}.{written[21:24] if moment.microsecond else '000'}Z"
