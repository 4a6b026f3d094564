"""Connections: to one server, to the master that Sentinels name, or to those of a Cluster."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from redis.crc import key_slot
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ResponseError

from .address import Address, Node, Wire
from .failures import FAILURES

__all__ = ["Link", "Nodes"]

_PATIENCE: Final = 4.0
"""Seconds after which no further server is tried: whoever waits is to be told."""


@dataclass(frozen=True, slots=True)
class Link:
    """A connection, and what the other end has said of itself."""

    node: Node
    wire: Wire
    clustered: bool
    sharded: bool
    """Whether messages go by the slot of their channel; always so since version 7."""
    role: str


class Nodes:
    """The connections that one thread at a time uses: one to each server that it needs."""

    def __init__(self, address: Address, name: str, seeds: Iterable[Node] = ()) -> None:
        self._address = address
        self._name = name
        self._links: dict[Node, Link] = {}
        self._slots: list[tuple[int, Node]] = []
        self._seeds = tuple(seeds)
        self._known: tuple[Node, ...] = ()

    @property
    def links(self) -> list[Link]:
        """The connections there are."""
        return list(self._links.values())

    def of(self, key: bytes) -> Link:
        """Return the connection to whoever has a key or a channel; connect if there is none."""
        node = self.place(key)
        if node is None:
            raise NoConnection(f"no server of the Cluster has slot {key_slot(key)}")
        return self.at(node)

    def place(self, key: bytes) -> Node | None:
        """Return who has a key or a channel, if anybody; connect to who knows, if need be."""
        if not self._slots:
            if self._links and not self._address.cluster:
                return next(iter(self._links))
            first = self._first()
            if not first.clustered:
                return first.node
            self._read_slots(first)
        slot = key_slot(key)
        return next((node for last, node in self._slots if slot <= last), None)

    def at(self, node: Node) -> Link:
        """Return the connection to a server; connect if there is none."""
        link = self._links.get(node)
        return link if link is not None else self._connect(node)

    def forget_slots(self) -> None:
        """Ask again who has which slots, before the next key."""
        self._slots = []

    def drop(self) -> None:
        """Close all connections; in a process that was forked, without a word to the server."""
        self._slots = []
        links, self._links = self._links, {}
        for link in links.values():
            link.wire.disconnect()  # which shuts down nothing in another process

    def _first(self) -> Link:
        if self._address.service is not None:
            link = self._connect(self._master(self._address.service))
            if link.role not in {"master", ""}:
                self.drop()
                raise NoConnection(f"{link.node} is no master any more")
            return link
        for link in self.links:
            return link
        return _first_of((*self._seeds, *self._address.nodes, *self._known), self._connect)

    def _master(self, service: str) -> Node:
        def ask(sentinel: Node) -> Node:
            wire = self._address.connection(sentinel, self._name, sentinel=True)
            try:
                wire.connect()
                wire.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
                found = wire.read_response()
            finally:
                wire.disconnect()
            if not found:
                raise NoConnection(f"the Sentinel {sentinel} knows no master {service!r}")
            return Node(found[0].decode(), int(found[1]))

        return _first_of(self._address.nodes, ask)

    def _connect(self, node: Node) -> Link:
        wire = self._address.connection(node, self._name)
        try:
            wire.connect()
            told = _hello(wire)
        except BaseException:
            wire.disconnect()
            raise
        major = told.get(b"version", b"0").partition(b".")[0]
        link = Link(
            node=node,
            wire=wire,
            clustered=told.get(b"mode") == b"cluster",
            sharded=major.isdigit() and int(major) >= 7,
            role=told.get(b"role", b"").decode(),
        )
        self._links[node] = link
        return link

    def _read_slots(self, seed: Link) -> None:
        seed.wire.send_command("CLUSTER", "SLOTS")
        found = []
        for _, last, (host, port, *_), *_ in sorted(seed.wire.read_response()):
            # A server that doesn't know its own name leaves it out.
            name = seed.node.host if not host or host == b"?" else host.decode()
            found.append((int(last), Node(name, int(port))))
        if not found:
            raise NoConnection(f"{seed.node} knows of no slots: the Cluster is not set up")
        self._slots = found
        self._known = tuple({node for _, node in found})
        for node in set(self._links) - set(self._known):
            self._links.pop(node).wire.disconnect()


Found = TypeVar("Found")


def _hello(wire: Wire) -> dict[bytes, Any]:
    wire.send_command("HELLO")
    try:
        told = wire.read_response()
    except ResponseError:  # of those that are older than Redis 6, or only talk like it
        return {}
    return dict(zip(told[::2], told[1::2], strict=True))


def _first_of(nodes: Iterable[Node], ask: Callable[[Node], Found]) -> Found:
    give_up_at = time.monotonic() + _PATIENCE
    failure: BaseException = NoConnection("no server is named")
    for node in dict.fromkeys(nodes):
        try:
            return ask(node)
        except FAILURES as error:
            failure = error
        if time.monotonic() > give_up_at:
            break
    raise failure
