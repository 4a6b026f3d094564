"""The contract notices stores that don't keep it, each by the test that is meant for it."""

import inspect
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sseprog._settings import Settings
from sseprog.brokers.sqlite import SQLiteBroker, SQLiteStore
from sseprog.errors import SSEProgError
from sseprog.store import (
    Answer,
    Append,
    Begin,
    Cancel,
    Create,
    Expire,
    Line,
    Renew,
    View,
    Want,
    Write,
)
from sseprog.testing import BrokerContract

replace = msgspec.structs.replace


class Changing(SQLiteStore):
    """A store that carries out something else than what it was told."""

    def change(self, write: Write) -> Write | None:
        return write

    def write(self, batch: Sequence[Write]) -> list[Answer]:
        answers = []
        for write in batch:
            changed = self.change(write)
            answers += [Answer("ok", "e", 1, 1)] if changed is None else super().write([changed])
        return answers


class ForgetsOwners(Changing):
    def change(self, write: Write) -> Write | None:
        return replace(write, owner=None) if isinstance(write, Create) else write


class LosesTheEnd(Changing):
    def change(self, write: Write) -> Write | None:
        return None if isinstance(write, Append) and write.line.terminal else write


class WritesTwice(Changing):
    def change(self, write: Write) -> Write | None:
        return replace(write, writer=secrets.token_hex(8)) if isinstance(write, Append) else write


class NeverRenews(Changing):
    def change(self, write: Write) -> Write | None:
        return None if isinstance(write, Renew) else write


class NeverExpires(Changing):
    def write(self, batch: Sequence[Write]) -> list[Answer]:
        right = super().write([write for write in batch if not isinstance(write, Expire)])
        return [Answer("no") if isinstance(write, Expire) else right.pop(0) for write in batch]


class GoesOnInTheOldLog(Changing):
    def change(self, write: Write) -> Write | None:
        return replace(write, resume=False) if isinstance(write, Begin) else write


class EndsHeldJobs(Changing):
    def change(self, write: Write) -> Write | None:
        if isinstance(write, Cancel):
            (view,) = self.read([Want(write.job_id)])
            assert view is not None
            token = self._writing.use().execute("SELECT token FROM sseprog_jobs").fetchone()[0]
            return Append(write.job_id, token, "w", 1, "", -1, "s", write.line)
        return write


class SwapsEvents(SQLiteStore):
    def write(self, batch: Sequence[Write]) -> list[Answer]:
        lines = [write.line for write in batch if isinstance(write, Append)]
        swapped = [
            replace(write, line=lines.pop()) if isinstance(write, Append) else write
            for write in batch
        ]
        return super().write(swapped)


class ReadsTheCursorToo(SQLiteStore):
    def read(self, wants: Sequence[Want]) -> list[View | None]:
        return super().read([want._replace(after=want.after - 1) for want in wants])


class ReadsOneTooFew(SQLiteStore):
    def read(self, wants: Sequence[Want]) -> list[View | None]:
        return [
            view and view._replace(lines=view.lines[1:] or view.lines)
            for view in super().read(wants)
        ]


class _Deaf:
    """A listener that hears what a store tells it with something left out."""

    def __init__(self, listener: Any, *left_out: str) -> None:
        self._listener = listener
        self._left_out = left_out

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name in self._left_out else getattr(self._listener, name)


class TellsNothing(SQLiteStore):
    def listen(self, listener: Any) -> None:
        super().listen(_Deaf(listener, "news"))


class AsksNobody(SQLiteStore):
    def listen(self, listener: Any) -> None:
        super().listen(_Deaf(listener, "asked"))


class ReadyForTheFirstOnly(SQLiteStore):
    def listen(self, listener: Any) -> None:
        told: list[str] = []

        def ready(job_ids: Any) -> None:
            if not told:
                told.extend(job_ids)
                listener.ready(job_ids)

        deaf = _Deaf(listener)
        deaf.ready = ready  # type: ignore[attr-defined]
        super().listen(deaf)


