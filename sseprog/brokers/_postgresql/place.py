"""Where a PostgreSQL store is: a libpq URI, less the two parameters that are sseprog's own."""

import re
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote, unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict

__all__ = ["Place"]

_OURS: Final = ("table", "listen")
_TABLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_SHAPE: Final = "postgresql://user:password@host:5432/database?table=sseprog"


class Place(NamedTuple):
    """What a URL says.

    ``commands`` is what libpq connects to, and ``listens``, if it is not ``None``, for LISTEN;
    ``table`` is what the tables' names start with, and the name that is listened to; ``name`` is
    the URL without passwords and parameters.
    """

    name: str
    table: str
    commands: str
    listens: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart; raises `ValueError`, which never quotes what may be a password."""
        scheme, colon, _ = url.partition("://")
        if not colon or scheme not in {"postgresql", "postgres"}:
            raise ValueError(f"a PostgreSQL broker's URL looks like {_SHAPE}")
        commands, ours = _without_ours(url)
        parts = _parsed(commands, "the broker's URL")
        table = ours.get("table", "sseprog")
        if not _TABLE.fullmatch(table):
            raise ValueError(
                f"table={table!r} is no prefix for tables: use a-z, 0-9 and _, not a digit first, "
                "at most 41 characters, such as table=sseprog"
            )
        listens = ours.get("listen")
        if listens is not None:
            _check_listen(listens)
        return cls(_shown(scheme, parts, table), table, commands, listens)


def _check_listen(uri: str) -> None:
    if not uri:
        raise ValueError("listen= is empty: it is a URI, percent-encoded, of the server itself")
    if _without_ours(uri)[1]:
        raise ValueError(f"listen= is a plain libpq URI: {' and '.join(_OURS)} don't go there")
    _parsed(uri, "listen=")


def _without_ours(url: str) -> tuple[str, dict[str, str]]:
    base, _, query = url.partition("?")
    rest, ours = [], dict[str, str]()
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in _OURS:
            rest.append(part)
        elif name in ours:
            raise ValueError(f"{name}= is given twice in the broker's URL: give it once")
        else:
            ours[name] = unquote(value)  # as libpq does: a + is a +
    return (f"{base}?{'&'.join(rest)}" if rest else base), ours


def _parsed(uri: str, what: str) -> dict[str, Any]:
    # What libpq says of a bad one may quote a password that was not percent-encoded; and what it
    # takes for a host or a parameter may be the rest of one.
    refusal = ValueError(
        f"{what} is not one that libpq understands: it looks like {_SHAPE}, "
        "in which special characters are percent-encoded"
    )
    _, is_uri, location = uri.partition("://")
    base, _, query = location.partition("?")
    user, at, rest = base.partition("@")
    if is_uri and ("@" in rest or (at and "/" in user)):
        raise refusal
    names = [part.partition("=")[0] for part in query.split("&") if part] if is_uri else []
    known = {"ssl", *(option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())}
    for name in names:
        if not re.fullmatch("[A-Za-z_]+", name):
            raise refusal
        if name not in known:
            raise ValueError(
                f"{what} has an unknown parameter {name!r}; known are libpq's, "
                f"and sseprog's own {' and '.join(_OURS)}"
            )
    try:
        parts = conninfo_to_dict(uri)
    except psycopg.Error:
        raise refusal from None
    if not re.fullmatch("[0-9,]*", str(parts.get("port") or "")):
        raise refusal
    return parts


def _shown(scheme: str, parts: dict[str, Any], table: str) -> str:
    user = f"{quote(str(parts['user']))}@" if parts.get("user") else ""
    hosts = str(parts.get("host") or parts.get("hostaddr") or "").split(",")
    ports = str(parts.get("port") or "").split(",")
    if len(ports) < len(hosts):
        ports = ports[:1] * len(hosts)
    places = ",".join(
        (f"[{host}]" if ":" in host else quote(host, safe="@")) + (f":{port}" if port else "")
        for host, port in zip(hosts, ports, strict=False)
    )
    database = f"/{quote(str(parts['dbname']))}" if parts.get("dbname") else ""
    shown = "" if table == "sseprog" else f"?table={table}"
    return f"{scheme}://{user}{places}{database}{shown}"
