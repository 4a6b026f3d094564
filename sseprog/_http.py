"""What a request asks for and what it is answered: protocol.md, section 1, for every adapter."""

import hashlib
import importlib.resources
import json
import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import parse_qsl

from . import __version__
from ._event import Cursor, busy
from .errors import JobEnded
from .progress import check_job_id

if TYPE_CHECKING:
    from ._connection import Connection
    from .hub import Hub, StreamOptions

__all__ = [
    "NOTHING_LEFT",
    "NOT_FOUND",
    "STREAM_HEADERS",
    "Ask",
    "Incoming",
    "Reply",
    "answer",
    "busy_reply",
    "finish",
    "parse",
    "unavailable",
]

Headers = tuple[tuple[str, str], ...]

STREAM_HEADERS: Final[Headers] = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-store, no-transform"),
    ("X-Accel-Buffering", "no"),
)
_JSON: Final = ("Content-Type", "application/json")
_NOSNIFF: Final = ("X-Content-Type-Options", "nosniff")
_NO_STORE: Final = ("Cache-Control", "no-store")

MOST_JOBS: Final = 64  # on one stream
MOST_FIELDS: Final = 32  # beside those

_STATIC_TYPES: Final[Mapping[str, str]] = {
    "js": "text/javascript; charset=utf-8",
    "ts": "text/plain; charset=utf-8",
}


class Incoming(NamedTuple):
    """A request as it came, whatever the framework.

    ``path`` is below the mount, decoded; ``query`` as in the URL; ``header`` looks one up by its
    lower-case name; ``peer`` is the address of the other end, or ``""``. The rest is for servers
    that give each request a thread: ``threads`` is how many of them streams may hold,
    ``processes`` tells whether there are other processes of the application, and ``connection``
    is what a stream may ask of its own.
    """

    method: str
    path: str
    query: str
    header: Callable[[str], str | None]
    peer: str = ""
    threads: int | None = None
    processes: bool = False
    connection: "Connection | None" = None


class Reply(NamedTuple):
    """A whole response."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class Ask(NamedTuple):
    """What a well-formed request asks for, before anybody knows whether it may."""

    what: Literal["stream", "snapshot", "cancel"]
    jobs: str | tuple[str, ...]
    """A job's id; of a stream of many jobs, theirs."""
    options: "StreamOptions"
    ticket: str
    incoming: Incoming

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The ids of all jobs that it is about."""
        return (self.jobs,) if isinstance(self.jobs, str) else self.jobs

    @property
    def head(self) -> bool:
        """Tell whether the answer is to have no body."""
        return self.incoming.method == "HEAD"

    @property
    def takes_events(self) -> bool:
        """Tell whether the client is an ``EventSource``, or says that it reads as one."""
        return "text/event-stream" in (self.incoming.header("accept") or "").lower()


def parse(incoming: Incoming) -> Ask | Reply:
    """Read a request. What is wrong with it, or needs no job, is answered here."""
    method, path, query, header = incoming[:4]
    parts = path.removeprefix("/").split("/")
    if len(parts) == 2 and parts[0] == "static" and parts[1] in _static_files():
        return _allowed(method, "GET", "HEAD") or _static(parts[1], query, header)
    what: Literal["stream", "snapshot", "cancel"]
    if parts in (["stream"], [parts[0], "stream"]):
        what = "stream"
    elif len(parts) == 1 and parts[0]:
        what = "snapshot"
    elif len(parts) == 2 and parts[1] == "cancel":
        what = "cancel"
    else:
        return NO_ROUTE
    refused = _allowed(method, "POST") if what == "cancel" else _allowed(method, "GET", "HEAD")
    if refused is not None:
        return refused
    if what == "cancel" and _forged(header):
        return _error(403, "a job is cancelled from its own site only")
    try:
        many = parts == ["stream"]
        fields = _fields(query, MOST_FIELDS + MOST_JOBS * many) if what != "cancel" else []
        asked = dict(fields)
        if many:
            jobs: str | tuple[str, ...] = _jobs(fields)
            options = _options(asked, lambda _: None)  # there is no cursor to come back with
        else:
            jobs = check_job_id(parts[0])
            options = _options(asked, header) if what == "stream" else {}
    except ValueError as error:
        return _error(400, str(error))
    return Ask(what, jobs, options, asked.get("ticket", ""), incoming)


def answer(hub: "Hub", ask: Ask) -> Reply:
    """Answer a request that is allowed, and not for a stream."""
    if ask.what == "cancel":
        try:
            hub.cancel(ask.job_ids[0])
        except JobEnded:
            return _error(409, "the job has ended")
        return Reply(202, (_JSON, _NO_STORE), b'{"cancelling":true}\n')
    epoch, newest = hub.broker.newest(ask.job_ids[0])
    tag = f'"{epoch}-{newest.seq}"'
    headers: Headers = (("ETag", tag), ("Cache-Control", "private, no-cache"))
    if _matches(ask.incoming.header("if-none-match"), tag):
        return Reply(304, headers)
    return Reply(200, (_JSON, _NOSNIFF, *headers), newest.data)


def finish(reply: Reply, *, head: bool) -> Reply:
    """Add the body's length to a reply, and take the body off if only the head was asked for."""
    headers = reply.headers
    if reply.body:
        headers = (*headers, ("Content-Length", str(len(reply.body))))
    return Reply(reply.status, headers, b"" if head else reply.body)


