"""The servers: how each is started, and what it can't do."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

BIN = Path(sys.executable).parent


class Server(NamedTuple):
    """``{app}`` in the command is the application, ``{port}`` the port."""

    command: str
    attributes: Mapping[str, Any] = {}
    """What is to be said of it to the contract."""
    set_this: str = "nothing"
    """What people have to set, as docs/servers.md says it."""

    def starts(self, app: str) -> list[str]:
        """Return the command for an application."""
        program, *rest = self.command.replace("{app}", app).split()
        return [str(BIN / program), *rest]


GUNICORN = "gunicorn {app} --bind 127.0.0.1:{port} --no-control-socket"
# The arbiter and its workers look around once a second.
_GUNICORN_ENDS = {"ends_within": 8.0}
_HYPERCORN_CUTS = r"Exception in callback StreamReaderProtocol(.*\n)+?asyncio\.\S*CancelledError"
_DEVELOPMENT = "for development only"

ASGI = {
    # It believes X-Forwarded-For from this machine by itself, which is not ours to test.
    "uvicorn": Server("uvicorn {app} --port {port} --no-proxy-headers"),
    "hypercorn -w 0": Server("hypercorn {app} --bind 127.0.0.1:{port} --workers 0"),
    "hypercorn": Server(
        "hypercorn {app} --bind 127.0.0.1:{port}",
        {"ends_within": None, "tolerated": [_HYPERCORN_CUTS]},
        "`-w 0`, or a `max_stream_age` that you can wait for",
    ),
    "granian": Server("granian {app} --interface asgi --port {port}"),
    # It cancels its requests in the same turn of the loop in which they are told.
    "daphne": Server("daphne {app} --port {port}", {"ends_cleanly": None}),
    "gunicorn -k uvicorn_worker.UvicornWorker": Server(
        f"{GUNICORN} --worker-class uvicorn_worker.UvicornWorker --forwarded-allow-ips 192.0.2.1",
        _GUNICORN_ENDS,
    ),
    "gunicorn -k asgi": Server(f"{GUNICORN} --worker-class asgi", _GUNICORN_ENDS),
}

WSGI = {
    "gunicorn -k gthread": Server(
        f"{GUNICORN} --threads 24",
        {**_GUNICORN_ENDS, "visitors_at_once": 16},
        "`--threads`: the streams, and two",
    ),
    "gunicorn -k gevent": Server(f"{GUNICORN} --worker-class gevent", _GUNICORN_ENDS),
    "waitress": Server(
        # It takes X-Forwarded-For away, or believes it itself.
        "waitress-serve --listen 127.0.0.1:{port} --threads 24 "
        "--no-clear-untrusted-proxy-headers {app}",
        {"ends_cleanly": False, "visitors_at_once": 16},
        "`--threads`: the streams, and two",
    ),
    "granian, WSGI": Server(
        "granian {app} --interface wsgi --blocking-threads 24 --port {port}",
        {
            "ends_within": None,
            "notices_within": 3.5,
            "notices_half_close": False,
            "visitors_at_once": 16,
        },
        "`--blocking-threads`: the streams, and two; `--workers-kill-timeout 2`",
    ),
}

FLASK_RUN = Server(
    "flask --app {app} run --port {port}",
    {"ends_cleanly": False, "visitors_at_once": 6},
    _DEVELOPMENT,
)
RUNSERVER = Server(
    "python django_app.py runserver --noreload 127.0.0.1:{port}",
    {
        "ends_cleanly": False,
        "notices_within": 3.5,
        "notices_half_close": False,
        "visitors_at_once": 6,
    },
    _DEVELOPMENT,
)

WORKERS = Server("uvicorn {app} --port {port} --workers 2", set_this="a broker that is shared")
PRELOAD = Server(
    f"{GUNICORN} --threads 24 --preload", set_this="nothing more: `--preload` is no harm"
)
SYNC = Server(GUNICORN)
