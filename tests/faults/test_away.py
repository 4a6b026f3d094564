"""What begins, opens or ends while the broker is away, and is done when it is back."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from .scene import Scene, wait_until
from .services import PostgreSQL, Redis

each_server = pytest.mark.parametrize("url", ["redis", "postgresql"], indirect=True)

Freeze = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def freeze(url: str, request: pytest.FixtureRequest) -> Freeze:
    """Let the broker stand still."""
    if url.startswith("postgresql"):
        server: PostgreSQL = request.getfixturevalue("shared_postgresql")
        return server.frozen
    redis: Redis = request.getfixturevalue("redis")

    @contextmanager
    def frozen() -> Iterator[None]:
        redis.send(signal.SIGSTOP)
        yield
        redis.send(signal.SIGCONT)

    return frozen


@each_server
def test_jobs_begin_and_pages_open_later(url: str, tmp_path: Path, freeze: Freeze) -> None:
    new = ["new-0", "new-1", "new-2"]
    with Scene(url, tmp_path) as scene:
        first = scene.emitter
        scene.fault_begins()
        with freeze():
            scene.start_emitter(jobs=new)
            scene.wait_begun()  # for the work need not wait
            pages = [scene.fleet.join(job_id) for job_id in new for _ in range(4)]
            wait_until(lambda: all(page.connections > 1 for page in pages), "they come back")
        scene.fault_ends()
        first.ask("finish")
        wait_until(lambda: first.ended.keys() >= set(scene.job_ids), "the first jobs end")
        scene.finish()
        assert all(page.witness.ended for page in pages)
        scene.check()
        scene.check_leftovers()


@each_server
def test_jobs_end_and_are_seen_to_later(url: str, tmp_path: Path, freeze: Freeze) -> None:
    with Scene(url, tmp_path) as scene:
        scene.fault_begins()
        with freeze():
            scene.emitter.ask("finish")
            wait_until(lambda: scene.fleet.met["comment busy"], "pages are told to come later")
        scene.fleet.fault_ends()
        scene.finish()
        scene.check()
        scene.check_leftovers()
