"""Streams of jobs in a Cluster that loses a master."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sseprog import Hub
from sseprog.errors import BrokerUnavailable

from .redis_server import RedisServer, cluster, wait_until

JOBS = 24


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[RedisServer]]:
    """A Cluster whose masters go on without the others."""
    with cluster(tmp_path, "--cluster-require-full-coverage", "no") as running:
        yield running


class Viewer:
    """Somebody who watches a job, and reads all that comes."""

    def __init__(self, hub: Hub, job_id: str) -> None:
        self.frames = b""
        self.stream = hub.stream(job_id)
        self.frames += next(self.stream)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for frames in self.stream:
            self.frames += frames


def test_a_master_that_dies_ends_the_streams_of_its_own_jobs_only(
    nodes: list[RedisServer],
) -> None:
    url = f"redis+cluster://127.0.0.1:{nodes[0].port}"
    dead = nodes[2]
    with closing(Hub(url)) as makes:
        ids = [makes.create() for _ in range(JOBS)]
    with dead.client() as client:
        theirs = {key.decode()[9:-1] for key in client.keys("sseprog:{*}")}
    others = sorted(set(ids) - theirs)
    assert theirs
    assert others
    with closing(Hub(url)) as serves, closing(Hub(url, throttle=0)) as works:
        viewers = {job_id: Viewer(serves, job_id) for job_id in ids}
        dead.kill()
        for job_id in theirs:
            viewers[job_id].thread.join(10)
            assert not viewers[job_id].thread.is_alive(), "its stream has ended"
        for job_id in others:
            assert viewers[job_id].thread.is_alive(), "its stream goes on"
        late = Viewer(serves, others[0])
        for job_id in others:
            with works.job(job_id) as job:
                job.update(50)
        for viewer in [late, *(viewers[job_id] for job_id in others)]:
            viewer.thread.join(10)
            assert b"event: complete" in viewer.frames
        for job_id in theirs:
            assert b"event: complete" not in viewers[job_id].frames
        dead.start()  # with nothing in it
        with closing(Hub(url, throttle=0)) as anew:
            for job_id in theirs:
                wait_until(lambda job_id=job_id: _made(anew, job_id), "it is made anew")
                viewer = _watch_again(serves, job_id)
                with anew.job(job_id):
                    pass
                viewer.thread.join(10)
                assert b"event: complete" in viewer.frames


def _watch_again(hub: Hub, job_id: str) -> Viewer:
    """Come back until it is heard, as a page does."""
    for _ in range(10):
        try:
            return Viewer(hub, job_id)
        except BrokerUnavailable as error:
            failure = error
    raise failure


def _made(hub: Hub, job_id: str) -> bool:
    try:
        hub.create(job_id)
    except ValueError:  # it is already
        return True
    return False
