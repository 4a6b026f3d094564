"""What all adapters do with a request, in threads and in coroutines."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ._access import Access, Authorize
from ._http import (
    NOT_FOUND,
    NOTHING_LEFT,
    STREAM_HEADERS,
    Ask,
    Incoming,
    Reply,
    answer,
    busy_reply,
    finish,
    parse,
    unavailable,
)
from ._signals import drain_on_signals
from ._streams import AsyncStream, SyncStream
from .errors import BrokerUnavailable, JobNotFound
from .hub import Hub, StreamOptions

__all__ = ["Adapter"]

logger = logging.getLogger("sseprog")

S = TypeVar("S", AsyncStream, SyncStream)

_PROBE: Final = 1.0
"""Seconds between heartbeats where only a write can tell that the client has left."""

_ONE_THREAD: Final = (
    "sseprog: streams are refused, and pages ask for snapshots instead: this server has one "
    "thread, which a stream would hold. Under gunicorn, use --worker-class gthread --threads 16, "
    "or gevent"
)
_NOT_SHARED: Final = (
    "sseprog: this server has several processes, but the broker keeps jobs in one: whoever asks "
    "another finds none. Use one worker with many threads, or a broker that processes share, such "
    "as sqlite:///jobs.db or redis://localhost"
)
_FULL: Final = (
    "sseprog: all places for streams are taken, and pages ask for snapshots until one is free. "
    "More threads for the server are more places"
)


class Adapter:
    """Answer requests for a hub's jobs: the routes of protocol.md, section 1.

    ``user_of(request)`` gives the id of the user that a request is from, if there is one, and
    ``authorize(request, job_id, owner)``, if given, decides who may watch. What they raise is a
    refusal, and logged; but for exceptions of the kinds in ``passing``, the framework's own
    answers, which pass through.
    """

    def __init__(
        self,
        hub: Hub,
        authorize: Authorize | None = None,
        *,
        user_of: Callable[[Any], str | None],
        passing: tuple[type[Exception], ...] = (),
    ) -> None:
        if not isinstance(hub, Hub):
            raise TypeError(f"an adapter takes a Hub, not {type(hub).__name__}")
        self.hub = hub
        self._user_of = user_of
        self._access = Access(hub, authorize, user_of=user_of, passing=passing)
        self._warned: set[str] = set()

    def answer(self, request: object, incoming: Incoming) -> Reply | SyncStream:
        """Answer a request in its thread: with a whole reply, or a stream to be sent."""
        ask = self.decide(request, incoming)
        return ask if isinstance(ask, Reply) else self.open(ask)

    async def answer_async(self, request: object, incoming: Incoming) -> Reply | AsyncStream:
        """Answer a request in the event loop; otherwise as `answer`."""
        ask = _parsed(incoming)
        if isinstance(ask, Reply):
            return ask
        try:
            if not await self._load(ask):
                return finish(NOT_FOUND, head=ask.head)
            allowed = True
            for job_id in ask.job_ids:
                allowed = allowed and (
                    self._has_ticket(ask, job_id)
                    or await self._access.allows_async(request, job_id)
                )
            await self._load(ask)  # that may have taken long
        except BrokerUnavailable:
            return finish(unavailable(ask), head=ask.head)
        if ask.what == "cancel" and self.hub.broker.shared:  # which waits for the broker
            settled = await asyncio.to_thread(self._settle, ask, request, incoming, allowed)
        else:
            settled = self._settle(ask, request, incoming, allowed)
        return settled if isinstance(settled, Reply) else self.open_async(settled)

    def decide(self, request: object, incoming: Incoming) -> Reply | Ask:
        """Answer a request in its thread; return what it asks for if that is a stream it may see.

        For frameworks that decide in a thread and stream in an event loop.
        """
        ask = _parsed(incoming)
        if isinstance(ask, Reply):
            return ask
        if incoming.processes and not self.hub.broker.shared:
            self._warn_once(_NOT_SHARED)
        try:
            allowed = all(
                self._has_ticket(ask, job_id) or self._access.allows(request, job_id)
                for job_id in ask.job_ids
            )
        except BrokerUnavailable:
            return finish(unavailable(ask), head=ask.head)
        return self._settle(ask, request, incoming, allowed)

    def open(self, ask: Ask) -> Reply | SyncStream:
        """Open the stream that `decide` has allowed, or return the reply that stands for it."""
        reply = self._open(ask, self.hub.stream, SyncStream)
        if isinstance(reply, SyncStream) and ask.incoming.connection is not None:
            ask.incoming.connection.limit_writes(self.hub.settings.send_timeout)
        return reply

    def open_async(self, ask: Ask) -> Reply | AsyncStream:
        """Do the same in the event loop."""
        return self._open(ask, self.hub.astream, AsyncStream)

    def _settle(self, ask: Ask, request: object, incoming: Incoming, allowed: bool) -> Reply | Ask:
        """Answer what was asked, once it is known whether that is allowed; leave streams."""
        if not allowed:
            return finish(NOT_FOUND, head=ask.head)
        if ask.what == "stream":
            self._add_options(ask.options, request, incoming)
            return ask
        try:
            return finish(answer(self.hub, ask), head=ask.head)
        except JobNotFound:  # its time to live ended just now
            return finish(NOT_FOUND, head=ask.head)
        except BrokerUnavailable:
            return finish(unavailable(ask), head=ask.head)

    def _open(self, ask: Ask, open_stream: Callable[..., object], kind: type[S]) -> Reply | S:
        drain_on_signals(self.hub)
        try:
            stream = open_stream(ask.jobs, **ask.options)
        except JobNotFound:
            return finish(NOT_FOUND, head=ask.head)
        except BrokerUnavailable:
            return finish(unavailable(ask), head=ask.head)
        if not isinstance(stream, kind):
            if ask.incoming.threads == 0:  # not full, nor draining: unable
                self._warn_once(_ONE_THREAD)
            elif ask.incoming.threads is not None and not self.hub.draining:
                self._warn_once(_FULL)
            return finish(busy_reply(ask), head=ask.head)
        if stream.subscription.ended:
            stream.close()
            return NOTHING_LEFT
        if ask.head:
            stream.close()
            return Reply(200, STREAM_HEADERS)
        return stream

    def _add_options(self, options: StreamOptions, request: object, incoming: Incoming) -> None:
        options["threads"] = incoming.threads
        options["connection"] = incoming.connection
        if incoming.connection is not None and not incoming.connection.tells:
            options["heartbeat"] = _PROBE
        if self.hub.settings.max_streams_per_client is not None:
            options["client"] = self._client(request, incoming)

    def _client(self, request: object, incoming: Incoming) -> str:
        """Name who is asking: the user, else the address, behind proxies that are trusted."""
        try:
            user = self._user_of(request)
        except Exception:
            logger.exception("a stream counts for its address because user_of failed")
            user = None
        if user is not None:
            return f"user {user}"
        address = self.hub.proxies.client(incoming.peer, incoming.header("x-forwarded-for"))
        return address and f"address {address}"

    async def _load(self, ask: Ask) -> bool:
        """Get the jobs from a broker that processes share; tell whether they all are there."""
        if isinstance(ask.jobs, str):
            return await self.hub.load(ask.jobs)
        return all(await asyncio.gather(*map(self.hub.load, ask.jobs)))

    def _has_ticket(self, ask: Ask, job_id: str) -> bool:
        """Tell whether the request has a ticket, by which one may watch, but not cancel."""
        return bool(ask.ticket) and self.hub.admits(ask.ticket, job_id)

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning(text)


def _parsed(incoming: Incoming) -> Ask | Reply:
    ask = parse(incoming)
    return finish(ask, head=incoming.method == "HEAD") if isinstance(ask, Reply) else ask
