"""Every adapter keeps the contract on every server that can run it."""

import re
from collections.abc import Mapping, Sequence

from sseprog.testing import AdapterContract

from .servers import ASGI, FLASK_RUN, RUNSERVER, WSGI, Server

TOKEN = "0123456789abcdef" * 2

# What Django itself logs of a client that leaves, or a server that stops, amid a request.
DJANGO_SAYS = [
    r"(Exception|Error) in ASGI application(.*\n)+?RuntimeError: CurrentThreadExecutor already.*",
    r"Traceback \(most.*\n([ \t].*\n)+RuntimeError: CurrentThreadExecutor already.*",
    r"Task exception was never retrieved(.*\n)+?django\.core\.exceptions\.RequestAborted",
]

APPS: Mapping[str, tuple[str, Mapping[str, Server], Sequence[str]]] = {
    "starlette": ("starlette_app:app", ASGI, []),
    "django with_streams": ("django_app:with_streams_asgi", ASGI, []),
    "django asgi": ("django_app:asgi", ASGI, DJANGO_SAYS),
    "django wsgi": ("django_app:wsgi", {**WSGI, "runserver": RUNSERVER}, []),
    "flask": ("flask_app:app", {**WSGI, "flask run": FLASK_RUN}, []),
    "toy asgi": ("toy_asgi:app", {"uvicorn": ASGI["uvicorn"]}, []),
    "toy wsgi": ("toy_wsgi:app", {"waitress": WSGI["waitress"]}, []),
}


class OnAServer(AdapterContract):
    """All three servers of a class start together, since they keep two cores busy anyway."""

    @classmethod
    def setup_class(cls) -> None:
        super().setup_class()
        for kind in ("plain", "small", "guarded"):
            cls.start(kind)

    def cancel_headers(self, server: object) -> Mapping[str, str]:
        """Django wants the token of its cookie; the others don't care."""
        return {"Cookie": f"csrftoken={TOKEN}", "X-CSRFToken": TOKEN}


def title_of(adapter: str, name: str) -> str:
    words = re.findall(r"[a-z0-9]+", f"{adapter} on {name}".replace("-w 0", "alone"))
    return "Test" + "".join(word.capitalize() for word in words)


for adapter, (app, servers, says) in APPS.items():
    for name, server in servers.items():
        title = title_of(adapter, name)
        attributes = {
            "__module__": __name__,
            "command": server.starts(app),
            # Once for each server would do; Django's are slower, and have the same servers.
            "visits": 300 if adapter.startswith("django") else 1_000,
            **server.attributes,
            "tolerated": [*server.attributes.get("tolerated", []), *says],
        }
        globals()[title] = type(title, (OnAServer,), attributes)
