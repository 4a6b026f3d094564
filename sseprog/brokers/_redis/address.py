"""Where the servers are, as the broker's URL says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis import connection as redis_connection
from redis.exceptions import RedisError

__all__ = ["Address", "Node", "Wire"]

CONNECT_TIMEOUT: Final = 2.0
SOCKET_TIMEOUT: Final = 3.0
"""Seconds. Together they are how long it takes at most to find out that a server is mute."""

_SCHEMES: Final = {
    "redis": "redis",
    "valkey": "redis",
    "rediss": "rediss",
    "valkeys": "rediss",
    "unix": "unix",
}
_PORTS: Final = {"": 6379, "cluster": 6379, "sentinel": 26379}
# Options of redis-py's clients that are decided here: what is sent again, and how much is pooled.
_DECIDED: Final = frozenset(
    {
        "client_name",
        "decode_responses",
        "health_check_interval",
        "legacy_responses",
        "max_connections",
        "protocol",
        "retry_on_error",
        "retry_on_timeout",
        "timeout",
    }
)


class Node(NamedTuple):
    """A server. The path of a Unix socket is a ``host`` whose ``port`` is 0."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


class Wire(Protocol):
    """What is used of a redis-py connection."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def pack_commands(self, commands: Any) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes]) -> None: ...
    def send_command(self, *parts: Any) -> None: ...
    def read_response(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Address:
    """A broker's URL, parsed. ``service`` is the master's name, where Sentinels know it."""

    name: str
    nodes: tuple[Node, ...]
    cluster: bool
    service: str | None
    database: int
    options: Mapping[str, Any]
    sentinel_options: Mapping[str, Any]

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Parse a URL; raises `ValueError` naming what is wrong, and never the password."""
        scheme, mark, _ = url.partition("://")
        base, _, mode = scheme.lower().partition("+")
        if not mark or base not in _SCHEMES or mode not in _PORTS or (base == "unix" and mode):
            raise ValueError(
                f"broker {scheme.rpartition('@')[2]!r}: known are redis://, rediss:// (TLS), "
                "unix://, valkey:// and valkeys://, and with several servers redis+cluster:// and "
                "redis+sentinel://"
            )
        parts = urlsplit(url)
        rest = f"{parts.path}?{parts.query}#{parts.fragment}"
        if "@" in rest and "@" not in parts.netloc and base != "unix":
            raise ValueError(
                f"broker {scheme}://: what comes before the @ has a '/', '?' or '#', which are "
                "written %2F, %3F and %23 in a password"
            )
        user, _, hosts = parts.netloc.rpartition("@")
        query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if "password" not in k])
        name = f"{scheme}://{hosts}{parts.path}{'?' * bool(query)}{query}"
        try:
            if parts.fragment:
                raise ValueError("a '#' is written %23")
            own = _options(_SCHEMES[base], user, parts.query)
            service, path = None, parts.path.strip("/")
            if base == "unix":
                if hosts or not path:
                    raise ValueError("a socket is named by its whole path: unix:///run/redis.sock")
                nodes, path = [Node(unquote(parts.path), 0)], ""
            else:
                nodes = [_node(host, _PORTS[mode]) for host in hosts.split(",")]
            if len(nodes) > 1 and not mode:
                raise ValueError(f"several servers are {base}+cluster:// or {base}+sentinel://")
            if mode == "sentinel":
                service, _, path = path.partition("/")
                if not service:
                    raise ValueError("the master's name is missing: ://host:26379/mymaster")
            database = _database(path or str(own.get("db", 0)))
            if mode == "cluster" and database:
                raise ValueError("a Cluster has one database only, which is 0")
            own["db"] = database
            theirs = {k: v for k, v in own.items() if k not in {"db", "username", "password"}}
            for credential in ("username", "password"):
                if (value := own.pop(f"sentinel_{credential}", None)) is not None:
                    theirs[credential] = value
                theirs.pop(f"sentinel_{credential}", None)
            address = cls(name, tuple(nodes), mode == "cluster", service, database, own, theirs)
            address.connection(nodes[0], "sseprog")  # refuses options that it doesn't know
        except (ValueError, TypeError, RedisError) as error:
            raise ValueError(f"broker {name!r}: {error}") from None
        return address

    def connection(self, node: Node, name: str, *, sentinel: bool = False) -> Wire:
        """Return a connection that is not connected yet."""
        options = dict(self.sentinel_options if sentinel else self.options)
        kind = options.pop("connection_class")
        where = {"host": node.host, "port": node.port} if node.port else {"path": node.host}
        return cast("Wire", kind(**options, **where, client_name=name, protocol=2))


def _options(base: str, user: str, query: str) -> dict[str, Any]:
    parse: Any = redis_connection.parse_url
    found = parse(f"{base}://{user}{'@' * bool(user)}/?{query}")
    found.pop("path", None)
    given = {k: v for k, v in found.items() if k not in _DECIDED}
    return {
        "connection_class": redis_connection.Connection,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": SOCKET_TIMEOUT,
        **given,
    }


def _node(text: str, port: int) -> Node:
    parts = urlsplit(f"//{text}")
    return Node(parts.hostname or "localhost", parts.port or port)


def _database(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{text!r} is not the number of a database")
    return int(text)
