"""The README's first program, under uvicorn, and the bytes that it promises."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    readme = (ROOT / "README.md").read_text()
    program = re.search(r"^```python\n(# app\.py\n.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert program is not None
    (tmp_path / "app.py").write_text(program[1])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # Handed over, so that the port is ours before the server is up, and nobody polls for it.
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app:app", "--fd", str(listening.fileno())],
            cwd=tmp_path,
            pass_fds=[listening.fileno()],
        )
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait(timeout=10)


def test_the_first_program_sends_what_the_readme_shows(address: str) -> None:
    job_id = httpx.post(f"{address}/imports", timeout=30).json()["job_id"]
    with httpx.stream("GET", f"{address}/jobs/{job_id}/stream") as response:
        blocks = response.read().decode().split("\n\n")
    assert re.fullmatch(r"retry: \d+", blocks[0])
    events = [
        re.match(r"id: \w+-\d+\nevent: (\w+)\ndata: \{.*\}\Z", block) for block in blocks[1:-1]
    ]
    names = [event[1] for event in events if event is not None]
    assert len(names) == len(events)
    assert names[0] == "status"
    assert names[-1] == "complete"
    assert set(names[1:-1]) == {"progress"}
    assert '"message":"40 of 40"' in blocks[-2]


def test_the_page_finds_its_script(address: str) -> None:
    page = re.findall(
        r"^```html\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )[0]
    source = re.search(r'src="(/jobs/static/[^"]+)"', page)
    assert source is not None
    script = httpx.get(address + source[1], timeout=30)
    assert script.status_code == 200
    assert script.headers["content-type"].startswith("text/javascript")
    assert "job-progress" in script.text
