"""The jobs of other processes, as this one knows them: copies of their logs, kept up to date."""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Literal

from ._away import Away
from ._listener import Bell, Changes
from ._log import JobLog
from ._settings import Settings
from ._silence import silent
from ._writer import Writer
from .errors import BrokerUnavailable
from .progress import Progress
from .store import Answer, Expire, Line, Rebase, Store, View, Want

__all__ = ["Mirror", "Mirrors"]

logger = logging.getLogger("sseprog")

LINGER: Final = 10.0
"""Seconds that a job is kept up to date after its last use: whoever polls finds it here."""

SURE: Final = 2.0
"""Seconds that a store has to be there before a job is said to be lost: holders that were waiting
for it try at least once a second."""

DOUBT: Final = 3.0
"""Seconds after the store was away during which a job that it doesn't have is waited for."""

_ENDED: Final = 0.25
"""Seconds for which a job that has ended needn't be read again: an end is final to a page, and the
id may have been used again. The steps of one request fall within."""

_AGAIN: Final = 0.2  # seconds until such a job is looked for again

GRACE: Final = 2.0
"""Seconds without news from the store after which streams are ended, since what they show may be
out of date: their clients come back, and say meanwhile that they do."""

_READS: Final = 500  # jobs in one read

_LOOK: Final = 1.0
"""Seconds between looks at what is due; a quarter of a lease if that is less."""

_Call = Callable[[], object]


class Mirror:
    """One job as this process knows it."""

    __slots__ = ("due_at", "log", "missing_since", "owner", "told_at", "used_at", "wakes")

    def __init__(self, owner: str | None, log: JobLog) -> None:
        self.owner = owner
        self.log = log
        self.used_at = self.told_at = time.monotonic()
        self.due_at = math.inf  # when to look whether the holder's lease is overdue
        self.missing_since = math.inf
        # Replaced, never changed, so that it can be walked through without the lock.
        self.wakes: tuple[Callable[[], None], ...] = ()

    @property
    def needed_at(self) -> float:
        """When it was used last; of a job that has ended, which is told no more, when it was."""
        return self.told_at if self.log.ended else self.used_at


