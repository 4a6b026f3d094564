"""Streams of bytes, and what everybody has to make of them by WHATWG HTML, section 9.2.6."""

from dataclasses import dataclass, field

from sseprog import Hub
from sseprog._event import HEARTBEAT, HEARTBEAT_EVENT, busy

__all__ = ["STREAMS", "Seen", "Stream", "ours"]

PLAIN = "text/event-stream"
LONG = b"x" * 2048


@dataclass(frozen=True)
class Seen:
    """Events as (type, data, last event id); then the id that a reconnection sends."""

    events: list[tuple[str, str, str]] = field(default_factory=list)
    then: str = ""


@dataclass(frozen=True)
class Stream:
    """``retry`` is how long a browser waits, in milliseconds, if the stream says it.

    ``deviating`` tells what one of them sees in place of ``seen``.
    """

    data: bytes
    seen: Seen
    retry: int | None = None
    content_type: str = PLAIN
    deviating: dict[str, Seen] = field(default_factory=dict)


def messages(*data: str) -> Seen:
    return Seen([("message", each, "") for each in data])


BOM = b"\xef\xbb\xbf"

STREAMS = {
    "a byte order mark is skipped, one": Stream(
        BOM + b"data:1\n\n" + BOM + b"data:2\n\ndata:3\n\n", messages("1", "3")
    ),
    "a second one is text": Stream(
        BOM + BOM + b"data:1\n\ndata:2\n\ndata:3\n\n", messages("2", "3")
    ),
    "comments are skipped": Stream(
        b"data:1\r:\0\n:\r\ndata:2\n:" + LONG + b"\rdata:3\n:data:fail\r:" + LONG + b"\ndata:4\n\n",
        messages("1\n2\n3\n4"),
    ),
    "an event that is cut off is dropped, and its id": Stream(
        b"id:1\ndata:one\n\nid:2\ndata:two\n", Seen([("message", "one", "1")], then="1")
    ),
    "data may be empty, and of several lines": Stream(
        b"data:\n\ndata\ndata\n\ndata:test\n\n", messages("", "\n", "test")
    ),
    "a block without data is no event": Stream(
        b"data:msg\ndata:msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\n"
        b"event:e\n\ndata:end\n\n",
        messages("msg\nmsg", "", "end"),
    ),
    "a name is of one event": Stream(
        b"event:status\ndata:1\n\ndata:2\n\n", Seen([("status", "1", ""), ("message", "2", "")])
    ),
    "an empty name is none": Stream(b"event: \ndata:1\n\nevent\ndata:2\n\n", messages("1", "2")),
    "an event may be named like the browser's own": Stream(
        b"event:error\ndata:1\n\nevent:open\ndata:2\n\n",
        Seen([("error", "1", ""), ("open", "2", "")]),
    ),
    "an id lasts": Stream(
        b"id:a-1\ndata:1\n\ndata:2\n\nid:a-2\n\ndata:3\n\n",
        Seen([("message", "1", "a-1"), ("message", "2", "a-1"), ("message", "3", "a-2")], "a-2"),
        # An id without data is lost on them. Each of our ids has data.
        deviating=dict.fromkeys(
            ("firefox", "parser"), Seen([("message", each, "a-1") for each in "123"], "a-1")
        ),
    ),
    "an empty id is none": Stream(
        b"id:a-1\ndata:1\n\nid:\ndata:2\n\n", Seen([("message", "1", "a-1"), ("message", "2", "")])
    ),
    "a bare id is none": Stream(
        b"id:a-1\ndata:1\n\nid\ndata:2\n\n", Seen([("message", "1", "a-1"), ("message", "2", "")])
    ),
    "an id is what stands there": Stream(
        b"data:1\nid:  a b: c\n\n", Seen([("message", "1", " a b: c")], then="a b: c")
    ),
    "an id with a NUL is none": Stream(
        b"id:hello\ndata:1\n\nid:x\0y\ndata:2\n\nid:\0\ndata:3\n\n",
        Seen([("message", each, "hello") for each in "123"], then="hello"),
        # Firefox loses an event, and takes the NUL that stands alone. We write none.
        deviating={"firefox": Seen([("message", "1", "hello"), ("message", "3", "\0")])},
    ),
    "NUL is text": Stream(b"data:\0\n\n\n\n", messages("\0")),
    "fields are parsed to the letter": Stream(
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n"
        b" data:32\ndata:4\n\n",
        messages("\0\n 2\n1\n3\n\n4"),
    ),
    "what is unknown is skipped": Stream(
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacomment\ndata:test\n\n",
        messages("test\n\ntest"),
    ),
    "one space is cut off": Stream(
        b"data:\ttest\rdata: \ndata:  test \n\n", messages("\ttest\n\n test ")
    ),
    "lines end three ways": Stream(
        b"data:test\r\ndata\ndata:test\r\n\rdata:2\r\rdata:3\r\n\r\n",
        messages("test\n\ntest", "2", "3"),
    ),
    "other line ends are text": Stream(
        "data:a\u2028b\u0085c\x0bd\x0ce\n\n".encode(), messages("a\u2028b\u0085c\x0bd\x0ce")
    ),
    "it is UTF-8 whatever it says": Stream(
        "data:ok…\n\ndata:\U0001f3ac\n\n".encode(),
        messages("ok…", "\U0001f3ac"),
        content_type="text/event-stream;charset=windows-1252",
        # It fails the connection. We say utf-8.
        deviating={"chromium": Seen()},
    ),
    "what is no UTF-8 is replaced": Stream(b"data:a\xffb\n\n", messages("a\ufffdb")),
    "parameters of the type don't matter": Stream(
        b"data:1\n\n", messages("1"), content_type="text/event-stream;x=bogus"
    ),
    "a retry is waited for": Stream(b"retry:900\ndata:1\n\n", messages("1"), 900),
    "a retry needs no event": Stream(b"retry: 900\n\n", messages(), 900),
    "a retry that is no number is none": Stream(
        b"retry:900\nretry:100x\nretry:-100\nretry:1.0\ndata:1\n\n", messages("1"), 900
    ),
}


