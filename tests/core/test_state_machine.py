"""Anything may happen in any order, and no stream has a gap, a duplicate, or a second end."""

import json
from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from sseprog import Hub, Job, JobCancelled, JobEnded
from sseprog._streams import SyncStream

from .event_stream import EventStreamParser, Seen

RETENTION = 6
CONFLATE_AFTER = 3


@dataclass
class Reader:
    """A stream, and what the model expects its next event to follow."""

    stream: SyncStream
    status: int
    resumed: bool | None
    replay_to: int
    from_terminal: bool = False
    parser: EventStreamParser = field(default_factory=EventStreamParser)
    at: int | None = None
    ended: bool = False
    taken: int = 0
    lag: int = 0


class Streams(RuleBasedStateMachine):
    """One job at a time, with as many streams as come; the model is the list of its states."""

    readers = Bundle("readers")
    cursors = Bundle("cursors")

    @initialize()
    def begin_the_day(self) -> None:
        self.hub = Hub(
            retention=RETENTION, conflate_after=CONFLATE_AFTER, throttle=0, max_stream_age=None
        )
        self.open: list[Reader] = []
        self.epochs: set[str] = set()
        self.job: Job | None = None
        self.create()

    def create(self) -> None:
        self.hub.create("j")
        self.job = None
        self.states: list[tuple[str, str, str]] = [("pending", "", "")]  # status, stage, message
        self.epoch = self.hub.broker.newest("j")[0]
        assert self.epoch not in self.epochs
        self.epochs.add(self.epoch)

    @property
    def ended(self) -> bool:
        return self.states[-1][0] in {"completed", "failed", "cancelled"}

    @property
    def newest(self) -> int:
        return len(self.states) - 1

    @property
    def oldest(self) -> int:
        return max(0, len(self.states) - RETENTION)

    @precondition(lambda self: self.ended and all(reader.ended for reader in self.open))
    @rule()
    def use_the_id_again(self) -> None:
        self.open.clear()
        self.create()

    @precondition(lambda self: not self.ended)
    @rule()
    def begin(self) -> None:
        self.job = self.hub.job("j").__enter__()
        self.states.append(("running", "", ""))

    @precondition(lambda self: self.job is not None and not self.ended)
    @rule(stage=st.sampled_from("aab"), count=st.integers(1, RETENTION + 2))
    def update(self, stage: str, count: int) -> None:
        assert self.job is not None
        for _ in range(count):
            message = f"{len(self.states)}"
            self.job.update(1, stage=stage, message=message)
            self.states.append(("running", stage, message))

    @precondition(lambda self: self.job is not None and not self.ended)
    @rule(how=st.sampled_from(["complete", "fail", "cancel"]))
    def end(self, how: str) -> None:
        assert self.job is not None
        _, stage, message = self.states[-1]
        if how == "complete":
            self.job.__exit__(None, None, None)
            self.states.append(("completed", stage, message))
        elif how == "fail":
            self.job.__exit__(OSError, OSError("secret"), None)
            self.states.append(("failed", stage, "The job failed."))
        else:
            self.hub.cancel("j")
            try:
                self.job.update(2)
            except JobCancelled as error:
                self.job.__exit__(JobCancelled, error, None)
            self.states.append(("cancelled", stage, "The job was cancelled."))

    @precondition(lambda self: self.job is None and not self.ended)
    @rule()
    def cancel_before_it_begins(self) -> None:
        self.hub.cancel("j")
        self.states.append(("cancelled", "", "The job was cancelled."))

    @precondition(lambda self: self.ended)
    @rule()
    def end_again(self) -> None:
        for call in (lambda: self.hub.cancel("j"), self.hub.job("j").__enter__):
            try:
                call()
            except JobEnded:
                continue
            raise AssertionError("an ended job was changed")

    @rule(target=readers, from_start=st.booleans())
    def subscribe(self, from_start: bool) -> Reader:
        stream = self.hub.stream("j", from_start=from_start)
        assert isinstance(stream, SyncStream)
        status = self.oldest if from_start else self.newest
        return self.opened(Reader(stream, status, None, self.newest))

    @rule(target=readers, cursor=cursors)
    def resume(self, cursor: str) -> object:
        stream = self.hub.stream("j", last_event_id=cursor)
        assert isinstance(stream, SyncStream)
        epoch, _, number = cursor.rpartition("-")
        seq = int(number)
        nothing_left = self.ended and epoch == self.epoch and seq == self.newest
        assert stream.subscription.ended is nothing_left
        if nothing_left:
            assert list(stream) == []
            return multiple()
        held = epoch == self.epoch and self.oldest <= seq <= self.newest
        return self.opened(Reader(stream, seq if held else self.newest, held, self.newest))

    @rule(target=readers, cursor=st.sampled_from(["0-0", "unknown-1", "e-99999"]))
    def subscribe_with_an_unknown_cursor(self, cursor: str) -> Reader:
        stream = self.hub.stream("j", last_event_id=cursor)
        assert isinstance(stream, SyncStream)
        return self.opened(Reader(stream, self.newest, False, self.newest))

    def opened(self, reader: Reader) -> Reader:
        reader.from_terminal = self.ended and reader.status == self.newest
        self.open.append(reader)
        return reader

    @rule(reader=readers)
    def read(self, reader: Reader) -> None:
        """Let a client read what is due; one that is not asked to, lags."""
        if not reader.ended and (self.ended or reader.stream.subscription.behind or not reader.at):
            self.take(reader)

    def take(self, reader: Reader) -> None:
        if reader.taken and not self.ended and not reader.stream.subscription.behind:
            return
        reader.taken += 1
        reader.lag = self.newest - (reader.status if reader.at is None else reader.at)
        before = len(reader.parser.events)
        reader.parser.feed(next(reader.stream))
        for seen in reader.parser.events[before:]:
            self.check(reader, seen)
        if reader.ended:
            assert next(reader.stream, None) is None
        else:
            assert reader.at == self.newest

    def check(self, reader: Reader, seen: Seen) -> None:
        assert not reader.ended
        epoch, _, number = seen.last_event_id.rpartition("-")
        seq = int(number)
        assert epoch == self.epoch
        state = json.loads(seen.data)
        told = (state["status"], state["stage"], state["message"])
        if seen.name == "status":
            self.check_status(reader, seq, told, state.get("resumed"))
            return
        assert reader.at is not None
        assert seq > reader.at
        assert told == self.states[seq]
        self.check_skipped(reader, seq)
        reader.at = seq
        reader.ended = seen.name in {"complete", "error"}
        assert reader.ended is (self.ended and seq == self.newest)
        assert (seen.name == "complete") is (told[0] == "completed")

    def check_status(
        self, reader: Reader, seq: int, told: tuple[str, str, str], resumed: bool | None
    ) -> None:
        if reader.at is None:
            expected = reader.status
            assert resumed is reader.resumed
            terminal = reader.from_terminal
        else:  # only who fell out of the log is told a second time
            assert reader.at < self.oldest - 1
            assert resumed is False
            expected, terminal = self.newest, self.ended
        assert told == self.states[expected]
        # An end that is shown first is still to come as an event, so its number is not given yet.
        assert seq == expected - terminal
        reader.at = seq

    def check_skipped(self, reader: Reader, seq: int) -> None:
        """Only `progress` that a newer one of the same stage replaces may be left out."""
        assert reader.at is not None
        skipped = range(reader.at + 1, seq)
        if skipped:
            assert reader.lag > CONFLATE_AFTER
            assert self.newest - reader.lag >= reader.replay_to
        for number in skipped:
            assert self.states[number][1] == self.states[number - 1][1], "a stage's first event"
            assert self.states[number][1] == self.states[number + 1][1], "a stage's newest event"

    @rule(target=cursors, reader=consumes(readers))
    def cut(self, reader: Reader) -> object:
        reader.stream.close()
        if reader in self.open:
            self.open.remove(reader)
        return reader.parser.last_event_id or multiple()

    @invariant()
    def streams_are_counted(self) -> None:
        if hasattr(self, "open"):
            assert self.hub.streams == sum(not reader.stream.closed for reader in self.open)

    def teardown(self) -> None:
        if not hasattr(self, "open"):
            return
        if not self.ended and self.job is not None:
            self.end("complete")
        for reader in self.open:
            if self.ended and not reader.ended:
                self.take(reader)
                assert reader.ended
            reader.stream.close()
        self.hub.close()


TestStreams = Streams.TestCase
TestStreams.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
