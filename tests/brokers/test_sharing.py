"""What a hub does with a broker that processes share, whichever it is: here the one in a file."""

import asyncio
import json
import logging
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sseprog import Hub, JobCancelled, JobEnded, JobFailed, Progress
from sseprog._listener import Changes
from sseprog._settings import Settings
from sseprog.brokers.sqlite import SQLiteBroker, SQLiteStore
from sseprog.errors import BrokerUnavailable, JobNotFound


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
def hubs(url: str) -> Iterator[Callable[..., Hub]]:
    made: list[Hub] = []

    def make(**settings: float | None) -> Hub:
        made.append(Hub(url, **settings))
        return made[-1]

    yield make
    for hub in made:
        hub.close()


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the file's lock, as a process does that was stopped in mid-write."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def run(program: str, *arguments: str) -> list[object]:
    """Run a program in a process of its own; return what it prints, which is JSON."""
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return [json.loads(line) for line in ran.stdout.splitlines()]


def events(frames: bytes) -> list[tuple[str, dict[str, object]]]:
    found = []
    for frame in frames.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_a_stream_here_shows_a_job_there_to_its_end(hubs: Callable[..., Hub]) -> None:
    works, serves = hubs(throttle=0), hubs()
    job_id = works.create(owner=7)
    stream = serves.stream(job_id)
    first = next(stream)
    with works.job(job_id) as job:
        for percent in (10, 50):
            job.update(percent, stage="reading")
    seen = events(first + b"".join(stream))
    assert [name for name, _ in seen] == ["status", "progress", "progress", "progress", "complete"]
    assert [data["progress"] for _, data in seen] == [None, None, 10, 50, 100]
    assert serves.broker.owner(job_id) == "7"


def test_a_script_that_ends_has_told_how_its_job_ended(hubs: Callable[..., Hub], url: str) -> None:
    program = """
import sys
from sseprog import Hub
with Hub(sys.argv[1]).job("j") as job:
    job.update(50, stage="half")
"""
    run(program, url)
    state = hubs().snapshot("j")
    assert (state.status, state.progress, state.stage) == ("completed", 100, "half")


def test_a_hub_is_used_before_and_after_a_fork(hubs: Callable[..., Hub], url: str) -> None:
    program = """
import json, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking while there are threads
from sseprog import Hub
hub = Hub(sys.argv[1], throttle=0)
hub.create("before")
stream = hub.stream("before")
next(stream)
with hub.job("of the parent".replace(" ", "-")) as job:
    job.update(10)
    child = os.fork()
    if not child:
        with hub.job("of-the-child") as mine:
            mine.update(30)
        print(json.dumps([hub.snapshot("before").status, threading.active_count() > 1]))
        sys.stdout.flush()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    job.update(20)
with hub.job("before"):
    pass
ended = b"".join(stream).count(b"event: complete")
print(json.dumps(ended))
hub.close()
"""
    assert run(program, url) == [["pending", True], 1]
    hub = hubs()
    for job_id in ("before", "of-the-parent", "of-the-child"):
        assert hub.snapshot(job_id).status == "completed", job_id


def test_a_job_goes_on_in_a_child_that_its_block_has_forked(
    hubs: Callable[..., Hub], url: str
) -> None:
    program = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from sseprog import Hub
hub = Hub(sys.argv[1], throttle=0)
with hub.job("j") as job:
    job.update(10)
    child = os.fork()
    if not child:
        job.update(60, stage="in the child")
        assert hub.broker.flush("j", 10)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    job.update(70)