def _fields(query: str, most: int) -> list[tuple[str, str]]:
    if not query:
        return []
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=most, errors="strict")
    except ValueError:
        raise ValueError(f"the query is not at most {most} fields of UTF-8") from None


def _jobs(fields: list[tuple[str, str]]) -> tuple[str, ...]:
    """Read which jobs a stream of many is of. Raises `ValueError`."""
    jobs = tuple(dict.fromkeys(check_job_id(value) for name, value in fields if name == "job"))
    if not 0 < len(jobs) <= MOST_JOBS:
        raise ValueError(f"a stream of many jobs is of job=, 1 to {MOST_JOBS} times")
    for name in ("from", "last_event_id"):
        if dict(fields).get(name):
            raise ValueError(f"{name}= is for the stream of one job: of many, the newest comes")
    return jobs


def _options(asked: Mapping[str, str], header: Callable[[str], str | None]) -> "StreamOptions":
    """Read where a stream starts. Raises `ValueError`."""
    cursor = header("last-event-id") or asked.get("last_event_id", "")
    Cursor.parse(cursor)
    start = asked.get("from", "")
    if start not in {"", "start"}:
        raise ValueError("from= takes start, nothing else")
    heartbeat = asked.get("heartbeat", "")
    if heartbeat not in {"", "event", "comment"}:
        raise ValueError("heartbeat= takes event or comment, nothing else")
    return {
        "last_event_id": cursor,
        "from_start": start == "start",
        "heartbeat_event": heartbeat == "event",
    }


def _allowed(method: str, *methods: str) -> Reply | None:
    if method in methods:
        return None
    reply = _error(405, f"only {' and '.join(methods)} here")
    return reply._replace(headers=(*reply.headers, ("Allow", ", ".join(methods))))


def _forged(header: Callable[[str], str | None]) -> bool:
    """Tell whether a page of another site sent this (OWASP: CSRF, Fetch Metadata and Origin)."""
    site = header("sec-fetch-site")
    if site is not None:
        return site == "cross-site"
    origin = header("origin")
    if origin is None:  # no browser
        return False
    hosts = {header("host"), header("x-forwarded-host")}
    return origin.partition("://")[2] not in hosts


def busy_reply(ask: Ask) -> Reply:
    """Answer a request for a stream for which there is no room."""
    return _later(ask, "there are too many streams, or the server is stopping")


def unavailable(ask: Ask) -> Reply:
    """Answer a request that can't be answered while the broker can't be reached."""
    return _later(ask, "the jobs can't be reached for the moment")


def _later(ask: Ask, reason: str) -> Reply:
    """Say *come back later*, so that an ``EventSource`` does."""
    if ask.what == "stream" and ask.takes_events:
        return Reply(200, STREAM_HEADERS, busy())
    reply = _error(503, reason)
    seconds = random.randint(1, 5)  # noqa: S311
    return reply._replace(headers=(*reply.headers, ("Retry-After", str(seconds))))


def _matches(condition: str | None, tag: str) -> bool:
    """Compare weakly, as RFC 9110, section 13.1.2, has it for If-None-Match."""
    if condition is None:
        return False
    tags = {part.strip().removeprefix("W/") for part in condition.split(",")}
    return tag in tags or "*" in tags


def _static(name: str, query: str, header: Callable[[str], str | None]) -> Reply:
    body, tag = _static_files()[name]
    kept = query == f"v={__version__}"
    headers: Headers = (
        ("Content-Type", _STATIC_TYPES[name.rpartition(".")[2]]),
        _NOSNIFF,
        ("ETag", tag),
        ("Cache-Control", "public, max-age=31536000, immutable" if kept else "no-cache"),
    )
    if _matches(header("if-none-match"), tag):
        return Reply(304, headers[2:])
    return Reply(200, headers, body)


@cache
def _static_files() -> dict[str, tuple[bytes, str]]:
    """Return the modules of the client by their names, each with its ETag."""
    found = {}
    for file in importlib.resources.files("sseprog").joinpath("static", "sseprog").iterdir():
        if file.name.rpartition(".")[2] in _STATIC_TYPES:
            body = file.read_bytes()
            found[file.name] = body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return found


def _error(status: int, reason: str) -> Reply:
    body = json.dumps({"error": reason}).encode() + b"\n"
    return Reply(status, (_JSON, _NOSNIFF, _NO_STORE), body)


NOT_FOUND: Final = _error(404, "there is no such job")
NO_ROUTE: Final = _error(404, "there is nothing here")
NOTHING_LEFT: Final = Reply(204, (_NO_STORE,))
