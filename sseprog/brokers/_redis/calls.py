"""Calls of the script, many in one round trip."""

import importlib.resources
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha1
from typing import Any, Final, NamedTuple

from redis.exceptions import AskError, MovedError, NoScriptError, ResponseError

from sseprog.errors import BrokerUnavailable

from .address import Address, Node
from .failures import FAILURES, unavailable
from .nodes import Link, Nodes

__all__ = ["Call", "Calls"]

SCRIPT: Final = importlib.resources.files("sseprog.brokers").joinpath("redis.lua").read_bytes()
SHA: Final = sha1(SCRIPT, usedforsecurity=False).hexdigest()

_ROUNDS: Final = 4
"""How often what was sent to the wrong server, or to one without the script, is sent again."""
_TURN: Final = 5.0
"""Seconds to wait while the other thread uses the connection."""


class Call(NamedTuple):
    """A command, of which ``key`` tells which server it is for."""

    key: bytes
    parts: tuple[Any, ...]

    @classmethod
    def of_script(cls, keys: tuple[bytes, ...], *values: Any) -> "Call":
        """Return a call of the script."""
        return cls(keys[0], ("EVALSHA", SHA, len(keys), *keys, *values))


class Calls:
    """The connection for commands, which the writing and the reading thread share."""

    def __init__(self, address: Address) -> None:
        self._name = address.name
        self._nodes = Nodes(address, "sseprog-commands")
        self._lock = threading.Lock()
        self._failed: BrokerUnavailable | None = None

    def send(self, calls: Sequence[Call]) -> list[Any]:
        """Return the answers to all ``calls``, which are carried out in any order.

        Raises `BrokerUnavailable` if one has failed: others may have been carried out.
        """
        with self._turn():
            try:
                answers = self._send(calls)
            except FAILURES as error:
                self._failed = unavailable(self._name, error)
                self._nodes.drop()
                raise self._failed from error
            except BaseException:  # answers are under way that nobody will read
                self._nodes.drop()
                raise
            self._failed = None
            return answers

    def abandon(self) -> None:
        """Forget the connection, and a lock that nobody here would release."""
        self._lock = threading.Lock()
        self._failed = None
        self._nodes.drop()

    def close(self) -> None:
        """Close the connection."""
        with self._turn():
            self._nodes.drop()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        lock, failed = self._lock, self._failed
        if not lock.acquire(timeout=_TURN):
            raise BrokerUnavailable(f"{self._name}: the connection is busy")
        try:
            # Who has waited while the other found out need not find it out again.
            if self._failed is not None and self._failed is not failed:
                raise BrokerUnavailable(*self._failed.args)
            yield
        finally:
            lock.release()

    def _send(self, calls: Sequence[Call]) -> list[Any]:
        answers: list[Any] = [None] * len(calls)
        waiting = [_Sent(at, self._nodes.of(call.key), call.parts) for at, call in enumerate(calls)]
        for _ in range(_ROUNDS):
            again = []
            unloaded: dict[Node, Link] = {}
            for sent, answer in _exchange(waiting):
                answers[sent.at] = answer
                if isinstance(answer, NoScriptError):
                    unloaded[sent.link.node] = sent.link
                    again.append(sent)
                elif isinstance(answer, ResponseError) and (place := _elsewhere(answer)):
                    again.append(self._redirected(sent, *place))
            if not again:
                break
            for link in unloaded.values():
                link.wire.send_command("SCRIPT", "LOAD", SCRIPT)
                link.wire.read_response()
            waiting = again
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    def _redirected(self, sent: "_Sent", moved: bool, host: str, port: int) -> "_Sent":
        if moved:
            self._nodes.forget_slots()
        # A server that doesn't know its own name means the one that was asked.
        node = Node(host or sent.link.node.host, port)
        return sent._replace(link=self._nodes.at(node), asking=not moved)


class _Sent(NamedTuple):
    at: int
    link: Link
    parts: tuple[Any, ...]
    asking: bool = False


def _exchange(sents: Sequence[_Sent]) -> list[tuple[_Sent, Any]]:
    """Send all to their servers at once, then read what each says."""
    by_node: dict[Node, list[_Sent]] = {}
    for sent in sents:
        by_node.setdefault(sent.link.node, []).append(sent)
    for group in by_node.values():
        wire = group[0].link.wire
        commands: list[tuple[Any, ...]] = []
        for sent in group:
            if sent.asking:
                commands.append(("ASKING",))
            commands.append(sent.parts)
        # In one piece: after each send the thread may wait its turn to go on (the GIL).
        wire.send_packed_command([b"".join(wire.pack_commands(commands))])
    answers = []
    for group in by_node.values():
        wire = group[0].link.wire
        for sent in group:
            if sent.asking:
                wire.read_response()
            try:
                answers.append((sent, wire.read_response()))
            except ResponseError as error:
                answers.append((sent, error))
    return answers


def _elsewhere(error: ResponseError) -> tuple[bool, str, int] | None:
    """Return where a command is to go instead, and whether others of its slot are too.

    redis-py before version 8 knows these errors in its own client of a Cluster only.
    """
    if isinstance(error, AskError):  # or its child, MovedError
        return isinstance(error, MovedError), error.host, error.port
    word, _, place = str(error).partition(" ")
    if word not in {"ASK", "MOVED"}:
        return None
    host, _, port = place.partition(" ")[2].rpartition(":")
    return word == "MOVED", host, int(port)
