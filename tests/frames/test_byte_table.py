"""The same streams for Chromium's EventSource, Firefox's, and a parser by others."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from typing import Any

import pytest

from .byte_table import STREAMS, Seen, ours
from .table_page import TablePage

Parse = Callable[[list[bytes]], dict[str, Any]]

TYPES = ["message", "status", "progress", "complete", "error", "open", "heartbeat", "e", "test"]


def of_ours(events: list[tuple[str, str, str]]) -> list[tuple[Any, ...]]:
    """Take from the events what the table has of ours."""
    told = []
    for name, data, cursor in events:
        job = json.loads(data)
        told.append((name, job.get("status"), job.get("message"), cursor.rpartition("-")[2]))
    return told


@pytest.mark.parametrize("browser_name", ["chromium", "firefox"])
def test_a_browser_sees_what_the_standard_says(
    browser_name: str,
    show_in: Callable[[str, str], AbstractContextManager[None]],
    subtests: pytest.Subtests,
) -> None:
    by_us = ours()
    streams = [(each.data, each.content_type) for each in STREAMS.values()]
    streams += [(data, "text/event-stream; charset=utf-8") for data, _ in by_us.values()]
    # The last is none, by its type.
    streams.append((b"data:1\n\n", "text/x-bogus"))
    with closing(TablePage(streams, TYPES)) as page, show_in(browser_name, page.url):
        report = [[tuple(event) for event in events] for events in page.report()]

    for number, (name, stream) in enumerate(STREAMS.items()):
        with subtests.test(name):
            cursor, waited = page.again.get(number, ("", 0))
            expected = stream.deviating.get(browser_name, stream.seen)
            assert Seen(report[number], cursor) == expected
            if stream.retry:
                # Without one it would be three seconds, or five.
                assert stream.retry - 1 < waited < 2500
    for number, (name, (data, told)) in enumerate(by_us.items(), len(STREAMS)):
        with subtests.test(name):
            assert of_ours(report[number]) == told
            cursor, waited = page.again[number]
            assert cursor.rpartition("-")[2] == (told[-1][3] if told else "")
            [retry] = re.findall(rb"^retry: (\d+)$", data, re.MULTILINE)
            assert waited > int(retry) - 1
    assert report[-1] == []
    assert len(streams) - 1 not in page.again


def read(parse: Parse, slices: list[bytes]) -> tuple[list[tuple[str, str, str]], list[int]]:
    """Return the events as a browser tells them, with the id that lasts, and the retries."""
    cursor = ""
    events = []
    answer = parse(slices)
    for event in answer["events"]:
        cursor = event.get("id", cursor)
        events.append((event.get("event", "message"), event["data"], cursor))
    return events, answer["retries"]


@pytest.mark.parametrize("size", [1, 2, 1 << 20], ids=["bytes", "pairs", "whole"])
def test_the_parser_sees_what_the_standard_says(
    parse: Parse, subtests: pytest.Subtests, size: int
) -> None:
    def cut(data: bytes) -> list[bytes]:
        return [data[start : start + size] for start in range(0, len(data), size)]

    for name, stream in STREAMS.items():
        with subtests.test(name):
            events, retries = read(parse, cut(stream.data))
            expected = stream.deviating.get("parser", stream.seen)
            assert Seen(events) == replace(expected, then="")
            assert retries[-1:] == ([stream.retry] if stream.retry else [])
    for name, (data, told) in ours().items():
        with subtests.test(name):
            assert of_ours(read(parse, cut(data))[0]) == told
