"""The example: ffmpeg on two workers, watched through two web servers."""

import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from sseprog.testing._server import free_port

from .conftest import HERE, Workers, wait_until

PROGRAM = HERE.parents[1] / "examples/transcode/run.py"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "in.mp4"
    source = "testsrc2=size=640x360:rate=25:duration=20"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-preset", "ultrafast"]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def running(workers: Workers, redis_url: str, video: Path) -> Any:
    port = free_port(1)
    process = workers.start(PROGRAM, video, f"{redis_url}/2", str(port), ready="Ctrl-C ends it")
    process.addresses = [f"http://127.0.0.1:{number}" for number in (port, port + 1)]

    def all_answer() -> bool:
        assert process.poll() is None, workers.logs()
        return all(answers(address) for address in process.addresses)

    wait_until(all_answer, 30, what="they don't answer")
    return process


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def newest_job(address: str) -> str:
    found = re.search(r'src="/jobs/([\w-]+)/stream"', httpx.get(address, timeout=30).text)
    assert found
    return found[1]


def state(address: str, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{address}/jobs/{job_id}", timeout=30).json()
    return found


def stream(address: str, job_id: str) -> str:
    with httpx.stream("GET", f"{address}/jobs/{job_id}/stream", timeout=60) as response:
        return response.read().decode()


def test_both_servers_show_the_same_events_of_a_job_that_one_of_them_has_started(
    running: Any,
) -> None:
    first, second = running.addresses
    httpx.post(first, timeout=30)
    job_id = newest_job(second)
    with ThreadPoolExecutor() as pool:
        texts = list(pool.map(lambda address: stream(address, job_id), (first, second)))
    seen = [re.findall(r"^(?:id|event): .+$", text, re.MULTILINE) for text in texts]
    for events in seen:
        assert "event: progress" in events
        assert events[-1] == "event: complete"
    assert seen[0][-2:] == seen[1][-2:]
    assert state(first, job_id) == state(second, job_id)


def test_a_job_is_cancelled_through_the_other_server(running: Any) -> None:
    first, second = running.addresses
    httpx.post(first, timeout=30)
    job_id = newest_job(first)
    wait_until(lambda: state(first, job_id)["status"] == "running", 30)
    assert httpx.post(f"{second}/jobs/{job_id}/cancel", timeout=30).status_code == 202
    wait_until(lambda: state(first, job_id)["status"] == "cancelled")


def test_ctrl_c_ends_all_its_processes(running: Any) -> None:
    httpx.post(running.addresses[0], timeout=30)
    job_id = newest_job(running.addresses[0])
    wait_until(lambda: state(running.addresses[1], job_id)["stage"].startswith("transcoding"))
    children = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(running.pid)], text=True)
    running.send_signal(signal.SIGINT)
    running.wait(20)
    for pid in map(int, children.split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
