"""Read a job's states: from a hub of this process, or over HTTP from another's."""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpx

from .errors import BrokerUnavailable
from .hub import Hub
from .progress import TERMINAL

__all__ = ["Unreachable", "states_at", "states_of"]

State = dict[str, Any]

_PAUSE: Final = 1.0  # seconds before a new connection
_TERMINAL: Final = {"complete", "error"}


class Unreachable(Exception):
    """There is nothing to be read at a URL; the text says why."""


def states_at(url: str, stopping: threading.Event) -> Iterator[State]:
    """Yield the state that each event of the stream at ``url`` carries.

    After a cut, go on where it was. Ends with the job, or once ``stopping`` is set. Raises
    `Unreachable` for a stream that isn't there, or never was.
    """
    cursor = ""
    reached = False
    # Streams on this machine are not to be had by a proxy that the environment names.
    with httpx.Client(timeout=httpx.Timeout(10.0, read=60.0), trust_env=False) as client:
        while not stopping.is_set():
            headers = {"Accept": "text/event-stream"}
            if cursor:
                headers["Last-Event-ID"] = cursor
            try:
                with client.stream("GET", url, headers=headers) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    if response.is_server_error and reached:  # a proxy whose server restarts
                        stopping.wait(_PAUSE)
                        continue
                    kind = response.headers.get("content-type", "")
                    if response.status_code != httpx.codes.OK:
                        raise Unreachable(f"the stream can't be read: {response.status_code}")
                    if not kind.startswith("text/event-stream"):
                        raise Unreachable(f"that is no stream, but {kind or 'of no known type'}")
                    reached = True
                    served = False
                    for frame in _frames(response.iter_bytes()):
                        served = served or "data" in frame
                        cursor = frame.get("id", cursor)
                        if "data" in frame:
                            yield json.loads(frame["data"])
                        if frame.get("event") in _TERMINAL:
                            return
                if not served:  # there is no room for a stream
                    state = _snapshot(client, url)
                    yield state
                    if state["status"] in TERMINAL:
                        return
            except httpx.TransportError as error:  # as a browser does: come back
                if not reached:
                    raise Unreachable(f"the server can't be reached: {error}") from error
            except httpx.InvalidURL as error:
                raise Unreachable(f"that is no URL: {error}") from error
            stopping.wait(_PAUSE)


def _snapshot(client: httpx.Client, url: str) -> State:
    where = httpx.URL(url)
    answer = client.get(where.copy_with(path=where.path.removesuffix("/stream")))
    if answer.status_code != httpx.codes.OK:
        raise Unreachable(f"the job can't be read: {answer.status_code}")
    state: State = answer.json()
    return state


def states_of(hub: Hub, job_id: str) -> Iterator[State]:
    """Yield the state that each event of a job carries.

    Raises `JobNotFound`, and `BrokerUnavailable` if the broker doesn't answer at first.
    """
    cursor = ""
    while True:
        try:
            for frame in _frames(hub.stream(job_id, last_event_id=cursor)):
                cursor = frame.get("id", cursor)
                if "data" in frame:
                    yield json.loads(frame["data"])
                if frame.get("event") in _TERMINAL:
                    return
        except BrokerUnavailable:
            if not cursor:
                raise
        time.sleep(_PAUSE)


def _frames(chunks: Iterable[bytes]) -> Iterator[dict[str, str]]:
    """Split a stream into its frames, each by its fields; comments are left out."""
    buffer = b""
    for chunk in chunks:
        # At LF alone: JSON may hold U+2028, at which str.splitlines() splits as well.
        *frames, buffer = (buffer + chunk).split(b"\n\n")
        for frame in frames:
            lines = (line.partition(": ") for line in frame.decode().split("\n"))
            yield {field: value for field, _, value in lines if field}