"""
    run(program, url)
    hub = hubs()
    stages = [data["stage"] for _, data in events(b"".join(hub.stream("j", from_start=True)))]
    assert "in the child" in stages
    assert hub.snapshot("j").status == "completed"


def test_reports_neither_wait_nor_fail_while_the_broker_is_away_and_none_that_counts_is_lost(
    hubs: Callable[..., Hub], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    works, serves = hubs(throttle=0), hubs()
    with works.job("j") as job:
        job.update(1, stage="one")
        stream = serves.stream("j")
        frames = next(stream)
        with locked(url):
            for stage in ("two", "three"):
                for percent in range(20):
                    job.update(percent, stage=stage)
        job.update(99, stage="three")
    frames += b"".join(stream)
    seen = events(frames)
    stages = list(dict.fromkeys(data["stage"] for _, data in seen if data["stage"]))
    assert stages == ["one", "two", "three"]
    assert [name for name, _ in seen].count("complete") == 1
    assert seen[-1][1]["progress"] == 100


def test_a_block_waits_for_its_end_to_arrive_but_not_for_ever(
    hubs: Callable[..., Hub], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    works, serves = hubs(flush_timeout=0.3), hubs()
    with pytest.raises(JobFailed), works.job("j"):
        assert works.broker.flush("j", 10)
        lock = locked(url)
        lock.__enter__()
        raise JobFailed("The file has no header row.")
    assert "job j has ended, but the broker doesn't have that after 0.3 s" in caplog.text
    assert not serves.snapshot("j").ended
    stream = serves.stream("j")
    lock.__exit__(None, None, None)
    assert b"The file has no header row." in b"".join(stream)


def test_a_job_is_made_and_begun_later_where_the_broker_is_away(
    hubs: Callable[..., Hub], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    works, serves = hubs(flush_timeout=0.1), hubs()
    works.create("first")
    with locked(url):
        job_id = works.create(owner="7")
        with works.job(job_id) as job:
            job.update(10)
        with pytest.raises(BrokerUnavailable):
            works.cancel("first")
    assert works.broker.flush(job_id, 20)
    assert serves.snapshot(job_id).status == "completed"
    assert serves.broker.owner(job_id) == "7"


def test_a_job_that_is_on_its_way_is_not_said_to_be_unknown(
    hubs: Callable[..., Hub], url: str
) -> None:
    works = hubs(flush_timeout=0.1)
    works.create("first")
    with locked(url):
        job_id = works.create()
        with pytest.raises(BrokerUnavailable):
            works.snapshot(job_id)
        with works.job("begun"), pytest.raises(BrokerUnavailable):
            works.snapshot("begun")
    for each in (job_id, "begun"):
        works.snapshot(each)
    with pytest.raises(JobNotFound):
        hubs().snapshot("unknown")


def test_a_job_that_was_taken_over_raises_at_the_next_report(hubs: Callable[..., Hub]) -> None:
    one, two = hubs(throttle=0), hubs(throttle=0)
    told = threading.Event()
    with one.job("j") as old:
        old.update(30)
        with two.job("j") as new:
            assert new.state.progress == 30
            old._on_stop = told.set
            old.update(40)
            assert told.wait(10)
            with pytest.raises(JobEnded):
                old.update(50)
            new.update(60)
    state = two.snapshot("j")
    assert (state.status, state.progress) == ("completed", 100)


def test_a_job_is_cancelled_from_another_process(hubs: Callable[..., Hub]) -> None:
    works, serves = hubs(throttle=0), hubs()
    told = threading.Event()
    with pytest.raises(JobCancelled), works.job("j") as job:
        job._on_stop = told.set
        serves.cancel("j")
        assert told.wait(1)  # second
        job.update(1)
    assert b'"status":"cancelled"' in b"".join(serves.stream("j"))


def test_an_attempt_is_counted_and_starts_from_0(hubs: Callable[..., Hub]) -> None:
    one, two = hubs(throttle=0), hubs(throttle=0)
    with pytest.raises(JobFailed), one.job("j", resume=True) as job:
        job.update(70, details={"rows": 3})
        raise JobFailed("no")
    assert one.broker.flush("j", 10)
    assert job.state.details == {"rows": 3, "attempt": 1, "code": "failed"}
    with two.job("j", resume=True) as job:
        assert (job.state.progress, job.state.details) == (None, {"attempt": 2})
        job.update(10)
        job.postpone("Trying again in a minute")
    assert (job.state.status, job.state.details["attempt"]) == ("pending", 2)
    with one.job("j", resume=True) as job:
        job.update(20)
    assert job.state.details["attempt"] == 3
    assert job.state.status == "completed"


def test_an_emitter_is_run_as_the_attempt_of_a_task(hubs: Callable[..., Hub]) -> None:
    works = hubs()

    def once(fails: bool) -> Iterator[Progress]:
        yield Progress(50)
        if fails:
            raise JobFailed("no")

    with pytest.raises(JobFailed):
        works.run(once, job_id="j", resume=True, fails=True)
    state = works.run(once, job_id="j", resume=True, fails=False)
    assert (state.status, state.details) == ("completed", {"attempt": 2})


def test_coroutines_report_and_read_without_waiting_in_the_loop(
    hubs: Callable[..., Hub], url: str
) -> None:
    works, serves = hubs(throttle=0), hubs()

    async def main() -> bytes:
        assert not await serves.load("j")
        with pytest.raises(JobNotFound):
            serves.astream("j")
        works.create("j")
        assert await serves.load("j")
        stream = serves.astream("j")
        async with works.job("j") as job:
            job.update(50)
        return b"".join([chunk async for chunk in stream])

    assert [name for name, _ in events(asyncio.run(main()))][-1] == "complete"


def test_an_id_that_is_used_again_shows_its_new_job_at_once(hubs: Callable[..., Hub]) -> None:
    works, serves = hubs(), hubs()
    with works.job("j"):
        pass
    assert serves.snapshot("j").status == "completed"
    assert not threading.Event().wait(0.3)  # so that the end is no news any more
    for _ in range(20):
        works.create("j", owner=8)
        assert (serves.snapshot("j").status, serves.broker.owner("j")) == ("pending", "8")
        with works.job("j"):
            pass
        assert b"event: complete" in b"".join(serves.stream("j"))
        assert not threading.Event().wait(0.3)


def test_jobs_that_nobody_uses_are_let_go(
    hubs: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    monkeypatch.setattr("sseprog._mirrors.LINGER", 0.2)
    works, serves = hubs(lease=1), hubs(lease=1)
    with works.job("runs"):
        for number in range(5):
            with works.job(f"ends-{number}"):
                pass
            assert serves.snapshot(f"ends-{number}").status == "completed"
        assert serves.snapshot("runs").status == "running"
        mirrors = serves.broker._mirrors
        eventually(lambda: not mirrors._jobs)
        assert serves.snapshot("runs").status == "running"


def test_a_job_that_has_ended_is_read_again_though_nothing_is_told_of_it(
    hubs: Callable[..., Hub],
) -> None:
    works, serves = hubs(), hubs()
    with works.job("j"):
        pass
    for _ in range(3):
        assert serves.snapshot("j").status == "completed"
        assert not threading.Event().wait(0.3)  # so that the end is no news any more


class _Followed(SQLiteStore):
    """A store that notes what it was told to watch, and whether that makes sense."""

    def listen(self, listener: Any) -> None:
        self.watched: set[str] = set()
        self.wrong: list[str] = []
        following = self

        class Following:
            def __getattr__(self, name: str) -> Any:
                return getattr(listener, name)

            def changes(self) -> Changes:
                changes: Changes = listener.changes()
                following.wrong += following.watched.intersection(changes.watch)
                following.wrong += set(changes.unwatch).difference(following.watched)
                following.watched.difference_update(changes.unwatch)
                following.watched.update(changes.watch)
                return changes

        super().listen(Following())


class _FollowedBroker(SQLiteBroker):
    store_type = _Followed


def test_jobs_that_come_and_go_and_come_are_followed_and_no_others(
    hubs: Callable[..., Hub],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., None],
) -> None:
    monkeypatch.setattr("sseprog._mirrors.LINGER", 0.05)
    works = hubs(throttle=0)
    broker = _FollowedBroker(url, Settings(lease=0.1))  # looks for who is unused 40 times a second
    serves = Hub(broker)
    ids = [f"j-{number}" for number in range(24)]

    def opened(job_id: str) -> Iterator[bytes]:
        while True:
            with suppress(JobNotFound):  # it may be let go of before it is found
                stream = serves.stream(job_id)
                next(stream)
                return stream

    def never(there: bool | None) -> None:
        """Be told of a job that nobody waits for any more."""

    def watch(watcher: int) -> None:
        chance = random.Random(watcher)  # noqa: S311
        for _ in range(40):
            forgotten = chance.choice(ids)
            broker.load(forgotten, never)
            broker._mirrors.forget_load(forgotten, never)
            opened(chance.choice(ids))
            assert not threading.Event().wait(chance.choice([0.0, 0.01, 0.03]))

    with ExitStack() as stack:
        jobs = [stack.enter_context(works.job(works.create(job_id))) for job_id in ids]
        threads = [threading.Thread(target=watch, args=(watcher,)) for watcher in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for job in jobs:
                job.update()
            threads[0].join(0.01)
        streams = {job_id: opened(job_id) for job_id in ids}
    for job_id, stream in streams.items():
        assert b"event: complete" in b"".join(stream), job_id
    assert not broker._store.wrong
    eventually(lambda: not broker._mirrors._jobs)
    eventually(lambda: not broker._store.watched)
    serves.close()


def test_a_process_that_was_asleep_for_two_leases_gives_up_jobs_that_nobody_watched(
    hubs: Callable[..., Hub], url: str
) -> None:
    program = """
