"""Jobs in a real Redis: what is written is there, is told, and survives what servers go through."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from sseprog._settings import Settings
from sseprog.brokers.redis import RedisStore
from sseprog.errors import BrokerUnavailable
from sseprog.store import Append, Begin, Cancel, Create, Line, Renew, Store, Want, Write

from .redis_listener import Noting, listening
from .redis_server import RedisServer, cluster, sentinels, server, tls_server, wait_until

SOON = 5.0
"""Seconds within which a mute server is found out."""


def line(number: int, kind: Any = "p") -> Line:
    return Line(kind, b'{"progress": %d, "raw": "\xc3\xa9 \\r\\n"}' % number)


def create(job_id: str, owner: str | None = None) -> Create:
    return Create(job_id, "e1", owner, line(0))


def begin(job_id: str, by: str = "t1", *, resume: bool = False) -> Begin:
    return Begin(job_id, by, "e2", resume, line(100))


def append(job_id: str, number: int, kind: Any = "p") -> Append:
    return Append(job_id, "t1", "t1", number, "e1", -1, "spare", line(number, kind))


def started(store: Store, *job_ids: str) -> None:
    store.write([create(job_id) for job_id in job_ids])
    store.write([begin(job_id) for job_id in job_ids])


def said(store: Store, *writes: Write) -> list[str]:
    return [answer.said for answer in store.write(writes)]


def seqs_kept(store: Store, want: Want) -> list[bytes]:
    (view,) = store.read([want])
    assert view is not None
    return [line.data for line in view.lines]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def redis_server(shared: RedisServer) -> RedisServer:
    """A server with nothing in it."""
    with shared.client() as client:
        client.flushall()
        client.script_flush()
    return shared


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis_server.client() as client:
        yield client


@pytest.fixture
def make() -> Iterator[Callable[..., RedisStore]]:
    stores: list[RedisStore] = []

    def make(url: str, **options: Any) -> RedisStore:
        stores.append(RedisStore(url, Settings(**options)))
        return stores[-1]

    yield make
    for store in stores:
        store.abandon()  # some of their servers are dead, or mute


@pytest.fixture
def store(redis_server: RedisServer, make: Callable[..., RedisStore]) -> RedisStore:
    return make(redis_server.url)


def test_what_is_written_can_be_read(store: RedisStore) -> None:
    assert said(store, create("a", owner="7"), begin("a"), append("a", 1)) == ["ok"] * 3
    (view, nothing) = store.read([Want("a"), Want("nobody")])
    assert nothing is None
    assert view is not None
    assert (view.job_id, view.epoch, view.seq, view.owner) == ("a", "e1", 1, "7")
    assert view.lines == [line(0), line(1)]
    assert view.lease == pytest.approx(30, abs=1)
    assert not view.stalled


def test_only_what_is_wanted_is_read(store: RedisStore) -> None:
    started(store, "a")
    store.write([append("a", number) for number in range(1, 5)])
    assert seqs_kept(store, Want("a", "e1", 2)) == [line(3).data, line(4).data]
    assert seqs_kept(store, Want("a", "e1", 4)) == []
    assert seqs_kept(store, Want("a", "other", 2)) == [line(n).data for n in range(5)]
    assert seqs_kept(store, Want("a", newest=True)) == [line(4).data]


def test_the_newest_events_are_kept(redis_server: RedisServer, make: Callable[..., Any]) -> None:
    store = make(redis_server.url, retention=3)
    started(store, "a")
    store.write([append("a", number) for number in range(1, 9)])
    assert seqs_kept(store, Want("a")) == [line(n).data for n in (6, 7, 8)]
    everything = make(redis_server.url, retention=None)
    started(everything, "b")
    everything.write([append("b", number) for number in range(1, 400)])
    assert len(seqs_kept(everything, Want("b"))) == 400


def test_an_ended_job_keeps_its_end_longer_than_its_log(
    store: RedisStore, client: redis.Redis
) -> None:
    started(store, "a")
    store.write([append("a", 1), append("a", 2, "c")])
    assert len(seqs_kept(store, Want("a"))) == 3
    assert client.ttl("sseprog:{a}:log") == pytest.approx(60, abs=2)
    assert client.ttl("sseprog:{a}") == pytest.approx(3600, abs=2)
    client.delete("sseprog:{a}:log")
    for want in (Want("a"), Want("a", "e1", 0), Want("a", newest=True)):
        assert seqs_kept(store, want) == [line(2).data]
    assert seqs_kept(store, Want("a", "e1", 2)) == []


def test_a_job_that_has_ended_is_begun_anew(store: RedisStore, client: redis.Redis) -> None:
    started(store, "a")
    store.write([append("a", 1, "e")])
    assert said(store, begin("a", "t2"), begin("a", "t2", resume=True)) == ["ended", "ok"]
    (view,) = store.read([Want("a")])
    assert view is not None
    assert (view.epoch, view.seq, view.lines) == ("e2", 0, [line(100)])
    assert not client.hexists("sseprog:{a}", "data")
    assert client.ttl("sseprog:{a}:log") > 3600


def test_a_time_to_live_that_is_over_makes_a_job_unknown(
    redis_server: RedisServer, make: Callable[..., RedisStore]
) -> None:
    store = make(redis_server.url, ttl=0.05)
    started(store, "a")
    store.write([append("a", 1, "c")])
    wait_until(lambda: store.read([Want("a")]) == [None], "the job is forgotten")
    assert said(store, Renew("a", "t1")) == ["unknown"]
    assert store.recent(9) == []


def test_without_a_time_to_live_a_job_stays(
    redis_server: RedisServer, make: Callable[..., RedisStore], client: redis.Redis
) -> None:
    store = make(redis_server.url, ttl=None, lease=None)
    started(store, "a")
    assert client.ttl("sseprog:{a}") == client.ttl("sseprog:{a}:log") == -1
    (view,) = store.read([Want("a")])
    assert view is not None
    assert view.lease is None
    store.write([append("a", 1, "c")])
    assert client.ttl("sseprog:{a}") == -1
    assert client.ttl("sseprog:{a}:log") == pytest.approx(60, abs=2)


def test_recent_names_the_jobs_made_last(store: RedisStore, client: redis.Redis) -> None:
    for number in range(4):
        store.write([create(f"job-{number}")])
        next_one = time.time() + 0.002
        wait_until(lambda then=next_one: time.time() > then, "the next millisecond")
    assert said(store, Create("job-0", "e9", None, line(0))) == ["taken"]
    assert store.recent(2) == ["job-3", "job-2"]
    client.delete("sseprog:{job-2}")
    assert store.recent(2) == ["job-3", "job-1"]
    assert store.recent(99) == ["job-3", "job-1", "job-0"]


def test_the_index_of_recent_jobs_is_bounded(store: RedisStore, client: redis.Redis) -> None:
    store.write([create(f"job-{number}") for number in range(1_010)])
    assert client.zcard("sseprog:recent") == 1_000


def test_databases_do_not_hear_each_other(
    redis_server: RedisServer, make: Callable[..., RedisStore]
) -> None:
    here, there = make(f"{redis_server.url}/0"), make(f"{redis_server.url}/1")
    started(here, "a")
    assert there.read([Want("a")]) == [None]
    with listening(here, Noting({"a"})) as heard:
        heard.until_ready(1)
        started(there, "a")
        there.write([append("a", 1)])
        here.write([append("a", 1), append("a", 2)])
        heard.until_told(2)
    assert heard.seqs("a") == [1, 2]


def test_what_happens_is_told_in_order_and_whole(store: RedisStore) -> None:
    started(store, "a", "b")
    with listening(store, Noting({"a"})) as heard:
        heard.until_ready(1)
        store.write([append("b", 1), *(append("a", number) for number in range(1, 300))])
        heard.until_told(299)
    assert heard.failure is None
    assert heard.told == [("a", "e1", number, line(number)) for number in range(1, 300)]


def test_a_job_is_ready_once_for_each_time_it_comes(store: RedisStore) -> None:
    started(store, "a", "b")
    with listening(store, Noting({"a"}, held={"b"})) as heard:
        heard.until_ready(1)
        heard.watch("b")
        heard.until_ready(2)
        heard.unwatch("a")
        heard.watch("a")
        heard.unwatch("a")
        heard.watch("c")
        heard.until_ready(3)
        store.write([append("a", 1), append("b", 1)])
        heard.until_told(1)
        heard.watch("a")
        heard.until_ready(4)
        store.write([append("a", 2)])
        heard.until_told(2)
    assert heard.failure is None
    assert heard.is_ready == ["a", "b", "c", "a"]
    assert heard.told == [("b", "e1", 1, line(1)), ("a", "e1", 2, line(2))]


def test_the_holder_is_asked_to_stop(store: RedisStore) -> None:
    started(store, "a", "b")
    with listening(store, Noting({"a"}, held={"a"})) as heard:
        heard.hold("b")
        heard.watch("b")
        heard.until_ready(2)
        assert said(store, Cancel("b", line(1, "e")), Cancel("a", line(1, "e"))) == ["asked"] * 2
        heard.until_asked(2)
    assert sorted(heard.stops) == ["a", "b"]
    assert heard.told == []


def test_thousands_of_jobs_are_watched_at_once(store: RedisStore) -> None:
    ids = [f"job-{number}" for number in range(3_000)]
    started(store, *ids)
    with listening(store, Noting(ids)) as heard:
        heard.until_ready(3_000)
        store.write([append(job_id, 1) for job_id in ids])
        heard.until_told(3_000)
        heard.unwatch(*ids[1:])
        heard.watch("last")
        heard.until_ready(3_001)
    assert sorted(set(heard.is_ready)) == sorted([*ids, "last"])


def test_an_event_costs_one_command(store: RedisStore, client: redis.Redis) -> None:
    started(store, "a", "b", "c")
    client.config_resetstat()
    for number in range(1, 11):
        store.write([append(job_id, number) for job_id in "abc"])
    stats = client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 30
    # What the script does itself is counted too; nothing else comes from outside.
    asked = set(stats) - {"cmdstat_evalsha", "cmdstat_config|resetstat", "cmdstat_info"}
    assert asked <= {
        f"cmdstat_{name}" for name in ("time", "hmget", "hset", "xadd", "pexpireat", "spublish")
    }


def test_all_that_a_batch_wants_of_a_job_is_one_command(
    store: RedisStore, client: redis.Redis
) -> None:
    started(store, "a")
    client.config_resetstat()
    store.write([append("a", number) for number in range(1, 51)])
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 1
    assert len(seqs_kept(store, Want("a"))) == 51


def test_a_process_has_two_connections_and_none_before_it_needs_them(
    store: RedisStore, client: redis.Redis
) -> None:
    def names() -> list[str]:
        return sorted(c["name"] for c in client.client_list() if c["name"] != "test")

    assert names() == []
    with listening(store, Noting({"a"})) as heard:
        heard.until_ready(1)
        threads = [
            threading.Thread(target=work)
            for work in (
                lambda: [store.write([create(f"job-{n}")]) for n in range(50)],
                lambda: [store.read([Want("a")]) for n in range(50)],
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert names() == ["sseprog-commands", "sseprog-listener"]
    store.close()
    wait_until(lambda: names() == [], "both are closed")


def test_a_server_that_has_forgotten_the_script_is_given_it_again(
    store: RedisStore, client: redis.Redis
) -> None:
    started(store, "a")
    client.script_flush()
    assert said(store, append("a", 1), append("a", 2)) == ["ok", "ok"]
    client.script_flush()
    assert seqs_kept(store, Want("a", "e1", 0)) == [line(1).data, line(2).data]


def test_a_batch_that_is_repeated_is_carried_out_once(
    store: RedisStore, client: redis.Redis
) -> None:
    batch = [create("a"), begin("a"), append("a", 1), append("a", 2, "s"), append("a", 3)]
    first = store.write(batch)
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(BrokerUnavailable):
        store.write(batch)
    assert [(answer.said, answer.seq) for answer in first][-1] == ("ok", 3)
    assert {(answer.said, answer.seq) for answer in store.write(batch)} == {("ok", 3)}
    assert len(seqs_kept(store, Want("a"))) == 4


def test_what_is_refused_in_the_middle_of_a_batch_is_not_skipped(
    store: RedisStore, client: redis.Redis
) -> None:
    started(store, "a", "b")
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerUnavailable, match="OutOfMemoryError"):
            store.write([append("a", 1), append("a", 2), append("b", 1)])
        assert len(seqs_kept(store, Want("a"))) == 1  # reading goes on
    finally:
        client.config_set("maxmemory", 0)
    store.write([append("a", 1), append("a", 2), append("b", 1)])
    assert seqs_kept(store, Want("a")) == [line(0).data, line(1).data, line(2).data]


def test_a_cut_connection_ends_listening(store: RedisStore, client: redis.Redis) -> None:
    with listening(store, Noting({"a"})) as heard:
        heard.until_ready(1)
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert heard.returned.wait(2)
    assert isinstance(heard.failure, BrokerUnavailable)
    with listening(store, Noting({"a"})) as heard:
        heard.until_ready(1)


def test_a_flushed_server_knows_no_job(store: RedisStore, client: redis.Redis) -> None:
    started(store, "a")
    client.flushall()
    assert (
        said(store, append("a", 1), Renew("a", "t1"), Cancel("a", line(1, "e"))) == ["unknown"] * 3
    )
    assert store.read([Want("a")]) == [None]
    assert store.recent(9) == []


def test_a_mute_server_is_found_out_by_all(tmp_path: Path, make: Callable[..., RedisStore]) -> None:
    with server(tmp_path) as running:
        store = make(running.url)
        started(store, "a")
        with listening(store, Noting({"a"})) as heard:
            heard.until_ready(1)
            took: dict[str, float] = {}

            def measure(name: str, ask: Callable[[], object]) -> None:
                began = time.monotonic()
                with pytest.raises(BrokerUnavailable):
                    ask()
                took[name] = time.monotonic() - began

            running.freeze()
            began = time.monotonic()
            threads = [
                threading.Thread(
                    target=measure, args=("write", lambda: store.write([create("b")]))
                ),
                threading.Thread(target=measure, args=("read", lambda: store.read([Want("a")]))),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            assert heard.returned.wait(10)
            took["listen"] = time.monotonic() - began
            assert isinstance(heard.failure, BrokerUnavailable)
            measure("connect", lambda: store.write([create("b")]))
            running.thaw()
        assert max(took.values()) < SOON, took
        assert set(took) == {"write", "read", "listen", "connect"}
        assert said(store, create("b")) == ["ok"]


def test_an_idle_server_is_not_taken_for_a_mute_one(store: RedisStore, client: redis.Redis) -> None:
    with listening(store, Noting({"a"})) as heard:
        heard.until_ready(1)
        assert not heard.returned.wait(6)  # longer than a mute one is waited for
        started(store, "a")
        heard.until_told(1)
    assert heard.failure is None


def test_a_server_that_comes_back_is_used_again(
    tmp_path: Path, make: Callable[..., RedisStore]
) -> None:
    with server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as running:
        store = make(running.url)
        started(store, "a")
        running.kill()
        with pytest.raises(BrokerUnavailable, match=f"^redis://127.0.0.1:{running.port}: "):
            store.write([append("a", 1)])
        with pytest.raises(BrokerUnavailable), listening(store, Noting({"a"})) as heard:
            assert heard.returned.wait(2)
            raise heard.failure or AssertionError
        running.start()
        assert said(store, append("a", 1)) == ["ok"]
        assert len(seqs_kept(store, Want("a"))) == 2


def test_a_forked_process_leaves_its_parents_connections_alone(
    store: RedisStore, client: redis.Redis
) -> None:
    started(store, "a")
    with listening(store, Noting({"a"})) as heard:
        heard.until_ready(1)
        held, let_go = threading.Event(), threading.Event()

        def hold_the_lock() -> None:
            with store._calls._turn():
                held.set()
                let_go.wait(10)

        thread = threading.Thread(target=hold_the_lock)
        thread.start()
        held.wait(10)
        child = os.fork()
        if not child:
            code = 1
            try:
                store.abandon()
                code = 0 if said(store, append("a", 1)) == ["ok"] else 2
                store.close()
            finally:
                os._exit(code)
        let_go.set()
        thread.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert said(store, append("a", 2)) == ["ok"]
        heard.until_told(2)
    assert heard.failure is None
    assert heard.seqs("a") == [1, 2]


def test_tls_a_socket_and_passwords(tmp_path: Path, make: Callable[..., RedisStore]) -> None:
    def works(store: RedisStore) -> None:
        started(store, "a")
        with listening(store, Noting({"a"})) as heard:
            heard.until_ready(1)
            # More than one TLS record, and more than is read at once.
            big = Line("p", b'"%b"' % (b"x" * 16_000))
            store.write(
                [msgspec.structs.replace(append("a", number), line=big) for number in range(1, 41)]
            )
            heard.until_told(40)
        assert heard.failure is None

    with tls_server(tmp_path / "tls") as (running, certificate):
        url = f"rediss://localhost:{running.port}?ssl_ca_certs={certificate}"
        works(make(url))
        with pytest.raises(BrokerUnavailable, match="certificate"):
            make(f"valkeys://localhost:{running.port}").read([Want("a")])
    path = tmp_path / "redis.sock"
    with server(tmp_path / "unix", "--unixsocket", str(path)):
        works(make(f"unix://{path}?db=3"))
    with server(tmp_path / "auth", "--requirepass", "se/cr?t", password="se/cr?t") as running:
        secret = "se%2Fcr%3Ft"
        store = make(f"valkey://:{secret}@127.0.0.1:{running.port}/0")
        works(store)
        assert store.name == f"valkey://127.0.0.1:{running.port}/0"
        with pytest.raises(BrokerUnavailable) as caught:
            make(f"redis://:wr0ng@127.0.0.1:{running.port}").read([Want("a")])
        assert "AuthenticationError" in str(caught.value)
        assert "wr0ng" not in str(caught.value)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.mark.parametrize("scheme", ["redis+cluster", "valkey+cluster", "redis"])
def test_a_cluster_shares_the_jobs_among_its_servers(
    nodes: list[RedisServer], make: Callable[..., RedisStore], scheme: str
) -> None:
    seeds = f"127.0.0.1:{nodes[0].port}"
    if scheme != "redis":
        seeds = f"127.0.0.1:1,{seeds}"  # one that is down is passed over
    store = make(f"{scheme}://{seeds}")
    ids = [f"{scheme}-{number}" for number in range(60)]
    started(store, *ids)
    with listening(store, Noting(ids, held=ids)) as heard:
        heard.until_ready(60)
        store.write([append(job_id, number) for number in (1, 2) for job_id in ids])
        # What was said before may come late where it goes through other servers.
        wait_until(lambda: all(heard.seqs(i)[-2:] == [1, 2] for i in ids), "all is told")
        store.write([Cancel(job_id, line(3, "e")) for job_id in ids])
        heard.until_asked(60)
        for node in nodes:
            with node.client() as client:
                assert client.dbsize() > 0
                names = [c["name"] for c in client.client_list() if c["name"].startswith("sse")]
                assert sorted(names) == ["sseprog-commands", "sseprog-listener"]
    assert heard.failure is None
    assert [view.seq for view in store.read([Want(i) for i in ids]) if view] == [2] * 60
    assert set(store.recent(60)) == set(ids)


def test_slots_that_move_are_followed(
    nodes: list[RedisServer], make: Callable[..., RedisStore]
) -> None:
    store = make(f"redis+cluster://127.0.0.1:{nodes[0].port}")
    started(store, "moving")
    slot = redis.crc.key_slot(b"{moving}")
    clients = {node.port: node.client() for node in nodes}
    ids = {port: c.execute_command("CLUSTER", "MYID").decode() for port, c in clients.items()}
    source = next(p for p, c in clients.items() if _served(c, slot, ids[p]))
    target = next(port for port in clients if port != source)
    with listening(store, Noting({"moving"})) as heard:
        heard.until_ready(1)
        _setslot(clients[target], slot, "IMPORTING", ids[source])
        _setslot(clients[source], slot, "MIGRATING", ids[target])
        assert said(store, append("moving", 1)) == ["ok"]
        keys = clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10)
        clients[source].execute_command("MIGRATE", "127.0.0.1", target, "", 0, 5000, "KEYS", *keys)
        assert said(store, append("moving", 2)) == ["ok"]  # the source says ASK
        for port in (target, source):
            _setslot(clients[port], slot, "NODE", ids[target])
        assert said(store, append("moving", 3)) == ["ok"]  # and now MOVED
        assert heard.returned.wait(SOON)
    assert isinstance(heard.failure, BrokerUnavailable)

    def subscribed_again() -> bool:
        with listening(store, Noting({"moving"})) as again:
            again.until_ready(1)
            store.write([append("moving", 4)])
            again.until_told(1)
            return again.seqs("moving") == [4]

    assert subscribed_again()
    assert len(seqs_kept(store, Want("moving"))) == 5
    for client in clients.values():
        client.close()


def _served(client: redis.Redis, slot: int, node_id: str) -> bool:
    found = client.execute_command("CLUSTER", "SLOTS")
    return any(
        first <= slot <= last and master[2].decode() == node_id for first, last, master, *_ in found
    )


def _setslot(client: redis.Redis, slot: int, how: str, node_id: str) -> None:
    client.execute_command("CLUSTER", "SETSLOT", slot, how, node_id)


def test_a_cluster_that_loses_a_server_says_so(
    tmp_path: Path, make: Callable[..., RedisStore]
) -> None:
    with cluster(tmp_path, "--cluster-require-full-coverage", "no") as running:
        store = make(f"redis+cluster://127.0.0.1:{running[0].port}")
        ids = [f"job-{number}" for number in range(30)]
        started(store, *ids)
        there = _jobs_of(running[2])
        with listening(store, Noting(ids)) as heard:
            heard.until_ready(30)
            running[2].freeze()
            heard.until_unheard(SOON)
            assert heard.not_heard == there
            with pytest.raises(BrokerUnavailable):
                store.write([append(job_id, 1) for job_id in there])
            others = set(ids) - there
            for number in range(1, 6):  # what is tried with the mute one holds nobody up
                store.write([append(job_id, number) for job_id in others])
                heard.until_told(number * len(others), 1.5)
                assert not threading.Event().wait(0.5)
            running[2].thaw()
            heard.until_ready(30 + len(there))
        assert heard.failure is None
        assert sorted(heard.is_ready[30:]) == sorted(there)

        def written() -> bool:
            try:
                return said(store, *(append(job_id, 1) for job_id in there)) == ["ok"] * len(there)
            except BrokerUnavailable:
                return False

        wait_until(written, "the Cluster works again")
        assert {view.seq for view in store.read([Want(i) for i in there]) if view} == {1}


def _jobs_of(node: RedisServer) -> set[str]:
    with node.client() as client:
        return {key.decode()[9:-1] for key in client.keys("sseprog:{*}")}


def test_a_connection_that_a_cluster_ends_takes_its_own_subscriptions_along(
    nodes: list[RedisServer], make: Callable[..., RedisStore]
) -> None:
    store = make(f"redis+cluster://127.0.0.1:{nodes[0].port}")
    ids = [f"cut-{number}" for number in range(30)]
    started(store, *ids)
    there = _jobs_of(nodes[1]) & set(ids)
    with listening(store, Noting(ids)) as heard:
        heard.until_ready(30)
        with nodes[1].client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        heard.until_ready(30 + len(there))
        store.write([append(job_id, 1) for job_id in ids])
        heard.until_told(30)
        for node in nodes:
            with node.client() as client:
                names = [c["name"] for c in client.client_list()]
                assert names.count("sseprog-listener") == 1
    assert heard.failure is None
    assert heard.not_heard == there
    assert sorted(heard.is_ready[30:]) == sorted(there)
    assert sorted(job_id for job_id, *_ in heard.told) == sorted(ids)


def test_a_failover_is_followed(tmp_path: Path, make: Callable[..., RedisStore]) -> None:
    with sentinels(tmp_path) as watching:
        store = make(watching.url)
        started(store, "a")
        with watching.master.client() as client:
            assert client.wait(1, 5000) == 1
        with listening(store, Noting({"a"})) as heard:
            heard.until_ready(1)
            watching.fail_over()
            assert heard.returned.wait(SOON)
        assert isinstance(heard.failure, BrokerUnavailable)
        with pytest.raises(BrokerUnavailable):
            store.write([append("a", 1)])
        with listening(store, Noting({"a"})) as heard:
            heard.until_ready(1)
            assert said(store, append("a", 1)) == ["ok"]
            heard.until_told(1)
        assert store.name == watching.url
        wrong = make(watching.url.replace("mymaster", "other"))
        with pytest.raises(BrokerUnavailable, match="knows no master 'other'"):
            wrong.read([Want("a")])


def test_a_master_that_was_degraded_is_left(
    tmp_path: Path, make: Callable[..., RedisStore]
) -> None:
    with server(tmp_path) as running:
        store = make(running.url)
        started(store, "a")
        with running.client() as client:
            client.replicaof("127.0.0.1", 1)
            with pytest.raises(BrokerUnavailable, match="ReadOnlyError"):
                store.write([append("a", 1)])
            client.replicaof("no", "one")
        assert said(store, append("a", 1)) == ["ok"]


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://localhost", "known are redis://"),
        ("redis:localhost", "known are redis://"),
        ("unix+cluster:///a.sock", "known are redis://"),
        ("redis://localhost/first", "'first' is not the number of a database"),
        ("redis://localhost/1/2", "'1/2' is not the number of a database"),
        ("redis://localhost:port", "port"),
        ("redis://localhost:99999", "[Pp]ort out of range"),
        ("redis://a,b", r"redis\+cluster://"),
        ("redis+cluster://a,b/1", "one database"),
        ("redis+sentinel://a,b", "master's name is missing"),
        ("unix://path.sock", "whole path"),
        ("redis://localhost?colour=red", "colour"),
        ("redis://localhost?socket_timeout=soon", "socket_timeout"),
    ],
)
def test_a_wrong_url_is_refused_and_never_shows_its_password(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        RedisStore(url, Settings())
    secret = url.replace("://", "://user:s3cret@", 1)
    with pytest.raises(ValueError, match="broker") as caught:
        RedisStore(secret, Settings())
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("secret", ["pa#ss", "pa/ss", "pa?ss"])
def test_a_password_that_breaks_the_url_is_not_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="%2F") as caught:
        RedisStore(f"redis://:{secret}@localhost", Settings())
    assert "pa" not in str(caught.value).replace("password", "")
    assert "ss@" not in str(caught.value)
