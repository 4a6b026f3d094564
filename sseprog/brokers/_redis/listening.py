"""Listening: subscribe to what a process wants to know, and pass it on."""

import select
import time
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple, get_args

from redis.exceptions import ConnectionError as NoConnection

from sseprog._listener import Listener
from sseprog.store import Kind, Line

from .ear import PULSE, Ear
from .messages import Message
from .nodes import Nodes

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
    """One run of `Store.listen`."""

    def __init__(self, nodes: Nodes, suffix: str, listener: Listener) -> None:
        self._nodes = nodes
        self._suffix = suffix.encode()
        self._listener = listener
        self._poll = select.poll()
        self._ears: dict[int, Ear] = {}
        self._channels: dict[bytes, _Heard] = {}
        # What was asked and not acknowledged yet: a job may come and go and come meanwhile.
        self._coming: Counter[bytes] = Counter()
        self._going: Counter[bytes] = Counter()

    def run(self) -> None:
        """Listen until the listener is closed, or something fails."""
        listener = self._listener
        self._poll.register(listener.bell, select.POLLIN)
        self._follow()
        busy: set[int] = set()
        while not listener.closed:
            wait = 0 if busy else PULSE / 2 * 1000
            ready = {fd for fd, _ in self._poll.poll(wait)}
            if listener.bell.fileno() in ready:
                self._follow()
            now = time.monotonic()
            for fd in [fd for fd in self._ears if fd in ready or fd in busy]:
                messages, more = self._ears[fd].take()
                self._pass_on(messages)
                (busy.add if more else busy.discard)(fd)
            for ear in self._ears.values():
                ear.check(now)

    def _follow(self) -> None:
        """Subscribe to what has come to be wanted, and unsubscribe from what has gone."""
        self._listener.bell.clear()
        watch, unwatch, hold, let_go = self._listener.changes()
        new = [(self._events(job), _Heard(job, True)) for job in watch]
        new += [(self._cancel(job), _Heard(job, False)) for job in hold]
        old = [self._events(job) for job in unwatch]
        old += [self._cancel(job) for job in let_go]
        for channel in old:
            del self._channels[channel]
        self._going.update(old)
        self._say("UNSUBSCRIBE", old)
        self._channels.update(new)
        channels = [channel for channel, _ in new]
        self._coming.update(channels)
        self._say("SUBSCRIBE", channels)

    def _events(self, job_id: str) -> bytes:
        return job_key(job_id) + b":events" + self._suffix

    def _cancel(self, job_id: str) -> bytes:
        return job_key(job_id) + b":cancel" + self._suffix

    def _say(self, word: str, channels: list[bytes]) -> None:
        by_ear: dict[int, list[bytes]] = {}
        for channel in channels:
            by_ear.setdefault(self._ear(channel), []).append(channel)
        for fd, theirs in by_ear.items():
            ear = self._ears[fd]
            link = ear.link
            # In a Cluster a command may name channels of one slot only.
            step = 1 if link.sharded and link.clustered else _AT_ONCE
            whole = f"S{word}" if link.sharded else word
            ear.say((whole, *theirs[at : at + step]) for at in range(0, len(theirs), step))

    def _ear(self, channel: bytes) -> int:
        links = self._nodes.links
        # Without shards any server tells everything, so that one will do.
        link = links[0] if links and not links[0].sharded else self._nodes.of(channel)
        for fd, ear in self._ears.items():
            if ear.link is link:
                return fd
        ear = Ear(link)
        fd = ear.fileno()
        self._ears[fd] = ear
        self._poll.register(fd, select.POLLIN)
        return fd

    def _pass_on(self, messages: Iterable[Message]) -> None:
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
                ready += self._come(message[1])
            elif what in {b"sunsubscribe", b"unsubscribe"}:
                self._gone(message[1])
        if ready:
            self._listener.ready(ready)

    def _come(self, channel: bytes) -> list[str]:
        self._coming[channel] -= 1
        if self._coming[channel] > 0:  # it is left, and entered once more, in a moment
            return []
        del self._coming[channel]
        heard = self._channels.get(channel)
        return [heard.job_id] if heard is not None and heard.events else []

    def _gone(self, channel: bytes) -> None:
        if not self._going[channel]:  # its slot has moved to another server
            raise NoConnection("the server has ended a subscription")
        self._going[channel] -= 1
        if not self._going[channel]:
            del self._going[channel]