import sys, time
from sseprog import Hub, JobEnded
hub = Hub(sys.argv[1], throttle=0, lease=0.5)
with hub.job("j") as job:
    print("begun", flush=True)
    while True:
        time.sleep(0.05)
        job.update(50)
"""
    emitter = subprocess.Popen(
        [sys.executable, "-c", program, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert emitter.stdout is not None
        assert emitter.stdout.readline() == b"begun\n"
        assert not threading.Event().wait(0.5)
        emitter.send_signal(signal.SIGSTOP)
        assert not threading.Event().wait(2.0)
        emitter.send_signal(signal.SIGCONT)
        _, stderr = emitter.communicate(timeout=20)
    finally:
        emitter.kill()
        emitter.wait()
    assert b"JobEnded" in stderr
    assert hubs().snapshot("j").status == "lost"


def test_threads_and_connections_end_with_the_hub(url: str) -> None:
    before = threading.active_count()
    for _ in range(3):
        hub = Hub(url)
        with hub.job("j", resume=True):
            hub.snapshot("j")
        hub.close()
        hub.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "sqlite:///jobs.db"),
        ("sqlite:///", "sqlite:///jobs.db"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////no/such/folder/jobs.db", "there is no folder '/no/such/folder'"),
    ],
)
def test_a_url_that_names_no_file_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("/", r"\/")):
        Hub(url)


@pytest.mark.parametrize("lost", ["the file", "a table"])
def test_what_was_deleted_is_made_anew_and_jobs_that_run_are_told_again(
    hubs: Callable[..., Hub], url: str, lost: str
) -> None:
    works, serves = hubs(throttle=0), hubs()
    file = Path(url.removeprefix("sqlite:///"))
    with works.job("j") as job:
        job.update(10, stage="before")
        stream = serves.stream("j")
        frames = next(stream)
        if lost == "the file":
            for part in file.parent.glob(f"{file.name}*"):
                part.unlink()
        else:
            connection = sqlite3.connect(file)
            connection.execute("DROP TABLE sseprog_jobs")
            connection.close()
        job.update(50, stage="after")
    for _ in range(100):  # it may have been cut, as a page is that comes back then
        frames += b"".join(stream)
        if b"event: complete" in frames:
            break
        stream = serves.stream("j")
    assert serves.snapshot("j").status == "completed"
    assert [name for name, _ in events(frames)].count("complete") == 1


def test_a_file_that_is_no_database_is_named_in_the_log_and_harms_no_job(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(url.removeprefix("sqlite:///")).write_bytes(b"no database" * 1000)
    hub = Hub(url, flush_timeout=0.1)
    with caplog.at_level(logging.WARNING), hub.job("j") as job:
        job.update(50)
    assert job.state.status == "completed"
    assert "file is not a database" in caplog.text
    hub.close()
