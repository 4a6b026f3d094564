"""Applications under test that break one rule each: $BREAKS says which."""

import asyncio
import os
import threading

import toy_asgi
from toy_asgi import adapter, hub

from sseprog import Hub


def changing(change):
    """Make middleware of a function that changes the messages to be sent, one by one."""

    def wrap(app):
        async def changed(scope, receive, send):
            async def send_changed(message):
                for each in change(message):
                    await send(each)

            await app(scope, receive, send_changed)

        return changed

    return wrap


def asking(change):
    """Make middleware of a function that changes the scope."""

    def wrap(app):
        async def asked(scope, receive, send):
            await app(change(scope) if scope["type"] == "http" else scope, receive, send)

        return asked

    return wrap


def without_header(*names):
    def change(scope):
        headers = [(k, v) for k, v in scope["headers"] if k not in names]
        return {**scope, "headers": headers}

    return change


def with_header(message, name, value):
    if message["type"] != "http.response.start":
        return [message]
    headers = [(k, v) for k, v in message["headers"] if k != name]
    return [{**message, "headers": [*headers, (name, value)] if value else headers}]


def buffers(app):
    async def buffered(scope, receive, send):
        held = b""

        async def send_later(message):
            nonlocal held
            if message["type"] == "http.response.body":
                held += message["body"]
                if message.get("more_body") and len(held) < 4096:
                    return
                message, held = {**message, "body": held}, b""
            await send(message)

        await app(scope, receive, send_later)

    return buffered


def skips_the_first_frame(message):
    first = message["type"] == "http.response.body" and message["body"].startswith(b"retry:")
    return [] if first and message.get("more_body") else [message]


def drops_heartbeats(message):
    return [] if message.get("body") == b": heartbeat\n\n" else [message]


def changes_the_retry(message):
    body = message.get("body", b"")
    if not body.startswith(b"retry:"):
        return [message]
    return [{**message, "body": b"retry: 9000\n" + body.partition(b"\n")[2]}]


def cuts_off_the_end(message):
    last = message.get("body", b"").startswith(b"retry:") and not message["more_body"]
    return [{**message, "body": b""}] if last else [message]


def never_sees_a_client_leave(app):
    async def blind(scope, receive, send):
        asked = False

        async def receive_once():
            nonlocal asked
            if asked:
                await asyncio.Event().wait()
            asked = True
            return await receive()

        await app(scope, receive_once if scope["type"] == "http" else receive, send)

    return blind


def leaks_a_thread(scope):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return scope


def logs_the_query(scope):
    print("asked for", scope["path"], scope["query_string"], flush=True)
    return scope


def takes_one_of_many(scope):
    return {**scope, "query_string": scope["query_string"].partition(b"&job=")[0]}


def fails_on_a_bad_id(scope):
    scope["path"].encode("ascii")
    return scope


def cancels_for_who_leaves(app):
    async def cancelling(scope, receive, send):
        await app(scope, receive, send)
        if scope["type"] == "http" and scope["path"].endswith("/stream"):
            hub.cancel(scope["path"].split("/")[2])

    return cancelling


def believes_anybody(scope):
    address = dict(scope["headers"]).get(b"x-forwarded-for")
    return {**scope, "client": (address.decode(), 0)} if address else scope


def cancels_nothing(scope):
    hub.broker.cancel = lambda *_: False
    return scope


def never_drains(scope):
    Hub.drain = lambda self: None
    return scope


def lets_errors_through(scope):
    adapter._access._passing = (Exception,)
    return scope


def takes_all_for_the_owner(scope):
    return {**scope, "headers": [*scope["headers"], (b"x-user", b"7")]}


BREAKS = {
    "nothing": lambda app: app,
    "buffers": buffers,
    "skips the first frame": changing(skips_the_first_frame),
    "drops heartbeats": changing(drops_heartbeats),
    "changes the retry": changing(changes_the_retry),
    "cuts off the end": changing(cuts_off_the_end),
    "has another content type": changing(
        lambda message: with_header(message, b"content-type", b"text/event-stream")
    ),
    "leaves out Allow": changing(lambda message: with_header(message, b"allow", b"")),
    "leaves out ETag": changing(lambda message: with_header(message, b"etag", b"")),
    "ignores Last-Event-ID": asking(without_header(b"last-event-id")),
    "ignores Sec-Fetch-Site": asking(without_header(b"sec-fetch-site", b"origin")),
    "takes all for the owner": asking(takes_all_for_the_owner),
    "ignores the user": asking(without_header(b"x-user")),
    "believes anybody": asking(believes_anybody),
    "never sees a client leave": never_sees_a_client_leave,
    "cancels for who leaves": cancels_for_who_leaves,
    "cancels nothing": asking(cancels_nothing),
    "leaks a thread": asking(leaks_a_thread),
    "logs the query": asking(logs_the_query),
    "takes one of many": asking(takes_one_of_many),
    "fails on a bad id": asking(fails_on_a_bad_id),
    "lets errors through": asking(lets_errors_through),
    "never drains": asking(never_drains),
}
app = BREAKS[os.environ["BREAKS"]](toy_asgi.app)
