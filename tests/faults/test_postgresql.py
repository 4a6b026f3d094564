"""What breaks with PostgreSQL: the server, its sessions."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .scene import Scene
from .services import PostgreSQL, repeat


def restart_fast(server: PostgreSQL) -> None:
    repeat(lambda: (server.stop("fast"), server.start()), 2, 1.0)


def crash(server: PostgreSQL) -> None:
    server.stop("immediate")
    time.sleep(4)
    server.start()


def cut_every_second(server: PostgreSQL) -> None:
    repeat(server.cut_all, 6, 1.0)


def freeze(server: PostgreSQL) -> None:
    with server.frozen():
        time.sleep(8)


def take_no_writes(server: PostgreSQL) -> None:
    server.set("default_transaction_read_only", "on")
    time.sleep(4)
    server.set("default_transaction_read_only", "off")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("fault", [restart_fast, crash, cut_every_second, freeze, take_no_writes])
def test_a_fault_of_the_server(
    url: str,
    shared_postgresql: PostgreSQL,
    tmp_path: Path,
    fault: Callable[[PostgreSQL], None],
) -> None:
    with Scene(url, tmp_path) as scene:
        scene.fault_begins()
        fault(shared_postgresql)
        scene.go_on()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_without_a_fault_every_client_sees_every_event(url: str, tmp_path: Path) -> None:
    with Scene(url, tmp_path) as scene:
        scene.go_on()
