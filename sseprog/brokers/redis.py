"""Jobs in Redis or Valkey: one server, one that Sentinels watch over, or a Cluster."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, get_args

from sseprog._listener import Listener
from sseprog._record import UNHELD
from sseprog._settings import Settings
from sseprog.shared import SharedBroker
from sseprog.store import (
    REPLAY_AFTER_END,
    Answer,
    Append,
    Begin,
    Cancel,
    Create,
    Expire,
    Line,
    Rebase,
    Renew,
    Said,
    Store,
    View,
    Want,
    Write,
)

from ._redis.address import Address
from ._redis.calls import Call, Calls
from ._redis.failures import FAILURES, unavailable
from ._redis.listening import KINDS, Listening, job_key

__all__ = ["RedisBroker", "RedisStore"]

_RECENT: Final = b"sseprog:recent"
_READ_AT_ONCE: Final = 64
"""Jobs read in one round trip: some MB at most, if each has a long log."""
_SAID: Final[dict[bytes, Said]] = {word.encode(): word for word in get_args(Said)}


class RedisStore(Store):
    """Keep a job as a hash and a stream; tell of it by publish and subscribe.

    A process has two connections, one for commands and one to listen (in a Cluster two to each
    server), and none before the first use. All that a batch wants of one job is one call of
    ``redis.lua``, and a batch is one round trip. The server forgets jobs by itself.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._address = Address.parse(url)
        self._calls = Calls(self._address)
        self._listening: Listening | None = None
        # Messages know no databases: without this, two apps on one server would hear each other.
        database = self._address.database
        self._suffix = f"@{database}" if database else ""
        self._rules = (
            _milliseconds(settings.lease or None),
            _milliseconds(settings.ttl),
            settings.retention or "",
            _milliseconds(REPLAY_AFTER_END),
            _milliseconds(UNHELD),
            self._suffix,
        )

    @property
    def name(self) -> str:
        return self._address.name

    def write(self, batch: Sequence[Write]) -> list[Answer]:
        by_job: dict[str, list[int]] = {}
        for at, write in enumerate(batch):
            by_job.setdefault(write.job_id, []).append(at)
        # What a job's call answers is in order; that of the batch is put together again by place.
        found = self._calls.send(
            [
                Call.of_script(
                    _keys(job_id),
                    "write",
                    *self._rules,
                    *(value for at in ats for value in _values(batch[at])),
                )
                for job_id, ats in by_job.items()
            ]
        )
        answers: dict[int, Answer] = {}
        for ats, theirs in zip(by_job.values(), found, strict=True):
            answers.update(zip(ats, map(_answer, theirs), strict=True))
        self._note(
            write.job_id
            for at, write in enumerate(batch)
            if isinstance(write, Create) and answers[at].said == "ok"
        )
        return [answers[at] for at in range(len(batch))]

    def read(self, wants: Sequence[Want]) -> list[View | None]:
        views: list[View | None] = []
        for begin in range(0, len(wants), _READ_AT_ONCE):
            some = wants[begin : begin + _READ_AT_ONCE]
            found = self._calls.send(
                [
                    Call.of_script(
                        _keys(want.job_id), "read", want.epoch, want.after, int(want.newest)
                    )
                    for want in some
                ]
            )
            views += map(_view, some, found)
        return views

    def recent(self, limit: int) -> list[str]:
        ids: list[str] = []
        begin = 0
        while len(ids) < limit:
            page = Call(_RECENT, ("ZREVRANGE", _RECENT, begin, begin + limit - 1))
            (some,) = self._calls.send([page])
            if not some:
                break
            # The jobs of which the time is over are still in the index.
            keys = [job_key(job_id.decode()) for job_id in some]
            kept = self._calls.send([Call(key, ("EXISTS", key)) for key in keys])
            ids += [job_id.decode() for job_id, is_kept in zip(some, kept, strict=True) if is_kept]
            begin += limit
        return ids[:limit]

    def listen(self, listener: Listener) -> None:
        self._listening = Listening(self._address, self._suffix, listener)
        try:
            self._listening.run()
        except FAILURES as error:
            raise unavailable(self.name, error) from error
        finally:
            self._listening.drop()

    def sweep(self) -> None:
        """Do nothing: keys expire by themselves."""

    def abandon(self) -> None:
        self._calls.abandon()
        if self._listening is not None:
            self._listening.drop()

    def close(self) -> None:
        self._calls.close()  # `listen` closes its own when it returns

    def _note(self, job_ids: Iterable[str]) -> None:
        """Add jobs to the index of those made last, which is no neighbour of theirs."""
        notes = [Call.of_script((_RECENT,), "note", job_id) for job_id in job_ids]
        if notes:
            self._calls.send(notes)


class RedisBroker(SharedBroker):
    """The broker for many machines."""

    store_type = RedisStore


def _keys(job_id: str) -> tuple[bytes, bytes]:
    key = job_key(job_id)
    return key, key + b":log"


def _milliseconds(seconds: float | None) -> int | str:
    """Return what the script counts in; of more than nothing, at least one."""
    return "" if seconds is None else max(round(seconds * 1000), 1 if seconds else 0)


def _values(write: Write) -> tuple[Any, ...]:
    """Return the twelve values that the script takes for a write."""
    kind, data = ("", b"") if isinstance(write, Renew) else write.line
    epoch = token = owner = writer = number = seq = spare = release = resume = ""
    match write:
        case Create():
            what, epoch = "create", write.epoch
            owner = "" if write.owner is None else f"={write.owner}"
        case Begin():
            what, token, epoch, resume = "begin", write.token, write.epoch, _flag(write.resume)
        case Append():
            what, token, release = "append", write.token or "", _flag(write.release)
            writer, number, seq = write.writer, str(write.number), str(write.seen)
            epoch, spare = write.epoch, write.spare
        case Renew():
            what, token = "renew", write.token
        case Cancel():
            what = "cancel"
        case Expire():
            what, epoch, seq = "expire", write.epoch, str(write.seq)
        case Rebase():
            what, epoch, seq, spare = "rebase", write.epoch, str(write.seen), write.spare
    return what, kind, data, epoch, token, owner, writer, number, seq, spare, release, resume


def _flag(truth: bool) -> str:
    return "1" if truth else ""


def _answer(found: Any) -> Answer:
    said, epoch, seq, attempt, cancel, stalled = found
    return Answer(_SAID[said], epoch.decode(), seq, attempt, bool(cancel), bool(stalled))


def _view(want: Want, found: Any) -> View | None:
    if found is None:
        return None
    epoch, seq, owner, lease, stalled, entries, kind, data = found
    lines = [Line(KINDS[kind], data) for _, (kind, data) in entries]
    known = want.epoch == epoch.decode() and want.after >= int(seq) and not want.newest
    if kind is not None and not known:  # the log of an ended job is let go of first
        lines = [Line(KINDS[kind], data)]
    if not lines and not known:
        return None  # the server has been told to evict what it has no memory for
    return View(
        job_id=want.job_id,
        epoch=epoch.decode(),
        seq=int(seq),
        owner=None if owner is None else owner.decode(),
        lines=lines,
        lease=int(lease) / 1000 if lease else None,
        stalled=stalled == b"1",
    )
