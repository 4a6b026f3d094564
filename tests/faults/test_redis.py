"""What breaks with Redis: the server, its memory, its connections, its role."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sseprog import Hub

from .scene import Scene, wait_until
from .services import PERSISTENCE, Redis, cluster, redis_server, repeat, sentinels


@pytest.mark.parametrize("persistence", PERSISTENCE)
def test_a_server_that_is_killed_and_comes_back(persistence: str, tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "redis", *PERSISTENCE[persistence]) as server,
        Scene(server.url, tmp_path) as scene,
    ):
        for away in (0.0, 4.5):
            scene.fault_begins()
            server.kill()
            time.sleep(away)
            server.start()
            scene.fault_ends()
        scene.go_on()


def pause(server: Redis) -> None:
    server.ask("CLIENT", "PAUSE", 8000, "ALL")
    time.sleep(8)


def freeze(server: Redis) -> None:
    server.send(signal.SIGSTOP)
    time.sleep(8)
    server.send(signal.SIGCONT)


def cut_every_second(server: Redis) -> None:
    repeat(lambda: server.ask("CLIENT", "KILL", "SKIPME", "yes"), 6, 1.0)


def forget_all(server: Redis) -> None:
    repeat(lambda: server.ask("FLUSHALL"), 3, 1.0)


def forget_scripts(server: Redis) -> None:
    repeat(lambda: server.ask("SCRIPT", "FLUSH"), 3, 0.3)


def have_no_memory(server: Redis) -> None:
    server.ask("CONFIG", "SET", "maxmemory", "1mb")
    time.sleep(4)
    server.ask("CONFIG", "SET", "maxmemory", "0")


def evict(server: Redis) -> None:
    """Lose some keys and keep others, as a server does that makes room."""
    chance = random.Random(1)  # noqa: S311
    for _ in range(6):
        keys = sorted(server.ask("KEYS", "sseprog:*"))
        server.ask("DEL", *chance.sample(keys, len(keys) // 2))
        time.sleep(0.5)


def take_no_writes(server: Redis) -> None:
    """Follow a master that isn't there, and then nobody."""
    server.ask("REPLICAOF", "127.0.0.1", "1")
    time.sleep(4)
    server.ask("REPLICAOF", "NO", "ONE")


FAULTS = [
    pause,
    freeze,
    cut_every_second,
    forget_all,
    forget_scripts,
    have_no_memory,
    evict,
    take_no_writes,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_server(
    redis: Redis, tmp_path: Path, fault: Callable[[Redis], None]
) -> None:
    with Scene(redis.url, tmp_path) as scene:
        scene.fault_begins()
        fault(redis)
        scene.go_on()


def test_a_server_that_goes_back_to_the_same_snapshot_again_and_again(
    redis: Redis, tmp_path: Path
) -> None:
    with Scene(redis.url, tmp_path) as scene:
        redis.ask("SAVE")
        for _ in range(3):
            scene.wait_news()
            scene.fault_begins()
            redis.kill()
            redis.start()
            scene.fault_ends()
        scene.go_on()


@pytest.mark.parametrize("forgets", [False, True], ids=["at once", "after it was told anew"])
def test_a_server_that_goes_back_to_before_its_jobs_were_begun(
    redis: Redis, tmp_path: Path, forgets: bool
) -> None:
    hub = Hub(redis.url)
    scene = Scene(redis.url, tmp_path)
    for job_id in scene.job_ids:
        hub.create(job_id)
    hub.close()
    redis.ask("SAVE")
    with scene:
        scene.fault_begins()
        if forgets:
            redis.ask("FLUSHALL")
            scene.fault_ends()
            scene.fault_begins()
        redis.kill()
        redis.start()
        scene.go_on()


def test_without_a_fault_every_client_sees_every_event(redis: Redis, tmp_path: Path) -> None:
    with Scene(redis.url, tmp_path) as scene:
        scene.go_on()


def test_a_master_whose_replica_takes_over(tmp_path: Path) -> None:
    with sentinels(tmp_path / "redis") as watched, Scene(watched.url, tmp_path) as scene:
        scene.fault_begins()
        watched.master.kill()
        scene.go_on()


def test_a_master_that_wakes_up_after_its_replica_took_over(tmp_path: Path) -> None:
    with sentinels(tmp_path / "redis") as watched, Scene(watched.url, tmp_path) as scene:
        scene.fault_begins()
        watched.master.send(signal.SIGSTOP)
        wait_until(lambda: watched.replica.ask("ROLE")[0] == b"master", "the replica takes over")
        watched.master.send(signal.SIGCONT)
        wait_until(lambda: watched.master.ask("ROLE")[0] == b"slave", "the master is none any more")
        scene.go_on()


@pytest.mark.parametrize("persistence", ["none", "rdb"])
def test_an_end_that_the_server_forgets_is_told_again(persistence: str, tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "redis", *PERSISTENCE[persistence]) as server,
        Scene(server.url, tmp_path) as scene,
    ):
        scene.finish()
        server.kill()
        server.start()
        late = [scene.fleet.join(job_id) for job_id in scene.job_ids for _ in scene.webs]
        scene.wait_clients()
        assert all(client.witness.ended for client in late)
        scene.check()
        scene.check_leftovers()


def test_a_cluster_that_loses_a_master(tmp_path: Path) -> None:
    with cluster(tmp_path / "redis") as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        with Scene(f"redis+cluster://{hosts}", tmp_path, jobs=9) as scene:
            scene.fault_begins()
            nodes[0].kill()
            scene.go_on()


def test_a_job_that_is_silent_meanwhile_does_not_use_numbers_twice(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Its renewal finds out, and no report is on its way that would begin another log."""
    with closing(Hub(redis.url, lease=0.6, throttle=0)) as hub:
        job_id = hub.create()
        first, _ = hub.broker.newest(job_id)
        redis.ask("SAVE")
        with hub.job(job_id) as job:
            for percent in range(5):
                job.update(percent)
            wait_until(lambda: hub.snapshot(job_id).progress == 4, "all is told")
            redis.kill()
            redis.start()
            wait_until(lambda: "is told anew" in caplog.text, "the holder finds out")
            job.update(50)
            with closing(Hub(redis.url)) as other:
                wait_until(lambda: other.snapshot(job_id).progress == 50, "it goes on")
                assert other.broker.newest(job_id)[0] != first
