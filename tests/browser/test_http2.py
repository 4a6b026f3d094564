"""A page that came over HTTP/2, where a browser opens as many streams as it likes."""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config
from playwright.sync_api import Browser

from .conftest import FOLLOWING
from .real_server import RealServer


@pytest.fixture
def secure(real: RealServer, tmp_path: Path) -> Iterator[str]:
    """Serve what ``real`` serves over HTTP/2 as well; return its URL there."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-keyout {key} -out {certificate} -subj /CN=localhost".split(),
        check=True,
        capture_output=True,
        timeout=30,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    config = Config()
    port = listening.getsockname()[1]
    config.bind = [f"fd://{listening.detach()}"]
    config.certfile, config.keyfile = str(certificate), str(key)
    config.graceful_timeout = 0.1
    config.errorlog = None
    loop, over = asyncio.new_event_loop(), asyncio.Event()
    served = serve(real.serve, config, shutdown_trigger=over.wait)  # type: ignore[arg-type]
    thread = threading.Thread(target=loop.run_until_complete, args=(served,))
    thread.start()
    yield f"https://127.0.0.1:{port}"
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
    assert not thread.is_alive(), "hypercorn did not end"
    loop.close()


def test_four_hundred_jobs_take_seven_streams_and_no_polling(
    browser: Browser, real: RealServer, secure: str, eventually: Callable[..., None]
) -> None:
    jobs = [f"job-{number}" for number in range(400)]
    for job_id in jobs:
        real.begin(job_id)
    real.pages["/"] = "<title>following</title><script type=module src=/page.js></script>"
    real.pages["/page.js"] = FOLLOWING
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(secure)
    page.wait_for_function("window.ready")
    assert page.evaluate("performance.getEntries()[0].nextHopProtocol") == "h2"
    page.evaluate("(jobs) => jobs.forEach((id) => follow(id))", jobs)
    page.wait_for_function("Object.values(links).every((link) => link.at(-1) === 'open')")
    assert len(real.streams) == 7
    assert page.evaluate("fetch('/').then(({ status }) => status)") == 200
    for job_id in jobs:
        real.update(job_id, 50)
    page.wait_for_function("Object.values(seen).every((log) => log.at(-1)[1] === 50)")
    for job_id in jobs:
        real.complete(job_id)
    page.wait_for_function("Object.values(links).every((link) => link.at(-1) === 'closed: ended')")
    assert page.evaluate("Object.values(links).flat().filter((link) => /^poll/.test(link))") == []
    assert all("/stream" in asked for asked in real.asked)
    eventually(lambda: real.streams == [])
    context.close()
