"""The project behind a real server, and a client that reads its streams event by event."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from .cluster import Cluster

__all__ = ["KINDS", "Events", "Served", "database_of"]

PROJECT = Path(__file__).parent / "project"

_UVICORN = ("uvicorn", "--log-level", "info", "--no-access-log", "--port", "{port}")
_GTHREAD = ("--worker-class", "gthread", "--threads", "12", "--no-control-socket")
_GUNICORN = ("gunicorn", *_GTHREAD, "--bind", "127.0.0.1:{port}")

KINDS: Mapping[str, tuple[str, ...]] = {
    "gunicorn": (*_GUNICORN, "under_test.servers:wsgi"),
    "uvicorn": (*_UVICORN, "under_test.servers:asgi"),
    "with_streams": (*_UVICORN, "under_test.servers:streaming"),
}


def environment_of(database: Mapping[str, Any]) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "UNDER_TEST_DATABASE": json.dumps(database),
        "PYTHONWARNINGS": "default::ResourceWarning",
    }


def database_of(cluster: Cluster | None, folder: Path) -> dict[str, Any]:
    """Make a database with the people of seed.py; return what ``DATABASES`` has of it."""
    database: dict[str, Any] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(folder / "db.sqlite3"),
        "OPTIONS": {"timeout": 20},
    }
    if cluster is not None:
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": cluster.port,
            "NAME": "postgres",
            "USER": "postgres",
        }
    database["ATOMIC_REQUESTS"] = True
    command = [sys.executable, "-m", "under_test.seed"]
    subprocess.run(command, env=environment_of(database), check=True, timeout=60)
    return database


class Events:
    """A stream that is being read."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._chunks = response.iter_raw()
        self._unread = b""

    def next(self) -> tuple[str, dict[str, Any]]:
        """Return the next event's name and data; fail after 5 s, which is what httpx waits."""
        while True:
            block, blank_line, rest = self._unread.partition(b"\n\n")
            if not blank_line:
                self._unread += next(self._chunks)
                continue
            self._unread = rest
            fields = dict(line.split(": ", 1) for line in block.decode().splitlines())
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])


class Served:
    """A server process."""

    def __init__(self, kind: str, database: str, settings: dict[str, Any], log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"{kind} on {database}"
        if database == "postgresql":
            settings = {**settings, "OPTIONS": {"application_name": self.name}}
        self._log = log
        command = [part.replace("{port}", str(self.port)) for part in KINDS[kind]]
        # One has it first, the others last: both hold nothing back.
        gzip = "first" if database == "sqlite" else "last"
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**environment_of(settings), "UNDER_TEST_GZIP": gzip},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, self._log.read_text()
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.05)

    @contextmanager
    def client(self, user: str | None = None) -> Iterator[httpx.Client]:
        """Give a client, who has logged in by the form if he is somebody."""
        headers = {"Accept-Encoding": "gzip"}
        with httpx.Client(base_url=self.url, timeout=5, headers=headers, trust_env=False) as client:
            if user is not None:
                client.get("/login/")
                form = {
                    "username": user,
                    "password": user,
                    "csrfmiddlewaretoken": client.cookies["csrftoken"],
                }
                assert client.post("/login/", data=form).headers["Location"] == "/figures"
            yield client

    def get(self, path: str) -> httpx.Response:
        """Ask as nobody, in a connection of its own; not through a proxy of the machine's."""
        return httpx.get(self.url + path, timeout=5, trust_env=False)

    def figures(self) -> dict[str, int]:
        """Return what under_test.urls.figures has counted."""
        counted: dict[str, int] = self.get("/figures").json()
        return counted

    def drive(self, action: str, job_id: str, **options: object) -> None:
        """Have a job created, reported or finished."""
        assert self.get(f"/{action}/{job_id}?{urlencode(options)}").status_code == 200

    def stop(self) -> None:
        """Tell it to end, and see to it that it does."""
        self._process.terminate()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()

    def complaints(self) -> str:
        """Return what it logged, if it complained."""
        text = self._log.read_text()
        words = ("Traceback", "ResourceWarning", "never awaited", "Exception ignored")
        return text if any(word in text for word in words) else ""

    def _answers(self) -> bool:
        try:
            return self.get("/figures").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def events(client: httpx.Client, job_id: str) -> Iterator[Events]:
    """Read a job's stream."""
    headers = {"Accept": "text/event-stream"}
    with client.stream("GET", f"/jobs/{job_id}/stream", headers=headers) as response:
        yield Events(response)
