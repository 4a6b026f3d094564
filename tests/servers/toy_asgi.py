"""The application under test: an adapter of one's own for ASGI, whole."""

from sseprog import Hub
from sseprog.adapters import Adapter, ASGIApp
from sseprog.testing import authorize_under_test, remote_control


def user_of(scope):
    return dict(scope["headers"]).get(b"x-user", b"").decode() or None


hub = Hub()
adapter = Adapter(hub, authorize_under_test(), user_of=user_of)
jobs = ASGIApp(adapter, lambda scope, receive: scope)
remote_control(hub)


async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/ping":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"pong"})
    else:  # the lifespan too: it tells when the server stops
        await jobs({**scope, "root_path": "/jobs"}, receive, send)
