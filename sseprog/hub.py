"""The hub: where an application creates jobs, runs them, and reads how far they are."""

import asyncio
import atexit
import logging
import math
import os
import secrets
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack
from uuid import UUID

from ._ending import CANCELLED, INTERRUPTED, ended_state
from ._event import Cursor, Event
from ._log import JobLog
from ._places import Places
from ._proxies import Proxies
from ._pump import Pump
from ._settings import Settings, SettingsOptions
from ._streams import AsyncStream, BusyStream, SyncStream
from ._subscription import JointSubscription, Subscription
from ._threads import Threads
from ._tickets import Tickets
from ._timer import Timer
from ._work import Work, Workers, drive
from .broker import Broker, Hold
from .errors import BrokerUnavailable, JobEnded, JobNotFound
from .job import Job
from .plugins import Plugins
from .progress import Progress, check_job_id

if TYPE_CHECKING:
    from ._connection import Connection

__all__ = ["Hub", "StreamOptions"]

logger = logging.getLogger("sseprog")

_LONGEST_TICKET: Final = 86_400.0  # seconds; whom one trusts for longer has a login
_DEFAULT_WORKERS: Final = min(32, (os.cpu_count() or 1) + 4)  # as concurrent.futures has it


class StreamOptions(TypedDict, total=False):
    """Where a stream starts, and how it says that it is alive."""

    last_event_id: str
    """The cursor of the event seen last; none or "" starts with the newest state."""
    from_start: bool
    """Without a cursor: start with the oldest event kept."""
    heartbeat_event: bool
    """Send heartbeats as events, which scripts in a page can see, not as comments."""
    heartbeat: float
    """Seconds without a byte after which the stream gets a heartbeat, if sooner than the hub's."""
    client: str
    """Whom the stream counts for under ``max_streams_per_client``; none or "" is nobody."""
    threads: int | None
    """Streams of this process up to which there is room, where ``max_streams`` says nothing."""
    connection: "Connection | None"
    """For `Hub.stream`: the client's, asked twice a second whether either end has given up."""


