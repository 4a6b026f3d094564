"""What breaks with processes: those that work on jobs, and those that show them."""

import json
import signal
import time
from pathlib import Path

from .conftest import each_broker
from .scene import LEASE, Scene, wait_until


def see_all_lost(scene: Scene) -> None:
    """Wait until everybody has seen each job lost, once, and whoever comes later sees it too."""
    scene.wait_clients()
    late = [scene.fleet.join(job_id) for job_id in scene.job_ids for _ in scene.webs]
    scene.wait_clients()
    for client in scene.fleet.clients:
        witness = client.witness
        assert witness.retold == 0
        state = json.loads(witness.final)
        assert (state["status"], state["details"]["code"]) == ("lost", "lost")
        assert "stalled" in witness.statuses or client in late
    assert {client.witness.events for client in late} == {2}, "status, and the end"


@each_broker
def test_an_emitter_that_is_killed_has_stalled_and_then_lost_its_jobs(
    url: str, tmp_path: Path
) -> None:
    with Scene(url, tmp_path) as scene:
        scene.fault_begins()
        scene.emitter.kill()
        killed_at = time.monotonic()
        see_all_lost(scene)
        assert time.monotonic() - killed_at < 3 * LEASE + 3
        scene.check()
        scene.check_leftovers()


@each_broker
def test_an_emitter_that_wakes_up_after_its_jobs_were_lost_is_refused(
    url: str, tmp_path: Path
) -> None:
    with Scene(url, tmp_path) as scene:
        scene.fault_begins()
        with scene.emitter_frozen():
            time.sleep(3 * LEASE)
        wait_until(lambda: len(scene.emitter.ended) == len(scene.job_ids), "all jobs are refused")
        assert {said["raised"] for said in scene.emitter.ended.values()} == {"JobEnded"}
        see_all_lost(scene)
        scene.lost_allowed = True
        scene.check()
        scene.check_leftovers()


@each_broker
def test_an_emitter_that_has_stalled_goes_on(url: str, tmp_path: Path) -> None:
    with Scene(url, tmp_path) as scene:
        scene.fault_begins()
        with scene.emitter_frozen():
            wait_until(
                lambda: all("stalled" in c.witness.statuses for c in scene.fleet.clients),
                "all pages say that it has stalled",
                2 * LEASE,
            )
        scene.go_on()


@each_broker
def test_pages_of_a_web_process_that_is_killed_move_to_another(url: str, tmp_path: Path) -> None:
    with Scene(url, tmp_path) as scene:
        for web in (*scene.webs, *scene.webs):
            scene.fault_begins()
            web.kill()
            scene.fault_ends()
            web.start()
            web.wait()
        scene.go_on()


@each_broker
def test_pages_of_a_web_process_that_is_restarted_miss_nothing(url: str, tmp_path: Path) -> None:
    with Scene(url, tmp_path) as scene:
        for web in scene.webs:
            scene.fault_begins()
            web.send(signal.SIGTERM)
            web.process.wait(5)
            web.kill()
            scene.fault_ends()
            web.start()
            web.wait()
        scene.go_on()


@each_broker
def test_a_job_that_is_taken_up_again_elsewhere_is_the_newer_ones(url: str, tmp_path: Path) -> None:
    with Scene(url, tmp_path) as scene:
        first = scene.emitter
        scene.start_emitter()
        scene.wait_begun()
        wait_until(lambda: len(first.ended) == len(scene.job_ids), "the first is told")
        assert {said["raised"] for said in first.ended.values()} == {"JobEnded"}
        scene.lost_allowed = True
        scene.go_on()
