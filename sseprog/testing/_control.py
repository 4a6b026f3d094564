"""In the application under test: do with its hub what the contract, in another process, asks."""

import asyncio
import gc
import json
import logging
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from .._access import Authorize
from ..errors import JobCancelled, JobEnded, JobFailed
from ..hub import Hub
from ..job import Job

__all__ = ["AUTHORIZES", "CONTROL", "authorize_under_test", "remote_control"]

CONTROL: Final = "SSEPROG_TEST_CONTROL"
"""The variable that says at which loopback port the contract listens."""

AUTHORIZES: Final = "SSEPROG_TEST_AUTHORIZES"
"""The variable that asks for an ``authorize`` of the contract's."""


def authorize_under_test() -> Authorize | None:
    """Return what an adapter under test takes as ``authorize``: mostly nothing."""
    return _by_job_id if os.environ.get(AUTHORIZES) else None


def _by_job_id(request: Any, job_id: str, owner: str | None) -> Any:
    """Decide, and misbehave, as the job's id says. It works with any framework's request."""
    if job_id.startswith("raises"):
        raise ConnectionError("the database at 10.0.0.7 is down")
    if job_id.startswith("truthy"):
        return f"a page that {owner} has to log in at"
    return job_id.startswith("allowed")


def remote_control(hub: Hub) -> None:
    """Let the contract drive ``hub``; where none runs this process, do nothing.

    Call it once, when the application is made. The processes that are forked from this one are
    driven too, each by itself.
    """
    port = os.environ.get(CONTROL)
    if port is None:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("sseprog %(levelname)s: %(message)s"))
    logger = logging.getLogger("sseprog")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False

    def start() -> None:
        # Connected here, so that the thread does nothing but wait while the server forks.
        connection = socket.socket()
        connection.connect(("127.0.0.1", int(port)))
        name = "sseprog-remote-control"
        threading.Thread(target=_obey, args=(hub, connection), name=name, daemon=True).start()

    start()
    os.register_at_fork(after_in_child=start)


def _obey(hub: Hub, connection: socket.socket) -> None:
    """Carry out one JSON line after the other, and answer each with one."""
    desk = Desk(hub)
    with (
        suppress(ConnectionError),  # the contract is over
        connection,
        connection.makefile("rw", encoding="utf-8", newline="\n") as lines,
    ):
        lines.write(f"{os.getpid()}\n")
        lines.flush()
        for line in lines:
            name, arguments = json.loads(line)
            answer: dict[str, Any]
            try:
                answer = {"result": getattr(desk, name)(**arguments)}
            except Exception as error:
                answer = {"error": type(error).__name__, "text": str(error)}
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


class Desk:
    """What can be asked for. Arguments and results are JSON."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._created: list[str] = []
        self._held: dict[str, Job] = {}

    def create(self, job_id: str, owner: str | None = None) -> None:
        """Make a pending job."""
        self._hub.create(job_id, owner=owner)
        self._created.append(job_id)

    def begin(self, job_id: str) -> None:
        """Enter ``with hub.job(job_id)``."""
        job = self._hub.job(job_id)
        job.__enter__()
        self._held[job_id] = job

    def update(self, job_id: str, **state: Any) -> None:
        """Report, in the block."""
        self._held[job_id].update(**state)

    def count(self, job_id: str, first: int, last: int) -> None:
        """Report each percentage from ``first`` to ``last``."""
        for percent in range(first, last + 1):
            self._held[job_id].update(percent)

    def complete(self, job_id: str) -> None:
        """Leave the block."""
        self._held.pop(job_id).__exit__(None, None, None)

    def fail(self, job_id: str, text: str) -> None:
        """Leave the block by `JobFailed`."""
        self._leave(job_id, JobFailed(text))

    def stop(self, job_id: str) -> bool:
        """Tell whether the work is to stop, and if so leave the block as one does then."""
        asked = self._held[job_id].cancelled
        if asked:
            self._leave(job_id, JobCancelled("asked to"))
        return asked

    def end_all(self) -> None:
        """Bring every job to an end, so that its streams end."""
        for job_id in list(self._held):
            self._leave(job_id, JobFailed("the test is over"))
        for job_id in self._created:
            with suppress(JobEnded, LookupError):
                self._hub.cancel(job_id)
        self._created.clear()

    def state(self, job_id: str) -> dict[str, Any]:
        """Return the newest state and its cursor."""
        epoch, newest = self._hub.broker.newest(job_id)
        state: dict[str, Any] = json.loads(newest.data)
        return {**state, "epoch": epoch, "cursor": f"{epoch}-{newest.seq}"}

    def ticket(self, job_id: str, ttl: float) -> str:
        """Return a ticket for a job."""
        return self._hub.ticket(job_id, ttl)

    def drain(self) -> None:
        """Do what a signal does."""
        self._hub.drain()

    def streams(self) -> int:
        """Tell how many streams are open."""
        return self._hub.streams

    def counts(self) -> dict[str, int]:
        """Count what a stream may leave behind in this process."""
        gc.collect()
        kinds = [type(thing) for thing in gc.get_objects()]
        return {
            "threads": threading.active_count(),
            "files": _entries("/proc/self/fd"),
            "threads of the system": _entries("/proc/self/task"),
            "tasks": sum(issubclass(kind, asyncio.Task) for kind in kinds),
            "greenlets": sum(kind.__name__.lower() == "greenlet" for kind in kinds),
            "streams": sum(kind.__module__ == "sseprog._streams" for kind in kinds),
        }

    def _leave(self, job_id: str, error: Exception) -> None:
        with suppress(JobEnded):
            self._held.pop(job_id).__exit__(type(error), error, None)


def _entries(folder: str) -> int:
    """Count what is in a folder of Linux's /proc; 0 elsewhere."""
    path = Path(folder)
    return len(os.listdir(path)) if path.is_dir() else 0
