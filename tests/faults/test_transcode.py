"""A broker that stops while a real transcode runs: the transcode does not notice."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from sseprog.testing._server import free_port

from .client import Fleet
from .invariants import differences
from .scene import HEARTBEAT, LEASE, Process, Web, wait_until
from .services import PostgreSQL, Redis

AWAY = 8.0


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something that takes some seconds to transcode."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    source = "testsrc2=size=854x480:rate=30:duration=30"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-preset", "ultrafast", path]
    subprocess.run(command, check=True, timeout=60)
    return path


@contextmanager
def redis_frozen(server: Redis) -> Iterator[None]:
    server.send(signal.SIGSTOP)
    yield
    server.send(signal.SIGCONT)


def frozen(request: pytest.FixtureRequest, url: str) -> AbstractContextManager[None]:
    """Stop the broker of a URL for a while."""
    if url.startswith("redis"):
        redis: Redis = request.getfixturevalue("redis")
        return redis_frozen(redis)
    server: PostgreSQL = request.getfixturevalue("shared_postgresql")
    return server.frozen()


@pytest.mark.parametrize("url", ["redis", "postgresql"], indirect=True)
@pytest.mark.timeout(120)
def test_a_transcode_does_not_notice_that_its_broker_stands_still(
    url: str, clip: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = {"lease": LEASE, "heartbeat": HEARTBEAT, "retry": 0.3}
    web = Web(tmp_path, "web", {"url": url, "port": free_port(), "settings": settings})
    work = Process(
        tmp_path,
        "transcode",
        "transcode.py",
        {
            "url": url, "job_id": "video", "source": os.fspath(clip),
            "target": os.fspath(tmp_path / "hls"), "settings": settings,
        },
    )  # fmt: skip
    fleet = Fleet([web.port], ["video"], 10, heartbeat=HEARTBEAT)
    try:
        web.wait()
        assert work.process.stdout is not None
        assert work.process.stdout.readline() == "created\n", work.log
        fleet.start()
        wait_until(lambda: all(client.witness.events for client in fleet.clients), "pages open")
        assert work.process.stdin is not None
        work.process.stdin.write("go\n")
        work.process.stdin.flush()
        wait_until(lambda: fleet.events >= 3 * len(fleet.clients), "the transcode runs")
        with frozen(request, url):
            time.sleep(AWAY)
        out, _ = work.process.communicate(timeout=60)
        assert work.process.returncode == 0, work.log
        wait_until(lambda: not fleet.left, f"all pages see the end: {fleet.complaints}")
        last = json.loads(out)
        assert last["status"] == "completed"
        assert (tmp_path / "hls" / "master.m3u8").exists()
        for client in fleet.clients:
            assert differences(json.loads(client.witness.final), last) == []
        assert fleet.complaints == []
        assert work.complaints == []
    finally:
        fleet.stop()
        work.kill()
        web.kill()