class LeavesEventsOut(SQLiteStore):
    """And numbers the others anew, so that nobody sees a gap."""

    def listen(self, listener: Any) -> None:
        def news(job_id: str, epoch: str, seq: int, line: Line) -> None:
            if seq != 5:
                listener.news(job_id, epoch, seq - (seq > 5), line)

        deaf = _Deaf(listener)
        deaf.news = news  # type: ignore[attr-defined]
        super().listen(deaf)


class NeverForgets(SQLiteStore):
    def __init__(self, url: str, settings: Settings) -> None:
        super().__init__(url, msgspec.structs.replace(settings, ttl=None))


class KeepsEverything(SQLiteStore):
    def __init__(self, url: str, settings: Settings) -> None:
        super().__init__(url, msgspec.structs.replace(settings, retention=None))


BITES = {
    ForgetsOwners: "test_the_owner_is_kept",
    LosesTheEnd: "test_an_ended_job_accepts_nothing_and_can_be_read",
    WritesTwice: "test_a_batch_that_is_repeated_changes_nothing",
    NeverRenews: "test_a_holder_that_lives_keeps_its_job_however_quiet_it_is",
    NeverExpires: "test_a_job_whose_holder_has_died_is_stalled_and_then_lost_once",
    GoesOnInTheOldLog: "test_a_job_that_is_resumed_begins_anew_under_a_new_epoch",
    EndsHeldJobs: "test_the_holder_of_a_job_is_asked_to_stop",
    SwapsEvents: "test_a_store_does_what_decide_says",
    ReadsTheCursorToo: "test_what_follows_a_cursor_is_read_and_all_of_another_epoch",
    ReadsOneTooFew: "test_what_follows_a_cursor_is_read_and_all_of_another_epoch",
    TellsNothing: "test_every_watcher_of_the_job_is_woken_and_no_other",
    AsksNobody: "test_the_holder_of_a_job_is_asked_to_stop",
    ReadyForTheFirstOnly: "test_a_listener_is_told_all_of_its_jobs_from_ready_on",
    LeavesEventsOut: "test_events_are_numbered_without_a_gap_and_kept_as_they_were",
    NeverForgets: "test_an_ended_job_is_forgotten_after_its_time_to_live_and_no_other",
    KeepsEverything: "test_the_newest_events_are_kept_and_no_more",
}

SETTINGS = {
    "test_a_holder_that_lives_keeps_its_job_however_quiet_it_is": Settings(lease=0.6),
    "test_a_job_whose_holder_has_died_is_stalled_and_then_lost_once": Settings(lease=1.0),
    "test_an_ended_job_is_forgotten_after_its_time_to_live_and_no_other": Settings(ttl=0.3),
    "test_the_newest_events_are_kept_and_no_more": Settings(retention=3),
}


def run_contract(test: str, store_type: type[SQLiteStore], folder: Path) -> None:
    """Run one test of the contract by hand, as pytest would."""

    class Broken(SQLiteBroker):
        pass

    Broken.store_type = store_type
    settings = SETTINGS.get(test, Settings())
    folder.mkdir()
    url = f"sqlite:///{folder / 'jobs.db'}"
    broker, another = Broken(url, settings), Broken(url, settings)
    store = store_type(url, settings)
    given = {"broker": broker, "another": another, "settings": settings, "store": store}
    given |= {"owner": "7", "status": "failed", "seed": 0}
    function = getattr(BrokerContract(), test)
    try:
        function(**{name: given[name] for name in inspect.signature(function).parameters})
    finally:
        broker.close()
        another.close()
        store.close()


@pytest.mark.parametrize("broken", BITES, ids=lambda broken: broken.__name__)
def test_the_contract_catches_a_broken_store(
    broken: type[SQLiteStore], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_contract(BITES[broken], SQLiteStore, tmp_path / "right")
    monkeypatch.setattr("sseprog.testing._watcher.PATIENCE", 1.0)
    monkeypatch.setattr("sseprog.testing._broker_stores.PATIENCE", 1.0)
    monkeypatch.setattr("sseprog.shared.TO_ASK", 1.0)
    with pytest.raises((AssertionError, SSEProgError, pytest.fail.Exception)):
        run_contract(BITES[broken], broken, tmp_path / "broken")
