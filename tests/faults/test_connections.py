"""What breaks with networks: between a process and its broker, between a page and its server."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .proxy import Proxy
from .scene import Scene

SECONDS = 6.0

Fault = Callable[[Proxy], AbstractContextManager[None]]


def cut(proxy: Proxy) -> AbstractContextManager[None]:
    return proxy.cutting(20_000)


def delay(proxy: Proxy) -> AbstractContextManager[None]:
    return proxy.delaying(0.4)


def hold(proxy: Proxy) -> AbstractContextManager[None]:
    return proxy.holding()


def swallow(proxy: Proxy) -> AbstractContextManager[None]:
    return proxy.swallowing()


each_fault = pytest.mark.parametrize("fault", [cut, delay, hold, swallow])


@pytest.fixture
def proxies() -> Iterator[Callable[[int], Proxy]]:
    """Proxies to ports."""
    with ExitStack() as stack:
        yield lambda port: stack.enter_context(Proxy(port, seed=port))


def suffer(scene: Scene, proxies: list[Proxy], fault: Fault) -> None:
    """Let all of them be at fault for a while."""
    scene.fault_begins()
    with ExitStack() as stack:
        for proxy in proxies:
            stack.enter_context(fault(proxy))
        time.sleep(SECONDS)


@each_fault
@pytest.mark.parametrize("url", ["redis", "postgresql"], indirect=True)
def test_between_processes_and_their_broker(
    url: str, tmp_path: Path, fault: Fault, proxies: Callable[[int], Proxy]
) -> None:
    port = urlsplit(url).port
    assert port is not None
    ways = [proxies(port) for _ in range(3)]  # each process has its own
    urls = [url.replace(f":{port}", f":{way.port}") for way in ways]
    with Scene(url, tmp_path, emitter_url=urls[0], web_urls=urls[1:]) as scene:
        suffer(scene, ways, fault)
        scene.go_on()
        assert fault is not cut or all(way.cuts for way in ways)


@each_fault
def test_between_pages_and_their_server(
    url: str, tmp_path: Path, fault: Fault, proxies: Callable[[int], Proxy]
) -> None:
    ways: list[Proxy] = []

    def via(port: int) -> int:
        ways.append(proxies(port))
        return ways[-1].port

    with Scene(url, tmp_path, via=via) as scene:
        suffer(scene, ways, fault)
        scene.go_on()
        assert fault is not cut or all(way.cuts > 20 for way in ways)