class Mirrors:
    """Listen and read, in a thread each, as long as there is something to be kept up to date.

    Nothing between a read and the news is lost: a job is read after the store has said that its
    news are heard, and what was read already is known by its number.
    """

    def __init__(
        self, store: Store, settings: Settings, writer: Writer, lock: "threading.RLock"
    ) -> None:
        self.bell = Bell()
        self._store = store
        self._settings = settings
        self._lease = settings.lease or None
        self._look_every = min(_LOOK, (self._lease or 4.0) / 4)
        self._writer = writer
        self._lock = lock  # while a log grows, and while it is read
        self._jobs: dict[str, Mirror] = {}
        self._loading: dict[str, list[Callable[[bool | None], object]]] = {}
        self._expiring: set[str] = set()
        self._expires_at = -math.inf
        self._unsure: dict[str, float] = {}  # jobs that seem lost, and when to look again
        self._turned: set[str] = set()  # jobs that the store may have to be told of
        self._heard: dict[str, bool] = {}  # what it was told to hear, and whether it says it does
        self._unheard: dict[str, float] = {}  # what it says it doesn't, and since when
        self._held: set[str] = set()  # what it was told is held here
        self._changed = threading.Condition(threading.Lock())  # of what follows; innermost
        self._to_read: dict[str, None] = {}
        self._asked: list[tuple[int, Callable[[list[View] | None], object]]] = []
        self._listening = Away(store, "streams are ended if it lasts", self._is_used)
        self._partly = Away(store, "streams of some jobs are ended if it lasts", self._is_used)
        self._reading = Away(store, "jobs are read when it is back", lambda: False)
        self._threads: dict[str, threading.Thread] = {}
        self._closed = False

    # Any thread

    @property
    def cause(self) -> str:
        """Why jobs can't be read, if that is known."""
        return self._reading.cause or self._listening.cause or self._partly.cause

    def _is_used(self) -> bool:
        return bool(self._jobs or self._loading)

    @property
    def is_away(self) -> bool:
        """Whether nothing has been heard from the store for so long that it is no good to wait."""
        return time.monotonic() - self._listening.since > GRACE

    def find(self, job_id: str) -> Mirror | None:
        """Return a job that is kept up to date, and use it. With the lock."""
        mirror = self._jobs.get(job_id)
        if mirror is not None:
            mirror.used_at = time.monotonic()
        return mirror

    def find_fresh(self, job_id: str) -> Mirror | None:
        """Return it unless it has ended, and somebody may have made it anew. With the lock."""
        mirror = self.find(job_id)
        if mirror is None or not mirror.log.ended or mirror.wakes:
            return mirror
        if time.monotonic() - mirror.told_at < _ENDED:
            return mirror
        del self._jobs[job_id]
        return None

    def load(self, job_id: str, loaded: Callable[[bool | None], object]) -> None:
        """Have a job kept up to date, and tell when it is; see `Broker.load`."""
        with self._lock:
            known = self.find_fresh(job_id) is not None
            if not known:
                waiting = self._loading.setdefault(job_id, [])
                waiting.append(loaded)
                first = len(waiting) == 1
        if known:
            loaded(True)
        elif first:
            self._follow(job_id)

    def hold(self, job_id: str) -> None:
        """Hear whether a job that is held here is to stop, until it is held no more."""
        self._follow(job_id)

    def _follow(self, job_id: str) -> None:
        with self._lock:
            self._turned.add(job_id)
        self.start()
        self.bell.ring()

    def forget_load(self, job_id: str, loaded: Callable[[bool | None], object]) -> None:
        """Wait no more for what `load` was given."""
        with self._lock:
            waiting = self._loading.get(job_id)
            if waiting is not None and loaded in waiting:
                waiting.remove(loaded)
                if not waiting:
                    del self._loading[job_id]

    def recent(self, limit: int, read: Callable[[list[View] | None], object]) -> None:
        """Read the newest states of the jobs made last; ``None`` if that can't be done."""
        with self._changed:
            self._asked.append((limit, read))
            self._changed.notify_all()
        self.start()

    def start(self) -> None:
        """Start the threads, where they aren't there."""
        with self._changed:
            if self._closed:
                return
            failure: RuntimeError | None = None
            for name, run in (("reader", self._read_all), ("listener", self._listen_on)):
                thread = self._threads.get(name)
                if thread is None or not thread.is_alive():
                    thread = threading.Thread(target=run, name=f"sseprog-{name}", daemon=True)
                    try:
                        thread.start()
                    except RuntimeError as error:  # none is to be had, or the interpreter ends
                        failure = error
                    else:
                        self._threads[name] = thread
        if failure is not None:
            logger.error("jobs can't be read: a thread can't be started: %s", failure)

    def close(self) -> None:
        """Let the threads end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.bell.ring()
        for thread in self._threads.values():
            if thread is not threading.current_thread():
                thread.join(6.0)  # a store may take five seconds to see that its server is mute
        if not any(thread.is_alive() for thread in self._threads.values()):
            self.bell.close()

    def replace(self, job_id: str, epoch: str) -> None:
        """Know a job no more that has been made anew: it may be another owner's now."""
        with self._lock:
            mirror = self._jobs.get(job_id)
            wakes = self._cut(job_id) if mirror is not None and mirror.log.epoch != epoch else ()
        for wake in wakes:
            wake()

    # What a store tells, in its `listen`

    @property
    def closed(self) -> bool:
        return self._closed

    def changes(self) -> Changes:
        with self._lock:
            turned, self._turned = self._turned, set()
            wanted = {job_id for job_id in turned if self._is_wanted(job_id)}
            known = {job_id for job_id in turned if job_id in self._heard}
            holds = {job_id for job_id in turned if self._writer.holds(job_id)}
            held = turned & self._held
            changes = Changes(wanted - known, known - wanted, holds - held, held - holds)
            # For the store, what went and came back between two looks was never away.
            back = [job_id for job_id in known if job_id in self._loading and self._heard[job_id]]
            for job_id in changes.watch:
                self._heard[job_id] = False
            for job_id in changes.unwatch:
                del self._heard[job_id]
            self._held.difference_update(changes.let_go)
            self._held.update(changes.hold)
        self._read_soon(back)
        return changes

    def _is_wanted(self, job_id: str) -> bool:
        # What is not heard is waited for, so that it is known when it is again.
        return job_id in self._jobs or job_id in self._loading or job_id in self._unheard

    def ready(self, job_ids: Iterable[str]) -> None:
        job_ids = list(job_ids)
        now = time.monotonic()
        with self._lock:
            self._heard.update((job_id, True) for job_id in job_ids if job_id in self._heard)
            since = min((self._unheard.pop(job_id, now) for job_id in job_ids), default=now)
            all_heard = not self._unheard
        back = max(self._listening.over(), self._partly.over() if all_heard else 0.0)
        if seconds := max(back, now - since):
            self._writer.note_back(seconds)
        if back:
            self._writer.reassert()
        self._read_soon(job_ids)

    def unheard(self, job_ids: Iterable[str], error: BrokerUnavailable) -> None:
        self._partly.pause(error)
        now = time.monotonic()
        with self._lock:
            for job_id in job_ids:
                if job_id in self._heard:
                    self._heard[job_id] = False
                    self._unheard.setdefault(job_id, now)
            late = [job_id for job_id, since in self._unheard.items() if now - since > GRACE]
        self._cut_all(late)

    def news(self, job_id: str, epoch: str, seq: int, line: Line) -> None:
        with self._lock:
            mirror = self._jobs.get(job_id)
            read = mirror is None and job_id in self._loading  # maybe it was read before this
            wakes: tuple[Callable[[], None], ...] = ()
            if mirror is not None:
                log = mirror.log
                if epoch == log.epoch and seq == log.newest.seq + 1 and not log.ended:
                    log.append_line(line)
                    self._put_off(mirror)
                    wakes = mirror.wakes
                else:
                    read = epoch != log.epoch or seq > log.newest.seq
        if read:
            self._read_soon([job_id])
        for wake in wakes:
            wake()

    def changed(self, job_id: str) -> None:
        with self._lock:
            wanted = self._is_wanted(job_id)
        if wanted:
            self._read_soon([job_id])

    def asked(self, job_id: str) -> None:
        self._writer.stop(job_id)

    # The listening thread

    def _listen_on(self) -> None:
        while not self._closed:
            with self._lock:
                self._heard, self._unheard, self._held = {}, {}, set()
                self._turned = {*self._jobs, *self._loading}
            held = self._writer.held()
            with self._lock:
                self._turned.update(held)
            try:
                self._store.listen(self)
                continue
            except BrokerUnavailable as error:
                failure = error
            except Exception as error:  # a mistake of the store's; streams must not end with it
                logger.exception("%s failed", self._store.name)
                failure = BrokerUnavailable(f"{type(error).__name__}: {error}")
            pause = self._listening.pause(failure)
            if self.is_away:
                with self._lock:
                    job_ids = [*self._jobs, *self._loading]
                self._cut_all(job_ids)
            with self._changed:
                if not self._closed:
                    self._changed.wait(pause)

    def _cut_all(self, job_ids: list[str]) -> None:
        """End the streams of jobs: what they show may be out of date."""
        with self._lock:
            wakes = [wake for job_id in job_ids for wake in self._cut(job_id)]
            loading = [call for job_id in job_ids for call in self._loading.pop(job_id, ())]
        for wake in wakes:
            wake()
        for loaded in loading:
            loaded(None)

    # The reading thread

    def _read_all(self) -> None:
        look_at = time.monotonic() + self._look_every
        while True:
            with self._changed:
                while not (self._closed or self._to_read or self._asked):
                    wait = look_at - time.monotonic()
                    if wait <= 0:
                        break
                    self._changed.wait(wait)
                if self._closed:
                    return
                job_ids = list(self._to_read)[:_READS]
                for job_id in job_ids:
                    del self._to_read[job_id]
                asked, self._asked = self._asked, []
            try:
                for limit, read in asked:
                    self._read_recent(limit, read)
                if job_ids:
                    self._read(job_ids)
            except BrokerUnavailable as error:
                self._retry(job_ids, error)
            except Exception as error:  # as above
                logger.exception("%s failed", self._store.name)
                self._retry(job_ids, BrokerUnavailable(f"{type(error).__name__}: {error}"))
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + self._look_every
                self._look()

    def _read_soon(self, job_ids: Iterable[str]) -> None:
        with self._changed:
            self._to_read.update(dict.fromkeys(job_ids))
            if self._to_read:
                self._changed.notify_all()

    def _retry(self, job_ids: list[str], error: BrokerUnavailable) -> None:
        pause = self._reading.pause(error)
        self._read_soon(job_ids)
        with self._changed:
            self._changed.wait_for(lambda: self._closed, pause)

    def _read_recent(self, limit: int, read: Callable[[list[View] | None], object]) -> None:
        try:
            wants = [Want(job_id, newest=True) for job_id in self._store.recent(limit)]
            views = self._store.read(wants) if wants else []
        except BrokerUnavailable:
            read(None)
            raise
        found = [view for view in views if view is not None]
        with self._lock:
            overdue = [call for view in found if (call := self._expire(view)) is not None]
        for expire in overdue:
            expire()
        read(found)

    def _read(self, job_ids: list[str]) -> None:
        wants: list[Want] = []
        mirrors: list[Mirror | None] = []
        with self._lock:
            for job_id in job_ids:
                mirror = self._jobs.get(job_id)
                if mirror is not None:
                    wants.append(Want(job_id, mirror.log.epoch, mirror.log.newest.seq))
                elif job_id in self._loading:
                    wants.append(Want(job_id))
                else:
                    continue
                mirrors.append(mirror)
        if not wants:
            return
        calls: list[_Call] = []
        views = self._store.read(wants)
        if seconds := self._reading.over():
            self._writer.note_back(seconds)
        for want, before, view in zip(wants, mirrors, views, strict=True):
            with self._lock:
                if before is None and want.job_id not in self._loading:
                    continue  # nobody waits for it any more, and its news may not be heard
                if self._jobs.get(want.job_id) is not before:  # cut or forgotten meanwhile
                    calls.append(partial(self._read_soon, [want.job_id]))
                elif view is None:
                    calls += self._miss(want.job_id)
                else:
                    calls += self._apply(want, view)
        for call in calls:
            call()

    def _miss(self, job_id: str) -> list[_Call]:
        """Note that the store has no such job. It may have lost it, and be told it anew."""
        mirror = self._jobs.get(job_id)
        if mirror is None and self._doubts(job_id):
            self._unsure[job_id] = time.monotonic() + _AGAIN
            return []
        if mirror is None:
            return [partial(call, False) for call in self._loading.pop(job_id, [])]
        now = time.monotonic()
        if mirror.missing_since == math.inf:
            mirror.missing_since = now
            self._writer.note_back(0.0)
        if not mirror.log.ended and now - mirror.missing_since < 2 * (self._lease or GRACE):
            return []
        return list(self._cut(job_id))

    def _doubts(self, job_id: str) -> bool:
        """Tell whether a job that the store doesn't have may yet come, or come again.

        It may be on its way, or have been lost while the store was away, and be told anew by its
        holder in a moment: to say that there is none would end its pages for good.
        """
        back = time.monotonic() - self._writer.back_at < DOUBT
        return back or self._writer.expects(job_id)

    def _apply(self, want: Want, view: View) -> list[_Call]:
        """Bring a job up to date; return what is to be called without the lock."""
        job_id = view.job_id
        if (expire := self._expire(view)) is not None:
            return [expire]  # and it is read again after that
        mirror = self._jobs.get(job_id)
        calls: list[_Call] = []
        if mirror is None and job_id in self._expiring:
            return []  # likewise
        if mirror is None:
            log = JobLog(view.epoch, view.seq, view.lines, retention=self._settings.retention)
            mirror = self._jobs[job_id] = Mirror(view.owner, log)
            calls += [partial(call, True) for call in self._loading.pop(job_id, [])]
        else:
            calls += self._catch_up(mirror, want, view)
        mirror.missing_since = math.inf
        self._put_off(mirror, view.lease)
        return calls

    def _catch_up(self, mirror: Mirror, want: Want, view: View) -> list[_Call]:
        log = mirror.log
        first = view.seq + 1 - len(view.lines)
        if view.owner != mirror.owner:  # another job: who watched the old one is asked anew
            return [*self._cut(view.job_id), partial(self._read_soon, [view.job_id])]
        if view.epoch != log.epoch:
            log.restart(view.epoch, view.seq, view.lines)
        elif view.seq < want.after:  # not merely overtaken by news: the store has lost events
            newest = log.newest.line
            spare = secrets.token_hex(4)
            rebase = Rebase(view.job_id, view.epoch, log.newest.seq, spare, newest)
            return [self._submitting(rebase)]
        elif view.seq <= log.newest.seq:
            return []
        elif first > log.newest.seq + 1:
            log.restart(view.epoch, view.seq, view.lines)
        else:
            for line in view.lines[log.newest.seq + 1 - first :]:
                log.append_line(line)
        return list(mirror.wakes)

    def _expire(self, view: View) -> _Call | None:
        """Return what makes a job whose holder is silent say so, if it is to be done."""
        if view.lease is None or view.lease > 0 or self._lease is None:
            return None
        # While the store is away nobody can renew: then holders get a lease of time to do so.
        if time.monotonic() < self._expires_at:
            return None
        away = self._writer.is_away or min(self._listening.since, self._reading.since) < math.inf
        if away or time.monotonic() < self._writer.trusts_leases_at:
            return None
        status: Literal["stalled", "lost"] = "lost" if view.lease <= -self._lease else "stalled"
        if view.job_id in self._expiring or (status == "stalled" and view.stalled):
            return None
        if status == "lost" and not self._could_be_renewed(self._lease):
            self._unsure.setdefault(view.job_id, time.monotonic() + min(SURE, self._lease))
            return self._writer.probe
        data = view.lines[-1].data if view.lines else self._jobs[view.job_id].log.newest.data
        self._expiring.add(view.job_id)

        def expire() -> None:
            try:
                line = silent(Progress.from_json(data), status)
            except ValueError:
                logger.exception("job %s: its state can't be read", view.job_id)
                with self._lock:
                    self._expiring.discard(view.job_id)
                return
            self._submitting(Expire(view.job_id, view.epoch, view.seq, line))()

        return expire

    def _could_be_renewed(self, lease: float) -> bool:
        """Tell whether the store was there for long enough, and not long ago, to renew a lease.

        A process that is new, or has been idle, doesn't know how long the store was away: holders
        that could not renew do so within a second or two of its return.
        """
        return self._writer.could_write(min(SURE, lease), 1.5 * lease)

    def _submitting(self, write: Expire | Rebase) -> _Call:
        """Return what submits a write, after which the job is read again."""

        def answered(answer: Answer) -> None:
            wakes: tuple[Callable[[], None], ...] = ()
            with self._lock:
                self._expiring.discard(write.job_id)
                if answer.said == "no":  # it is late, or can't be written: no hurry
                    self._expires_at = time.monotonic() + self._look_every
                if answer.said == "no" and isinstance(write, Rebase):
                    wakes = self._cut(write.job_id)
            for wake in wakes:
                wake()
            self._read_soon([write.job_id])

        return partial(self._writer.submit, write, answered=answered)

    def _cut(self, job_id: str) -> tuple[Callable[[], None], ...]:
        """End the streams of a job, which can't be brought up to date; return their wakes."""
        mirror = self._jobs.pop(job_id, None)
        if mirror is None:
            return ()
        mirror.log.cut = not mirror.log.ended
        return mirror.wakes

    def _put_off(self, mirror: Mirror, left: float | None = None) -> None:
        """Plan when to look at the lease again: ``left`` seconds of it, if that is known.

        Also where nobody seems to hold the job: who began it may have died before saying so.
        """
        mirror.told_at = time.monotonic()
        if self._lease is None or mirror.log.ended:
            mirror.due_at = math.inf
            return
        if left is None:
            left = self._lease
        elif left <= 0:
            left = max(0.0, left + self._lease)
        mirror.due_at = time.monotonic() + left + 0.05

    def _look(self) -> None:
        """Read what may have become stalled or lost, or is missing; forget what nobody uses.

        Nor is that heard any more: here once for all, since it is no matter if it is a bit longer.
        """
        now = time.monotonic()
        due: list[str] = []
        unused: list[str] = []
        with self._lock:
            for job_id, mirror in self._jobs.items():
                if now >= mirror.due_at or mirror.missing_since < math.inf:
                    due.append(job_id)
                elif not mirror.wakes and now - mirror.needed_at > LINGER:
                    unused.append(job_id)
            for job_id in unused:
                del self._jobs[job_id]
            sure = [job_id for job_id, at in self._unsure.items() if now >= at]
            for job_id in sure:
                del self._unsure[job_id]
            due += sure
            gone = [job_id for job_id in self._heard if not self._is_wanted(job_id)]
            gone += [job_id for job_id in self._held if not self._writer.holds(job_id)]
            self._turned.update(gone)
        if gone:
            self.bell.ring()
        if due:
            self._read_soon(due)
