"""What adapters share: places for streams, proxies, tickets, and what a WSGI server tells."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sseprog import Hub, JobNotFound
from sseprog._app import incoming_of_scope
from sseprog._connection import Connection
from sseprog._proxies import Proxies
from sseprog._streams import SyncStream
from sseprog.adapters import Adapter, Incoming, Reply, incoming_of

from .conftest import MakeHub
from .event_stream import events


def adapter_of(hub: Hub, **options: Any) -> Adapter:
    return Adapter(hub, user_of=lambda request: request, **options)


def get(path: str, query: str = "", **headers: str) -> Incoming:
    return Incoming("GET", path, query, lambda name: headers.get(name.replace("-", "_")))


def environ(**values: Any) -> dict[str, Any]:
    """A request as a WSGI server of several threads describes it."""
    return {
        "REQUEST_METHOD": "GET",
        "SERVER_SOFTWARE": "some/1.0",
        "wsgi.multithread": True,
        **{name.replace("__", "."): value for name, value in values.items()},
    }


# Places


def opened(adapter: Adapter, incoming: Incoming) -> list[SyncStream]:
    """Open streams until there is no room."""
    streams = []
    while isinstance(stream := adapter.answer(None, incoming), SyncStream):
        streams.append(stream)
        assert len(streams) < 50
    assert stream.status == 503
    return streams


@pytest.mark.parametrize(
    ("given", "settings", "places"),
    [
        (environ(), {}, 8),
        (environ(), {"max_streams": 3}, 3),
        (environ(), {"max_streams": 12}, 12),
        (environ(wsgi__multithread=False), {}, 0),
        (environ(wsgi__multithread=False), {"max_streams": 3}, 0),
        (environ(SERVER_SOFTWARE="Granian", GRANIAN_BLOCKING_THREADS="10"), {}, 8),
        (environ(SERVER_SOFTWARE="Granian", GRANIAN_BLOCKING_THREADS="4"), {}, 2),
        (environ(SERVER_SOFTWARE="Granian", GRANIAN_BLOCKING_THREADS="2"), {}, 1),
        (environ(SERVER_SOFTWARE="Granian", GRANIAN_BLOCKING_THREADS="1"), {}, 0),
    ],
)
def test_streams_leave_threads_to_other_requests(
    make_hub: MakeHub, given: dict[str, Any], settings: dict[str, Any], places: int
) -> None:
    hub = make_hub(**settings)
    hub.create("j")
    streams = opened(adapter_of(hub), incoming_of(given, "/j/stream"))
    assert len(streams) == places
    for stream in streams:
        stream.close()
    assert hub.streams == 0


@pytest.mark.parametrize("argument", ["--blocking-threads=5", "--blocking-threads 5"])
def test_granian_s_threads_are_read_from_its_command(
    monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["granian", "app", *argument.split(), "--interface", "wsgi"])
    assert incoming_of(environ(SERVER_SOFTWARE="Granian"), "/").threads == 3


def test_a_test_client_has_no_threads_to_save() -> None:
    given = environ(wsgi__multithread=False)
    del given["SERVER_SOFTWARE"]
    assert incoming_of(given, "/").threads is None


@pytest.mark.parametrize(
    ("options", "places"), [({"threads": b"4"}, 2), ({"threads": b"1"}, 0), ({}, 8)]
)
def test_a_server_need_not_say_its_name(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, bytes], places: int
) -> None:
    uwsgi = ModuleType("uwsgi")  # which only its workers can import
    uwsgi.opt = options  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    given = environ()
    del given["SERVER_SOFTWARE"]
    incoming = incoming_of(given, "/")
    assert incoming.threads == places
    assert incoming.connection is not None


def test_waitress_has_connections_for_others_too() -> None:
    class Channel:  # waitress's, as far as it is asked
        socket = None
        server = SimpleNamespace(adj=SimpleNamespace(threads=102, connection_limit=100))

        def check_client_disconnected(self) -> bool:
            return False

    given = environ(waitress__client_disconnected=Channel().check_client_disconnected)
    assert incoming_of(given, "/").threads == 48


def test_a_server_that_is_full_says_so_once(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.create("j")
    streams = opened(adapter_of(hub), incoming_of(environ(), "/j/stream"))
    assert len(streams) == 8
    [record] = caplog.records
    assert "all places for streams are taken" in record.getMessage()


def test_a_server_that_can_not_stream_is_explained_once(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.create("j")
    adapter = adapter_of(hub)
    incoming = incoming_of(environ(wsgi__multithread=False), "/j/stream")
    for _ in range(3):
        reply = adapter.answer(None, incoming)
        assert isinstance(reply, Reply)
        assert reply.status == 503
    [record] = caplog.records
    assert "--worker-class gthread" in record.getMessage()


# Clients that have left


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
    with client, server:
        yield client, server


Pair = tuple[socket.socket, socket.socket]


@pytest.mark.parametrize("how", ["close", "half-close", "with something unread"])
def test_a_client_that_leaves_ends_the_stream_though_nothing_is_published(
    make_hub: MakeHub, pair: Pair, how: str
) -> None:
    client, server = pair
    hub = make_hub()
    hub.create("j")
    incoming = incoming_of(environ(gunicorn__socket=server), "/j/stream")
    stream = adapter_of(hub).answer(None, incoming)
    assert isinstance(stream, SyncStream)
    assert b"event: status" in next(stream)
    if how == "with something unread":
        client.sendall(b"GET /next HTTP/1.1")
    if how == "half-close":
        client.shutdown(socket.SHUT_WR)
    else:
        client.close()
    before = time.monotonic()
    assert list(stream) == []
    assert time.monotonic() - before < 5, "a heartbeat would have come after 15"
    assert hub.streams == 0


def test_a_client_that_stays_and_talks_has_not_left(make_hub: MakeHub, pair: Pair) -> None:
    client, server = pair
    hub = make_hub(heartbeat=0.6)
    hub.create("j")
    stream = adapter_of(hub).answer(
        None, incoming_of(environ(werkzeug__socket=server), "/j/stream")
    )
    assert isinstance(stream, SyncStream)
    client.sendall(b"GET /next HTTP/1.1")
    assert b"event: status" in next(stream)
    assert next(stream) == b": heartbeat\n\n"
    stream.close()


def test_where_only_a_write_tells_there_is_one_every_second(make_hub: MakeHub) -> None:
    hub = make_hub()
    hub.create("j")
    stream = adapter_of(hub).answer(None, incoming_of(environ(), "/j/stream"))
    assert isinstance(stream, SyncStream)
    next(stream)
    assert next(stream) == b": heartbeat\n\n"
    stream.close()


def test_a_write_takes_no_longer_than_the_setting(make_hub: MakeHub, pair: Pair) -> None:
    _, server = pair
    hub = make_hub(send_timeout=7)
    hub.create("j")
    stream = adapter_of(hub).answer(
        None, incoming_of(environ(gunicorn__socket=server), "/j/stream")
    )
    assert isinstance(stream, SyncStream)
    assert server.gettimeout() == 7
    stream.close()


# Servers that stop


@pytest.mark.parametrize("quiet", [True, False], ids=["quiet", "busy"])
def test_a_server_that_waits_for_its_streams_need_not_wait(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    hub = make_hub(throttle=0)
    adapter = adapter_of(hub)
    stops = threading.Event()
    with hub.job("j") as job:
        connection = Connection({})
        monkeypatch.setattr(connection, "stopping", stops.is_set)
        incoming = get("/j/stream")._replace(connection=connection)
        stream, other = (adapter.answer(None, incoming) for _ in range(2))
        assert isinstance(stream, SyncStream)
        assert isinstance(other, SyncStream)
        next(stream)
        stops.set()
        if not quiet:
            job.update(5)
        rest = b"".join(stream)
        assert rest.startswith(b"retry: ") is quiet
        assert b"retry: " in rest
        assert b"retry: " in b"".join(other), "all streams of the hub are ended"
        assert isinstance(adapter.answer(None, incoming), Reply), "and no other is begun"


@pytest.mark.parametrize(
    ("given", "warns"),
    [
        (environ(wsgi__multiprocess=True), True),
        (environ(wsgi__multiprocess=False), False),
        (environ(wsgi__multiprocess=True, SERVER_SOFTWARE="WSGIServer/0.2"), False),
    ],
)
def test_several_processes_without_a_shared_broker_are_told(
    hub: Hub, caplog: pytest.LogCaptureFixture, given: dict[str, Any], warns: bool
) -> None:
    hub.create("j")
    adapter = adapter_of(hub)
    for _ in range(2):
        adapter.answer(None, incoming_of(given, "/j"))
    told = [record for record in caplog.records if "several processes" in record.getMessage()]
    assert len(told) == warns


def test_the_drain_period_is_planned_once(make_hub: MakeHub) -> None:
    hub = make_hub(drain=1000)
    hub.create("j")
    streams = [adapter_of(hub).answer(None, get("/j/stream")) for _ in range(9)]
    for stream in streams:
        assert isinstance(stream, SyncStream)
        next(stream)
    for _ in range(500):
        hub.drain()
    ends = [stream.subscription.deadline for stream in streams if isinstance(stream, SyncStream)]
    assert len(ends) == 9
    # A second plan would keep the earlier end of two, and so 500 of them end all at once.
    assert max(ends) - time.monotonic() > 14, "a heartbeat at least comes first"


# Whom a request is from


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ([], "203.0.113.9", None, "203.0.113.9"),
        ([], "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (["10.0.0.0/8"], "10.1.2.3", "198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", "192.0.2.66, 198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", "10.7.7.7, 10.9.9.9", "10.7.7.7"),
        (["10.0.0.0/8"], "10.1.2.3", None, "10.1.2.3"),
        (["10.0.0.0/8"], "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (["10.1.2.3"], "10.1.2.3", "198.51.100.1, unknown", "10.1.2.3"),
        (["10.0.0.0/8"], "10.1.2.3", "203.0.113.7:4711", "203.0.113.7"),
        (["10.0.0.0/8"], "10.1.2.3", "[2001:db8::1]:4711, 10.4.4.4:1", "2001:db8::/64"),
        (["::1"], "::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (["127.0.0.1"], "::ffff:127.0.0.1", "198.51.100.1", "198.51.100.1"),
        (["unix"], "", "198.51.100.1", "198.51.100.1"),
        ([], "", "198.51.100.1", ""),
        ([], "fe80::1%eth0", None, "fe80::/64"),
    ],
)
def test_an_address_is_believed_of_trusted_proxies_only(
    trusted: list[str], peer: str, forwarded: str | None, client: str
) -> None:
    assert Proxies(trusted).client(peer, forwarded) == client


def test_a_header_of_several_lines_is_read_whole() -> None:
    lines = [(b"x-forwarded-for", b"192.0.2.66"), (b"x-forwarded-for", b"198.51.100.1")]
    scope = {"method": "GET", "query_string": b"", "headers": lines, "client": ("10.1.2.3", 1)}
    incoming = incoming_of_scope(scope, "/j/stream")
    assert incoming.header("x-forwarded-for") == "192.0.2.66, 198.51.100.1"
    assert incoming.header("x-real-ip") is None


@pytest.mark.parametrize("trusted", [["proxy"], ["10.0.0.0/99"], [""]])
def test_a_proxy_that_is_no_network_is_refused(trusted: list[str]) -> None:
    with pytest.raises(ValueError, match="trusted proxy"):
        Hub(trusted_proxies=trusted)


def test_proxies_are_a_list() -> None:
    with pytest.raises(TypeError, match="list of networks"):
        Hub(trusted_proxies="10.0.0.1")


def test_proxies_are_read_from_the_environment(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSEPROG_TRUSTED_PROXIES", "10.0.0.1, 192.168.0.0/16")
    assert make_hub().proxies.client("192.168.3.4", "198.51.100.1") == "198.51.100.1"


@pytest.mark.parametrize(
    ("first", "second", "room"),
    [
        (("7", "198.51.100.1"), ("7", "198.51.100.2"), False),
        (("7", "198.51.100.1"), ("8", "198.51.100.1"), True),
        ((None, "198.51.100.1"), (None, "198.51.100.1"), False),
        ((None, "198.51.100.1"), (None, "198.51.100.2"), True),
        ((None, "2001:db8::1"), (None, "2001:db8::2"), False),
        (("7", "198.51.100.1"), (None, "198.51.100.1"), True),
    ],
)
def test_a_client_is_a_user_or_else_an_address(
    make_hub: MakeHub, first: tuple[str, str], second: tuple[str, str], room: bool
) -> None:
    hub = make_hub(max_streams_per_client=1, trusted_proxies=["10.0.0.1"])
    hub.create("j")
    adapter = adapter_of(hub)

    def ask(user: str | None, address: str) -> Reply | SyncStream:
        incoming = get("/j/stream", x_forwarded_for=address)._replace(peer="10.0.0.1")
        return adapter.answer(user, incoming)

    kept = ask(*first)
    assert isinstance(kept, SyncStream)
    assert isinstance(ask(*second), SyncStream) is room


def test_a_user_that_can_not_be_told_counts_by_his_address(
    make_hub: MakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: object) -> str:
        raise ConnectionError("the database is down")

    hub = make_hub(max_streams_per_client=1)
    hub.create("j")
    adapter = Adapter(hub, user_of=fail)
    incoming = get("/j/stream")._replace(peer="203.0.113.9")
    kept = adapter.answer(None, incoming._replace(query=f"ticket={hub.ticket('j')}"))
    assert isinstance(kept, SyncStream)
    again = adapter.answer(None, incoming._replace(query=f"ticket={hub.ticket('j')}"))
    assert isinstance(again, Reply)
    assert again.status == 503
    assert "user_of failed" in caplog.text


# Tickets


def watches(hub: Hub, job_id: str, ticket: str, path: str = "/{}/stream") -> bool:
    reply = adapter_of(hub).answer(None, get(path.format(job_id), f"ticket={ticket}"))
    if isinstance(reply, SyncStream):
        assert [event.name for event in events(next(reply))] == ["status"]
        reply.close()
        return True
    assert reply.status in {200, 404}
    return reply.status == 200


def test_a_ticket_lets_watch_its_job_and_no_other(hub: Hub) -> None:
    for job_id in ("mine", "other"):
        hub.create(job_id, owner="7")
    ticket = hub.ticket("mine")
    assert watches(hub, "mine", ticket)
    assert watches(hub, "mine", ticket, "/{}")
    assert not watches(hub, "other", ticket)
    assert not watches(hub, "unknown", ticket)


def test_a_ticket_does_not_cancel(hub: Hub) -> None:
    hub.create("j", owner="7")
    asked = get("/j/cancel", f"ticket={hub.ticket('j')}")._replace(method="POST")
    reply = adapter_of(hub).answer(None, asked)
    assert isinstance(reply, Reply)
    assert reply.status == 404
    assert hub.snapshot("j").status == "pending"


def test_a_ticket_s_time_ends(hub: Hub) -> None:
    hub.create("j", owner="7")
    ticket = hub.ticket("j", ttl=1)
    assert watches(hub, "j", ticket)
    deadline = time.monotonic() + 10
    while watches(hub, "j", ticket):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_ticket_is_for_this_job_not_for_a_later_one_of_its_id(hub: Hub) -> None:
    hub.create("j", owner="7")
    ticket = hub.ticket("j")
    hub.cancel("j")
    hub.create("j", owner="8")
    assert not watches(hub, "j", ticket)


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: "A" + t[1:], lambda t: t + "A"])
def test_a_ticket_that_was_changed_is_none(hub: Hub, change: Any) -> None:
    hub.create("j", owner="7")
    assert not watches(hub, "j", change(hub.ticket("j")))


@pytest.mark.parametrize("ticket", ["", "x", ".", "a.b", "é", "%00", "W10.", "a" * 9999])
def test_what_is_no_ticket_is_none(hub: Hub, ticket: str) -> None:
    hub.create("j", owner="7")
    assert not watches(hub, "j", ticket)


def test_a_bad_ticket_does_not_keep_out_who_may_watch_without(hub: Hub) -> None:
    hub.create("j", owner="7")
    reply = adapter_of(hub).answer("7", get("/j", "ticket=x"))
    assert isinstance(reply, Reply)
    assert reply.status == 200


def test_hubs_with_one_secret_read_each_other_s_tickets(make_hub: MakeHub) -> None:
    old, new, other = (make_hub(secret=secret) for secret in ("old", ["new", "old"], "other"))
    for hub in (old, new, other):
        hub.create("j")
    epoch = new.broker.newest("j")[0]
    assert new.tickets.admits(old.tickets.write("j", epoch, 60), "j", epoch)
    assert not old.tickets.admits(new.tickets.write("j", epoch, 60), "j", epoch)
    assert not other.tickets.admits(old.tickets.write("j", epoch, 60), "j", epoch)


def test_hubs_without_a_secret_do_not(make_hub: MakeHub) -> None:
    one, two = make_hub(), make_hub()
    assert not two.tickets.admits(one.tickets.write("j", "e", 60), "j", "e")


def test_the_secret_is_read_from_the_environment(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "of the environment"
    monkeypatch.setenv("SSEPROG_SECRET", key)
    ticket = make_hub().tickets.write("j", "e", 60)
    assert make_hub(secret=key).tickets.admits(ticket, "j", "e")


@pytest.mark.parametrize("ttl", [0, -1, 86_401, float("nan"), float("inf")])
def test_a_ticket_is_for_a_while(hub: Hub, ttl: float) -> None:
    hub.create("j")
    with pytest.raises(ValueError, match="ttl is a number of seconds"):
        hub.ticket("j", ttl=ttl)


def test_there_is_no_ticket_for_no_job(hub: Hub) -> None:
    with pytest.raises(JobNotFound):
        hub.ticket("unknown")


def test_other_processes_need_a_secret_to_read_a_ticket(make_hub: MakeHub) -> None:
    hub = make_hub()
    hub.create("j")
    type(hub.broker).shared = True
    try:
        with pytest.raises(RuntimeError, match=r"Hub\(secret=...\)"):
            hub.ticket("j")
    finally:
        type(hub.broker).shared = False


@pytest.mark.parametrize("secret", [7, ["a", ""], [b"bytes"]])
def test_a_secret_is_text(secret: Any) -> None:
    with pytest.raises(TypeError, match="secret is a text"):
        Hub(secret=secret)


# Heads


@pytest.mark.parametrize("path", ["/j", "/unknown", "/j/x/y", "/static/sseprog.js"])
def test_head_has_the_length_of_what_get_brings(hub: Hub, path: str) -> None:
    hub.create("j")
    adapter = adapter_of(hub)
    whole, head = (
        adapter.answer(None, get(path)._replace(method=method)) for method in ("GET", "HEAD")
    )
    assert isinstance(whole, Reply)
    assert isinstance(head, Reply)
    assert head == whole._replace(body=b"")
    assert dict(head.headers)["Content-Length"] == str(len(whole.body))


def test_an_adapter_takes_a_hub() -> None:
    with pytest.raises(TypeError, match="takes a Hub, not str"):
        Adapter("memory://", user_of=lambda request: None)  # type: ignore[arg-type]
