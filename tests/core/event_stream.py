"""An independent reader of event streams: WHATWG HTML, sections 9.2.5 and 9.2.6, to the letter.

It shares nothing with sseprog, and takes its bytes in slices of any size.
"""

import codecs
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Seen:
    """An event as a browser would dispatch it."""

    name: str
    data: str
    last_event_id: str

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.data)
        return state

    @property
    def seq(self) -> int:
        return int(self.last_event_id.rpartition("-")[2])


@dataclass
class EventStreamParser:
    """Feed it bytes; ``events`` are what was dispatched, ``comments`` what was not."""

    events: list[Seen] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    retry: list[int] = field(default_factory=list)
    last_event_id: str = ""
    _line: str = ""
    _after_cr: bool = False
    _id: str = ""
    _name: str = ""
    _data: str = ""

    def __post_init__(self) -> None:
        # utf-8-sig takes the one byte order mark off that the standard takes off. Strict, where
        # a browser would put U+FFFD: sseprog has no business in sending anything but UTF-8.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("strict")

    def feed(self, chunk: bytes) -> None:
        for character in self._decoder.decode(chunk):
            was_after_cr, self._after_cr = self._after_cr, character == "\r"
            if character == "\n" and was_after_cr:
                continue
            if character in "\r\n":
                line, self._line = self._line, ""
                self._take(line)
            else:
                self._line += character

    def _take(self, line: str) -> None:
        if not line:
            self._dispatch()
            return
        if line.startswith(":"):
            self.comments.append(line[1:])
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry.append(int(value))

    def _dispatch(self) -> None:
        self.last_event_id = self._id
        name, data = self._name, self._data
        self._name = self._data = ""
        if data:
            self.events.append(Seen(name or "message", data.removesuffix("\n"), self._id))


def parsed(chunks: Iterable[bytes]) -> EventStreamParser:
    parser = EventStreamParser()
    for chunk in chunks:
        parser.feed(chunk)
    return parser


def events(*chunks: bytes) -> list[Seen]:
    return parsed(chunks).events
