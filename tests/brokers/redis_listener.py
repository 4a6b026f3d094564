"""Somebody who listens, and notes what is told."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sseprog._listener import Bell, Changes
from sseprog.errors import BrokerUnavailable
from sseprog.store import Line, Store


class Noting:
    """A `Listener` that keeps what it is told."""

    def __init__(self, watched: Iterable[str] = (), held: Iterable[str] = ()) -> None:
        self.bell = Bell()
        self.closed = False
        self.told: list[tuple[str, str, int, Line]] = []
        self.is_ready: list[str] = []
        self.stops: list[str] = []
        self.not_heard: set[str] = set()
        self.failure: BaseException | None = None
        self.returned = threading.Event()
        self._watched = set(watched)
        self._held = set(held)
        self._told: tuple[set[str], set[str]] = set(), set()
        self._news = threading.Condition()

    def changes(self) -> Changes:
        watched, held = self._told
        self._told = set(self._watched), set(self._held)
        come, holds = self._told
        return Changes(come - watched, watched - come, holds - held, held - holds)

    def ready(self, job_ids: Iterable[str]) -> None:
        with self._news:
            self.is_ready += job_ids
            self._news.notify_all()

    def unheard(self, job_ids: Iterable[str], error: BrokerUnavailable) -> None:
        assert self.failure is None, error
        with self._news:
            self.not_heard |= set(job_ids)
            self._news.notify_all()

    def news(self, job_id: str, epoch: str, seq: int, line: Line) -> None:
        with self._news:
            self.told.append((job_id, epoch, seq, line))
            self._news.notify_all()

    def changed(self, job_id: str) -> None:
        raise AssertionError("this store tells what is new")

    def asked(self, job_id: str) -> None:
        with self._news:
            self.stops.append(job_id)
            self._news.notify_all()

    def watch(self, *job_ids: str) -> None:
        self._watched |= set(job_ids)
        self.bell.ring()

    def unwatch(self, *job_ids: str) -> None:
        self._watched -= set(job_ids)
        self.bell.ring()

    def hold(self, *job_ids: str) -> None:
        self._held |= set(job_ids)
        self.bell.ring()

    def seqs(self, job_id: str) -> list[int]:
        return [seq for told, _, seq, _ in self.told if told == job_id]

    def until_told(self, count: int, seconds: float = 10) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.told) >= count, seconds), self.told

    def until_ready(self, count: int, seconds: float = 10) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.is_ready) >= count, seconds), self.failure

    def until_unheard(self, seconds: float = 10) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.not_heard, seconds), self.failure

    def until_asked(self, count: int, seconds: float = 10) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.stops) >= count, seconds)


@contextmanager
def listening(store: Store, listener: Noting) -> Iterator[Noting]:
    """Listen in a thread, as a broker does."""

    def listen() -> None:
        try:
            store.listen(listener)
        except BaseException as error:
            listener.failure = error
        finally:
            listener.returned.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.closed = True
        listener.bell.ring()
        thread.join(10)
        listener.bell.close()
        assert not thread.is_alive()