# Of an event of ours: its type, the job's status and message, and the number in the id.
Told = tuple[str, str | None, str | None, str]


def ours() -> dict[str, tuple[bytes, list[Told]]]:
    """Have the hub write streams; beside each is what was reported."""
    odd = "größer\n\u2028\ufeff data: \U0001f3ac"
    hub = Hub(throttle=0, retry=0.8)
    try:
        ids = [hub.create(), hub.create()]
        live = hub.stream(ids)
        beginning = next(live)
        for job_id in ids:
            with hub.job(job_id) as job:
                job.update(50, stage="id: 1", message=odd, details={"text": "\0\r\n\r\x85"})
        one = b"".join(hub.stream(ids[0], from_start=True))
        late = b"".join(hub.stream(ids))
        joint = b"".join([beginning, *live])
    finally:
        hub.close()
    of_one: list[Told] = [
        ("status", "pending", "", "0"),
        ("progress", "running", "", "1"),
        ("progress", "running", odd, "2"),
        ("complete", "completed", odd, "3"),
    ]
    first, *others = [(*told[:3], "") for told in of_one]
    beat = ("heartbeat", None, None)
    return {
        "one job": (one, of_one),
        "one job with heartbeats": (
            HEARTBEAT_EVENT + one + HEARTBEAT + HEARTBEAT_EVENT,
            [(*beat, ""), *of_one, (*beat, "3")],
        ),
        "several jobs": (joint, [first, first, *others, *others]),
        "several jobs that have ended": (late, 2 * [("status", *others[-1][1:]), others[-1]]),
        "no room": (busy(), []),
    }
