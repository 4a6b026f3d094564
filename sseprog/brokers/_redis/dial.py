"""Connecting to who has some channels, while others are listened to."""

import threading
from collections.abc import Callable, Collection

from redis.exceptions import ConnectionError as NoConnection

from .address import Address, Node
from .failures import FAILURES
from .nodes import Link, Nodes

__all__ = ["Dial"]


class Dial:
    """Look for the servers of some channels, and connect to those that nobody is connected to.

    It does so in a thread of its own: to find out that one of them is mute takes seconds. ``done``
    is called there at the end, and before that nobody else uses what is found.
    """

    def __init__(
        self,
        address: Address,
        channels: Collection[bytes],
        connected: Collection[Node],
        done: Callable[[], None],
    ) -> None:
        self.nodes = Nodes(address, "sseprog-listener", connected)
        self.links: list[Link] = []
        self.found = False  # who has which channels, so that `nodes` needn't ask any more
        self.failure: BaseException | None = None
        self.ended = False
        self._channels = channels
        self._connected = connected
        self._done = done
        self._dropped = False
        self._thread = threading.Thread(target=self._run, name="sseprog-dial", daemon=True)
        self._thread.start()

    def drop(self) -> None:
        """Have it end soon, and close what was connected."""
        self._dropped = True
        self._thread.join()
        self.nodes.drop()

    def _run(self) -> None:
        try:
            self._connect()
        except Exception as error:  # whoever takes it up raises it
            self.failure = error
        self.ended = True
        self._done()

    def _connect(self) -> None:
        nodes = self.nodes
        wanted = {nodes.place(channel) for channel in self._channels}
        self.found = True
        if nodes.links and not nodes.links[0].sharded:
            wanted = {nodes.links[0].node}  # without shards any server tells everything
        for node in wanted.difference(self._connected):
            if self._dropped:
                return
            try:
                if node is None:
                    raise NoConnection("no server of the Cluster has some of the slots")
                self.links.append(nodes.at(node))
            except FAILURES as error:
                self.failure = error
