"""What goes wrong between a page and its server, as things that are done to a `MoodyServer`."""

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from .moody_server import Mood, MoodyServer, busy, cut, hang, late, mute, reply, reset, swallow

__all__ = ["FIRST", "OUTAGES", "Case"]

Outage = Callable[["Case"], None]

LOGIN = reply(200, "<form>Who are you?</form>", Content_Type="text/html")
_ticks = count(1)


@dataclass
class Case:
    """A page that follows all jobs of a server, each of which reports the numbers from 1 to 90.

    An outage comes after 30, and has 31 to 60 reported in its midst by ``more()``; or it comes
    ``first``, before any event.
    """

    server: MoodyServer
    first: bool = False

    def run(self, outage: Outage, fate: str) -> Any:
        """Go through it; return what the page reports in the end."""
        server = self.server
        if self.first:
            server.lasting["ready"] = hang
        server.wait_for("ready", 1, 30)
        if self.first:
            outage(self)  # the page starts when its request is cut off
            server.wait_for("open", 1)  # far sooner than polling would try a stream again
            self.publish(1, 60)
        else:
            server.wait_for("open", 1)
            self.publish(1, 30)
            server.wait_for("told-30", 1)
            outage(self)
        if fate in {"every", "last"}:
            server.wait_for("told-60", 1, 30)
            self.publish(61, 90)
            self.complete()
        # A browser sends a request again whose connection was lost meanwhile.
        request = server.wait_for("report", 1, 30)[-1]
        return json.loads(request.body)

    def publish(self, first: int, last: int) -> None:
        """Report these numbers, the jobs in turn."""
        for number in range(first, last + 1):
            for job_id in self.server.logs:
                self.server.publish("progress", job_id, **report(number))

    def more(self) -> None:
        if not self.first:
            self.publish(31, 60)

    def complete(self) -> None:
        for job_id in self.server.logs:
            self.server.publish("complete", job_id, **report(100), status="completed")

    def next_streams(self, *moods: Mood) -> None:
        """Answer the next requests for streams so, and have 31 to 60 reported meanwhile."""
        self.server.moods["stream"] += moods
        self.server.cut_all()
        self.more()


def report(number: int) -> dict[str, Any]:
    """Fill in what a job reports; the time is newer than that of any other report."""
    at = datetime.fromtimestamp(next(_ticks) / 1000, UTC).isoformat(timespec="milliseconds")
    return {"progress": number, "updated_at": at}


def refused(seconds: float) -> Outage:
    def happen(case: Case) -> None:
        case.server.refuse()
        case.more()
        time.sleep(seconds)
        case.server.listen()

    return happen


def log_lost(case: Case) -> None:
    """Restart and forget: the jobs are found again, in a new incarnation of their logs."""
    case.server.refuse()
    case.server.epoch = "e-2"
    for log in case.server.logs.values():
        log.clear()
    case.publish(31, 31)
    case.server.listen()
    case.server.wait_for("stream", len(case.server.seen("stream")) + 1)
    case.publish(32, 60)


def all_answered(mood: Mood, seconds: float = math.inf) -> Outage:
    """Make an outage in which streams and snapshots are answered so, perhaps for ever."""

    def happen(case: Case) -> None:
        case.server.lasting |= {"stream": mood, "snapshot": mood}
        case.server.cut_all()
        case.more()
        if seconds < math.inf:
            time.sleep(seconds)
            case.server.lasting.clear()

    return happen


def streams_answered(*moods: Mood) -> Outage:
    """Make an outage of the next streams, while snapshots are as they should be."""
    return lambda case: case.next_streams(*moods)


def streams_never(mood: Mood) -> Outage:
    """Make an outage of all streams from now on."""

    def happen(case: Case) -> None:
        case.server.lasting["stream"] = mood
        case.server.cut_all()
        case.more()

    return happen


def ended_meanwhile(case: Case) -> None:
    """End the jobs while nobody listens: their streams have nothing left, and say so by a 204."""
    case.server.lasting |= {"stream": reply(204), "snapshot": reply(502)}
    case.server.cut_all()
    case.publish(31, 90)
    case.complete()
    del case.server.lasting["snapshot"]


async def half_closed(server: MoodyServer, request: Any, writer: asyncio.StreamWriter) -> None:
    """Begin an answer, and end in the midst of its head."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    await writer.drain()


# How a page gets over it: it has seen "every" report; the "last" ones, where snapshots, or the
# newest states of many jobs, skip some; or, once 30 have come, it has closed for the given reason.
OUTAGES: dict[str, tuple[Outage, str]] = {
    "a cut": (streams_answered(), "every"),
    "cuts in the middle of a frame": (streams_answered(cut(4), cut(3)), "every"),
    "resets": (streams_answered(reset(4), reset(0)), "every"),
    "a restart": (refused(0.3), "every"),
    "a restart of 2.5 s": (refused(2.5), "every"),
    "a restart that forgets": (log_lost, "every"),
    "500": (all_answered(reply(500), 1), "every"),
    "500 to streams only": (streams_answered(reply(500), reply(500)), "every"),
    "502 for 2 s": (all_answered(reply(502), 2), "every"),
    "503 that says when": (all_answered(reply(503, Retry_After="1"), 1), "every"),
    "429 that says when": (all_answered(reply(429, Retry_After="1"), 1), "every"),
    "204 too early": (streams_answered(reply(204)), "every"),
    "a page in place of all": (all_answered(LOGIN, 1.5), "every"),
    "no end of a head": (streams_answered(half_closed, half_closed), "every"),
    "a link that is half open": (streams_answered(mute), "every"),
    "no answer": (streams_answered(hang), "every"),
    "bytes held back for 2 s": (streams_answered(late(2)), "every"),
    "no room, twice": (streams_answered(busy, busy), "every"),
    "no room any more": (streams_never(busy), "last"),
    "500 to streams for good": (streams_never(reply(500)), "last"),
    "bytes held back for good": (streams_never(swallow), "last"),
    "the end, then 204": (ended_meanwhile, "ended"),
    "401": (all_answered(reply(401)), "denied"),
    "403": (all_answered(reply(403)), "denied"),
    "404": (all_answered(reply(404)), "gone"),
    "a redirect to a login page": (all_answered(reply(302, Location="/login")), "denied"),
}

# The same before the first event.
FIRST: dict[str, tuple[Outage, str]] = {
    "a port that is closed": (refused(2.5), "every"),
    "no end of a head": (streams_answered(half_closed), "every"),
    "no room": (streams_answered(busy), "every"),
    **{
        name: OUTAGES[name]
        for name in (
            "resets",
            "500",
            "502 for 2 s",
            "503 that says when",
            "204 too early",
            "a page in place of all",
            "a link that is half open",
            "no answer",
            "bytes held back for 2 s",
        )
    },
}
