"""Listening: subscribe to what a process wants to know, and pass it on."""

import math
import random
import select
import time
from collections.abc import Iterable
from typing import Final, NamedTuple, get_args

from redis.exceptions import ConnectionError as NoConnection

from sseprog._listener import Listener
from sseprog.store import Kind, Line

from .address import Address, Node
from .dial import Dial
from .ear import PULSE, Ear
from .failures import FAILURES, unavailable
from .messages import Message
from .nodes import Link, Nodes

__all__ = ["KINDS", "Listening", "job_key"]

_AT_ONCE: Final = 500
"""Channels in one command: a thousand jobs are two commands, and neither takes a server long."""
KINDS: Final[dict[bytes, Kind]] = {kind.encode(): kind for kind in get_args(Kind)}


def job_key(job_id: str) -> bytes:
    """Return the key of a job, whose braces make its log and its channels neighbours of it."""
    return b"sseprog:{%b}" % job_id.encode()


class _Heard(NamedTuple):
    job_id: str
    events: bool


class Listening:
    """One run of `Store.listen`.

    A connection that is lost takes along its own channels only: they wait until somebody is found
    who has them. If it was the only one, that is the end of the run.
    """

    def __init__(self, address: Address, suffix: str, listener: Listener) -> None:
        self._address = address
        self._suffix = suffix.encode()
        self._listener = listener
        self._poll = select.poll()
        self._ears: dict[Node, Ear] = {}
        self._nodes: Nodes | None = None  # who knows which server has a channel
        self._channels: dict[bytes, _Heard] = {}
        self._places: dict[bytes, Ear] = {}  # where they were asked for
        self._waiting: dict[bytes, None] = {}  # the others
        self._failure: BaseException | None = None  # why some wait
        self._dial: Dial | None = None
        self._dial_at = self._say_at = -math.inf

    def run(self) -> None:
        """Listen until the listener is closed, or nothing is heard any more."""
        listener = self._listener
        self._poll.register(listener.bell, select.POLLIN)
        self._follow()
        busy: set[Ear] = set()
        while not listener.closed:
            self._connect()
            wait = 0 if busy else PULSE / 2 * 1000
            ready = {fd for fd, _ in self._poll.poll(wait)}
            if listener.bell.fileno() in ready:
                self._follow()
                busy.intersection_update(self._ears.values())  # one may have been lost by that
            now = time.monotonic()
            for ear in list(self._ears.values()):
                try:
                    if ear.fileno() in ready or ear in busy:
                        messages, more = ear.take()
                        (busy.add if more else busy.discard)(ear)
                        self._pass_on(ear, messages)
                    ear.check(now)
                except FAILURES as error:
                    busy.discard(ear)
                    self._lose(ear, error)

    def drop(self) -> None:
        """Close all connections; in a process that was forked, without a word to the server."""
        if self._dial is not None:
            self._dial.drop()
        for ear in self._ears.values():
            ear.link.wire.disconnect()

    def _follow(self) -> None:
        """Subscribe to what has come to be wanted, and unsubscribe from what has gone."""
        self._listener.bell.clear()
        watch, unwatch, hold, let_go = self._listener.changes()
        leaving: dict[Ear, list[bytes]] = {}
        for channel in (*map(self._events, unwatch), *map(self._cancel, let_go)):
            del self._channels[channel]
            self._waiting.pop(channel, None)
            if (ear := self._places.pop(channel, None)) is not None:
                leaving.setdefault(ear, []).append(channel)
        for ear, channels in leaving.items():
            ear.going.update(channels)
            self._say(ear, "UNSUBSCRIBE", channels)
        new = {self._events(job): _Heard(job, True) for job in watch}
        new |= {self._cancel(job): _Heard(job, False) for job in hold}
        self._channels |= new
        self._enter(new)

    def _events(self, job_id: str) -> bytes:
        return job_key(job_id) + b":events" + self._suffix

    def _cancel(self, job_id: str) -> bytes:
        return job_key(job_id) + b":cancel" + self._suffix

    def _enter(self, channels: Iterable[bytes]) -> None:
        """Subscribe where there is a connection; the others wait for one."""
        entering: dict[Ear, list[bytes]] = {}
        for channel in channels:
            if (ear := self._ear(channel)) is None:
                self._waiting[channel] = None
            else:
                self._places[channel] = ear
                entering.setdefault(ear, []).append(channel)
        for ear, theirs in entering.items():
            ear.coming.update(theirs)
            self._say(ear, "SUBSCRIBE", theirs)

    def _ear(self, channel: bytes) -> Ear | None:
        first = next(iter(self._ears.values()), None)
        if first is None or not _is_apart(first.link):
            return first
        node = self._nodes.place(channel) if self._nodes is not None else None
        return self._ears.get(node) if node is not None else None

    def _say(self, ear: Ear, word: str, channels: list[bytes]) -> None:
        # In a Cluster a command may name channels of one slot only.
        step = 1 if _is_apart(ear.link) else _AT_ONCE
        whole = f"S{word}" if ear.link.sharded else word
        try:
            ear.say((whole, *channels[at : at + step]) for at in range(0, len(channels), step))
        except FAILURES as error:
            self._lose(ear, error)

    def _lose(self, ear: Ear, error: BaseException) -> None:
        """Let what was heard there wait; raise if that was all that is heard."""
        if self._ears.pop(ear.link.node, None) is None:
            return
        self._poll.unregister(ear)
        ear.link.wire.disconnect()
        if not self._ears:
            raise error
        lost = [channel for channel, place in self._places.items() if place is ear]
        for channel in lost:
            del self._places[channel]
            self._waiting[channel] = None
        self._failure = error
        self._dial_at = time.monotonic() + random.uniform(0.05, 0.5)  # noqa: S311
        self._say_at = -math.inf

    def _connect(self) -> None:
        """Have connections made to where channels wait for one, and say that they wait."""
        now = time.monotonic()
        if self._dial is not None and self._dial.ended:
            dial, self._dial = self._dial, None
            self._take_up(dial)
        if not self._waiting:
            self._failure = None
        elif self._dial is None and now >= self._dial_at:
            bell = self._listener.bell
            self._dial = Dial(self._address, list(self._waiting), list(self._ears), bell.ring)
        if self._failure is not None and now >= self._say_at:
            self._say_at = now + PULSE / 2
            waiting = [self._channels[channel] for channel in self._waiting]
            if unheard := [heard.job_id for heard in waiting if heard.events]:
                failure = unavailable(self._address.name, self._failure)
                self._listener.unheard(unheard, failure)

    def _take_up(self, dial: Dial) -> None:
        for link in dial.nodes.links:
            if link in dial.links:
                ear = self._ears[link.node] = Ear(link)
                self._poll.register(ear, select.POLLIN)
            else:  # it was asked who has what
                link.wire.disconnect()
        if dial.failure is not None:
            if not self._ears:
                raise dial.failure
            self._failure = dial.failure
            self._dial_at = time.monotonic() + random.uniform(0.5, 1.0)  # noqa: S311
        if dial.found:
            self._nodes = dial.nodes
        waiting, self._waiting = self._waiting, {}
        self._enter(waiting)

    def _pass_on(self, ear: Ear, messages: Iterable[Message]) -> None:
        news, channels = self._listener.news, self._channels
        ready = []
        for message in messages:
            what = message[0]
            if what in {b"smessage", b"message"}:
                heard = channels.get(message[1])
                if heard is None:  # the last of who has just gone
                    continue
                if heard.events:
                    epoch, seq, kind, data = message[2].split(b" ", 3)
                    news(heard.job_id, epoch.decode(), int(seq), Line(KINDS[kind], data))
                else:
                    self._listener.asked(heard.job_id)
            elif what in {b"ssubscribe", b"subscribe"}:
                ready += self._come(ear, message[1])
            elif what in {b"sunsubscribe", b"unsubscribe"}:
                self._gone(ear, message[1])
        if ready:
            self._listener.ready(ready)

    def _come(self, ear: Ear, channel: bytes) -> list[str]:
        ear.coming[channel] -= 1
        if ear.coming[channel] > 0:  # it is left, and entered once more, in a moment
            return []
        del ear.coming[channel]
        heard = self._channels.get(channel)
        here = self._places.get(channel) is ear
        return [heard.job_id] if here and heard is not None and heard.events else []

    def _gone(self, ear: Ear, channel: bytes) -> None:
        if not ear.going[channel]:  # its slot has moved to another server
            raise NoConnection("the server has ended a subscription")
        ear.going[channel] -= 1
        if not ear.going[channel]:
            del ear.going[channel]


def _is_apart(link: Link) -> bool:
    """Tell whether each server tells of its own slots only."""
    return link.sharded and link.clustered
