"""What the listening thread does with connections: without servers, which are stood in for."""

import select
import socket
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as NoConnection

from sseprog._listener import Bell
from sseprog.brokers._redis import listening
from sseprog.brokers._redis.address import Node


class Ear:
    """A connection to one of a Cluster's servers; the first breaks when something is said to it."""

    def __init__(self, port: int, bell: Bell) -> None:
        wire = SimpleNamespace(disconnect=lambda: None)
        node = Node("localhost", port)
        self.link = SimpleNamespace(node=node, wire=wire, sharded=True, clustered=True)
        self.coming: Counter[bytes] = Counter()
        self.going: Counter[bytes] = Counter()
        self.socket, self.other = socket.socketpair()
        self._bell = bell

    def fileno(self) -> int:
        return self.socket.fileno()

    def say(self, commands: object) -> None:
        raise NoConnection("it is away")

    def take(self) -> tuple[list[Any], bool]:
        self.socket.recv(1)
        self._bell.ring()  # somebody comes
        return [], True

    def check(self, now: float) -> None:
        pass


class Listener:
    """Somebody comes when the bell is rung for the second time."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.closes_at = time.monotonic() + 1
        self.looks = self.rings = 0

    @property
    def closed(self) -> bool:
        self.looks += 1
        return time.monotonic() > self.closes_at

    def changes(self) -> tuple[set[str], set[str], set[str], set[str]]:
        self.rings += 1
        return ({"a"} if self.rings == 2 else set()), set(), set(), set()

    def news(self, *values: object) -> None:
        pass

    def ready(self, job_ids: object) -> None:
        pass

    def unheard(self, job_ids: object, error: object) -> None:
        pass


def test_a_connection_that_was_busy_and_is_lost_is_waited_for_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dial = SimpleNamespace(ended=False, drop=lambda: None)
    monkeypatch.setattr(listening, "Dial", lambda *values: dial)
    listener: Any = Listener()
    address: Any = SimpleNamespace(name="redis")
    run: Any = listening.Listening(address, "", listener)
    ears = [Ear(1, listener.bell), Ear(2, listener.bell)]
    for ear in ears:
        run._ears[ear.link.node] = ear
        run._poll.register(ear, select.POLLIN)
    run._nodes = SimpleNamespace(place=lambda channel: ears[0].link.node)
    ears[0].other.send(b"x")
    run.run()
    run.drop()
    assert list(run._ears.values()) == ears[1:]
    assert listener.looks < 20
    for ear in ears:
        ear.socket.close()
        ear.other.close()
    listener.bell.close()