class Hub:
    """Keep the jobs of an application and serve their streams.

    ``broker`` is a URL or a `Broker`; without one ``SSEPROG_BROKER``, else ``memory://``. Each
    setting is a keyword, else ``SSEPROG_<NAME>`` in the environment; see `Settings` for what
    there is. Raises `ValueError` for an unknown scheme, naming the known ones.

    ``secret`` signs tickets (``SSEPROG_SECRET``); of a list the first signs, and the others are
    still accepted. ``trusted_proxies`` are those whose ``X-Forwarded-For`` names the client:
    addresses, networks, or ``unix`` (``SSEPROG_TRUSTED_PROXIES``, with commas between them).

    All methods may be called from any thread, and none blocks but `run` and `close`.
    """

    def __init__(
        self,
        broker: str | Broker | None = None,
        *,
        secret: str | Sequence[str] | None = None,
        trusted_proxies: Iterable[str] | None = None,
        **settings: Unpack[SettingsOptions],
    ) -> None:
        self.settings = Settings.load(settings)
        self.proxies = Proxies(
            _listed("SSEPROG_TRUSTED_PROXIES") if trusted_proxies is None else trusted_proxies
        )
        self.tickets = Tickets(secret or os.environ.get("SSEPROG_SECRET"))
        self.plugins = Plugins()
        self.broker = broker if isinstance(broker, Broker) else self._make_broker(broker)
        self._start_anew()
        self._closed = False
        _open.add(self)

    def _start_anew(self) -> None:
        self.timer = Timer()
        self._draining = False
        self.iterators: weakref.WeakSet[SyncStream] = weakref.WeakSet()
        self._places = Places(self.settings)
        self._pumps: dict[asyncio.AbstractEventLoop, Pump] = {}
        self.threads = Threads(self)
        self._running: set[Job] = set()
        self._lock = threading.Lock()
        self._released = threading.Condition(self._lock)
        self._workers = Workers(self, self.settings.workers or _DEFAULT_WORKERS)

    def __repr__(self) -> str:
        return f"<Hub on {type(self.broker).__name__}>"

    def create(self, job_id: str | None = None, *, owner: str | int | UUID | None = None) -> str:
        """Create a pending job and return its id: an unguessable one (128 bits), or yours.

        With an ``owner``, only requests of that user may watch it; without one, whoever knows
        the id may. The id of a job that has ended may be used again.

        Raises `ValueError` for a bad id or one that is taken, `TooManyJobs` at ``max_jobs``.
        """
        owner = _owner_of(owner)
        if job_id is None:
            job_id = secrets.token_urlsafe(16)
        job_id = check_job_id(job_id)
        event = Event.of(Progress(status="pending", job_id=job_id, updated_at=datetime.now(UTC)))
        self.broker.create(job_id, owner, event)
        self.plugins.observe(job_id, event)
        return job_id

    def job(
        self,
        job_id: str,
        *,
        resume: bool = False,
        owner: str | int | UUID | None = None,
    ) -> Job:
        """Return the job to report with: ``with hub.job(job_id) as job: job.update(12.5)``.

        A job that was not created is, for ``owner``, when the block is entered. Entering raises
        `JobEnded` if the job has ended. If another block holds it, this one takes over.

        ``resume``: begin a job that has ended too, as a task does that is tried again; but not one
        that was cancelled. Each time but the first is a new attempt, which starts from 0;
        ``details.attempt`` counts them.
        """
        return Job(self, check_job_id(job_id), resume=resume, owner=_owner_of(owner))

    def start(
        self,
        emitter: str | Callable[..., Work],
        *,
        job_id: str | None = None,
        owner: str | int | UUID | None = None,
        **options: Any,
    ) -> str:
        """Run an emitter in a background thread; return the job's id at once.

        ``emitter`` is a registered name, or a function that returns a generator of `Progress`;
        ``options`` are its own, and what it raises about them is raised here. At most
        ``workers`` run at a time; the others are pending, with their place in the queue.
        """
        if self._closed:
            raise RuntimeError("the hub is closed: it starts no more jobs")
        work = self._make_work(emitter, options)
        job_id = self._create_unless_there(job_id, owner)
        self._workers.submit(job_id, partial(self._drive, job_id, work))
        return job_id

    def run(
        self,
        emitter: str | Callable[..., Work],
        *,
        job_id: str | None = None,
        owner: str | int | UUID | None = None,
        resume: bool = False,
        **options: Any,
    ) -> Progress:
        """Run an emitter in this thread, as a task of a job queue does; return the last state.

        ``resume`` is that of `job`. Raises what the emitter raises, after the job has ended in
        ``error``.
        """
        work = self._make_work(emitter, options)
        if not resume or job_id is None:
            job_id = self._create_unless_there(job_id, owner)
        return self._drive(job_id, work, resume=resume, owner=owner)

    def snapshot(self, job_id: str) -> Progress:
        """Return the newest state, as this process knows it.

        Raises `JobNotFound`, and `BrokerUnavailable` if the broker doesn't answer.
        """
        return Progress.from_json(self.broker.newest(job_id)[1].data)

    def cancel(self, job_id: str) -> None:
        """Ask a job's emitter to stop: its next report raises `JobCancelled`.

        A job that nobody runs yet ends at once. Raises `JobNotFound` or `JobEnded`.
        """
        event = Event.of(ended_state(Progress(job_id=job_id), CANCELLED))
        if self.broker.cancel(job_id, event):
            self.plugins.observe(job_id, event)
            self._workers.discard(job_id)

    async def load(self, job_id: str) -> bool:
        """Get a job from a broker that processes share; tell whether there is one.

        `astream`, `snapshot` and the like then need not wait for the broker for ten seconds.
        Raises `BrokerUnavailable` if it doesn't answer.
        """
        if not self.broker.shared:
            return True
        loop = asyncio.get_running_loop()
        found: asyncio.Future[bool | None] = loop.create_future()

        def settle(there: bool | None) -> None:
            if not found.done():
                found.set_result(there)

        def loaded(there: bool | None) -> None:
            if asyncio._get_running_loop() is loop:  # it was there, and nothing is waited for
                settle(there)
                return
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(settle, there)

        self.broker.load(job_id, loaded)
        timeout = loop.call_later(self.broker.patience, settle, None)
        try:
            there = await found
        finally:
            timeout.cancel()
        if there is None:
            raise BrokerUnavailable("the broker does not answer in time; its log says why")
        return there

    def jobs(self, limit: int = 100) -> list[Progress]:
        """Return the newest states of the jobs made last, the newest job first."""
        return [Progress.from_json(entry.data) for _, entry in self.broker.recent(limit)]

    def ticket(self, job_id: str, ttl: float = 60.0) -> str:
        """Return a ticket: who has it may watch this job, and no other, for ``ttl`` seconds.

        For a client that can send neither cookie nor header: ``.../stream?ticket=...``. A stream
        that was begun in time goes on; one that is cut needs a new ticket after that.

        Raises `JobNotFound`, and `RuntimeError` where other processes share the broker and there
        is no ``secret`` by which they could read the ticket.
        """
        if not 0 < ttl <= _LONGEST_TICKET:
            raise ValueError(f"ttl is a number of seconds above 0, a day at most, not {ttl!r}")
        if self.broker.shared and not self.tickets.shared:
            raise RuntimeError("tickets that other processes accept need Hub(secret=...)")
        return self.tickets.write(job_id, self.broker.newest(job_id)[0], ttl)

    def admits(self, ticket: str, job_id: str) -> bool:
        """Tell whether a ticket is for this job, and still good."""
        try:
            return self.tickets.admits(ticket, job_id, self.broker.newest(job_id)[0])
        except JobNotFound:
            return False

    def stream(
        self, job_id: str | Sequence[str], **options: Unpack[StreamOptions]
    ) -> Iterator[bytes]:
        """Return a job's events as bytes, for threads; ``options`` are those of `StreamOptions`.

        Of several jobs, given by a list of their ids, the events have no cursors: protocol.md,
        section 7. The subscription is taken here and now. Raises `JobNotFound`, or `ValueError`
        for a malformed ``last_event_id``, an empty list, or a cursor with a list. ``close()`` the
        iterator to leave early.
        """
        jobs = self._checked(job_id, options)
        with self.broker.lock:  # lest two threads take the last place
            return SyncStream(self, jobs, options) if self._has_room(options) else BusyStream()

    def astream(
        self, job_id: str | Sequence[str], **options: Unpack[StreamOptions]
    ) -> AsyncIterator[bytes]:
        """Return a job's events as bytes, for coroutines; otherwise as `stream`.

        Where processes share the broker, ``await hub.load(job_id)`` before: else the event loop
        waits here until the job is read.
        """
        jobs = self._checked(job_id, options)
        pump = self._pump()
        with self.broker.lock:
            if self._has_room(options):
                return AsyncStream(self, jobs, pump, options)
        return BusyStream()

    def _checked(self, jobs: str | Sequence[str], options: StreamOptions) -> str | tuple[str, ...]:
        """Return the jobs of a stream, which the broker knows by then."""
        for name in options:
            if name not in StreamOptions.__annotations__:
                known = ", ".join(StreamOptions.__annotations__)
                raise TypeError(f"unknown option {name!r} of a stream; known are {known}")
        if not isinstance(jobs, str):
            jobs = tuple(dict.fromkeys(jobs))
            if not jobs:
                raise ValueError("a stream is of one job or more, not of none")
            if options.get("last_event_id") or options.get("from_start"):
                raise ValueError("a stream of several jobs begins with their newest states")
        if self.broker.shared:  # before the lock: they may have to be read
            for job_id in (jobs,) if isinstance(jobs, str) else jobs:
                self.broker.newest(job_id)
        return jobs

    def drain(self) -> None:
        """End all streams cleanly, over the ``drain`` period, and refuse new ones.

        Browsers come back, to the next server, with their cursor. Jobs go on.
        """
        if self._draining:  # lest each call plan all ends anew
            return
        self._draining = True  # before the lock: who saw room holds it, and is in `iterators` then
        now = time.monotonic()
        with self.broker.lock:
            streams = list(self.iterators)
            for stream in streams:
                stream.subscription.drain(now)
        for stream in streams:
            stream.advance()
        for pump in list(self._pumps.values()):
            pump.drain()

    def close(self, timeout: float = 10.0) -> None:
        """End the streams, stop the emitters of this process, and let go of the broker.

        Waits ``timeout`` seconds at most for emitters to clean up. Their jobs end in ``error``
        with the code ``interrupted``, as do those that were never started.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            running = list(self._running)
        self.drain()
        for job in running:
            job._request_stop("interrupted")
        deadline = time.monotonic() + timeout
        for job_id in self._workers.close(timeout):
            with suppress(JobEnded, JobNotFound):
                event = Event.of(ended_state(Progress(job_id=job_id), INTERRUPTED))
                self.publish(event, token=None)
        if self.broker.shared:
            self._end_running(min(deadline, time.monotonic() + 1.0))
        self.timer.close()
        self.broker.close()

    def _end_running(self, deadline: float) -> None:
        """Give jobs of the application's own threads a moment to end, and end what is left.

        Afterwards nothing can be told any more, and they would seem lost.
        """
        with self._lock:
            while self._running and (left := deadline - time.monotonic()) > 0:
                self._released.wait(left)
            running = list(self._running)
        for job in running:
            job._interrupt()

    def _has_room(self, options: StreamOptions) -> bool:
        client, threads = options.get("client", ""), options.get("threads")
        return not self._draining and self._places.free(client, threads)

    # What follows is for the package's other parts.

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._draining

    @property
    def streams(self) -> int:
        """How many streams are open in this process."""
        return self._places.taken

    def subscribe(
        self,
        stream: AsyncStream | SyncStream,
        jobs: str | tuple[str, ...],
        logs: Sequence[JobLog],
        cursor: Cursor | None,
        options: StreamOptions,
    ) -> Subscription:
        """Make a stream's subscription. The lock has been held since there was room for it."""
        now = time.monotonic()
        heartbeat_event = options.get("heartbeat_event", False)
        heartbeat = options.get("heartbeat", math.inf)
        subscription = (
            Subscription(
                logs[0],
                self.settings,
                now=now,
                cursor=cursor,
                from_start=options.get("from_start", False),
                heartbeat_event=heartbeat_event,
                heartbeat=heartbeat,
            )
            if isinstance(jobs, str)
            else JointSubscription(
                logs,
                self.settings,
                now=now,
                heartbeat_event=heartbeat_event,
                heartbeat=heartbeat,
            )
        )
        self._places.take(stream.client)
        stream.places = self._places  # of this process, and not of one that is forked from it
        if isinstance(stream, SyncStream):  # the others' pumps know them
            self.iterators.add(stream)
        return subscription

    def unsubscribe(self, stream: AsyncStream | SyncStream) -> None:
        """Note that a stream is over."""
        with self.broker.lock:
            stream.places.give_back(stream.client)

    def _pump(self) -> Pump:
        """Return the pump of the running event loop."""
        loop = asyncio.get_running_loop()
        pump = self._pumps.get(loop)
        if pump is None:
            with self._lock:
                self._pumps = {old: p for old, p in self._pumps.items() if not old.is_closed()}
                pump = self._pumps[loop] = Pump(self, loop)
        return pump

    def publish(self, event: Event, *, token: str | None, release: bool = False) -> None:
        """Append an event to its job's log. Raises `JobEnded`, `JobNotFound`."""
        job_id = event.state.job_id
        self.broker.append(job_id, event, token=token, release=release)
        self.plugins.observe(job_id, event)

    def flush(self, job_id: str) -> None:
        """Wait until the broker has a job's end, ``flush_timeout`` at most; log if it hasn't."""
        timeout = self.settings.flush_timeout
        if timeout and not self.broker.flush(job_id, timeout):
            logger.error(
                "job %s has ended, but the broker doesn't have that after %g s; it is told as soon "
                "as it can be reached, while this process lives",
                job_id,
                timeout,
            )

    def hold(self, job: Job, *, resume: bool) -> Hold:
        """Take hold of a job for an emitter."""
        begin = partial(self.broker.begin, job.id, job._request_stop, owner=job._owner)
        try:
            hold = begin(resume=resume)
        except JobNotFound:
            with suppress(ValueError):  # another thread has made it meanwhile
                self.create(job.id, owner=job._owner)
            hold = begin(resume=resume)
        with self._lock:
            self._running.add(job)
            closed = self._closed
        if closed:  # when the others were told
            job._request_stop("interrupted")
        return hold

    def release(self, job: Job) -> None:
        """Forget a job that an emitter held."""
        with self._lock:
            self._running.discard(job)
            self._released.notify_all()

    def _drive(
        self,
        job_id: str,
        work: Work,
        *,
        resume: bool = False,
        owner: str | int | UUID | None = None,
    ) -> Progress:
        with self.job(job_id, resume=resume, owner=owner) as job:
            drive(job, work)
        return job.state

    def _make_work(self, emitter: str | Callable[..., Work], options: dict[str, Any]) -> Work:
        function = self.plugins.emitter(emitter) if isinstance(emitter, str) else emitter
        work = function(**options)
        if not isinstance(work, (Iterator, AsyncIterator)):
            raise TypeError(
                f"emitter {emitter!r} gave {work!r}, not a generator of Progress: does it yield?"
            )
        return work

    def _create_unless_there(self, job_id: str | None, owner: str | int | UUID | None) -> str:
        if job_id is not None and owner is None:
            try:
                ended = self.broker.newest(check_job_id(job_id))[1].terminal
            except JobNotFound:
                return self.create(job_id)
            if ended:
                raise JobEnded(f"job {job_id!r} has ended: create it again, or leave job_id out")
            return job_id
        return self.create(job_id, owner=owner)

    def _make_broker(self, url: str | None) -> Broker:
        if url is None:
            url = os.environ.get("SSEPROG_BROKER") or "memory://"
        if not isinstance(url, str):
            raise TypeError(f"broker is a URL such as 'memory://', or a Broker, not {url!r}")
        scheme, colon, _ = url.partition(":")
        if not colon:
            raise ValueError(f"broker {url!r} is not a URL such as 'redis://localhost'")
        return self.plugins.broker(scheme)(url, self.settings)


def _owner_of(owner: str | int | UUID | None) -> str | None:
    if isinstance(owner, bool) or not isinstance(owner, (str, int, UUID, NoneType)):
        raise TypeError(f"owner is a str, an int, a UUID or None, not {type(owner).__name__}")
    return None if owner is None else str(owner)


def _listed(variable: str) -> list[str]:
    return [part.strip() for part in os.environ.get(variable, "").split(",") if part.strip()]


_open: Final["weakref.WeakSet[Hub]"] = weakref.WeakSet()


def _after_fork() -> None:
    """Leave to the parent its threads, its streams and the jobs that it works on."""
    for hub in list(_open):
        hub.broker.abandon()
        hub._start_anew()


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _close_all() -> None:
    """Let the jobs of a program that ends say so, and their emitters clean up."""
    for hub in list(_open):
        hub.close()
