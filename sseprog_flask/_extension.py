"""The extension: its hub, its routes, and what it adds to templates and commands."""

import re
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final

from flask import Flask, Request, Response, current_app, g, has_app_context, request
from werkzeug.exceptions import HTTPException

from sseprog import Hub
from sseprog.adapters import STREAM_HEADERS, Adapter, Reply, drain_on_signals, incoming_of

from ._commands import commands
from ._config import hub_of_config
from ._template import job_progress

__all__ = ["Authorize", "SSEProg"]

Authorize = Callable[[Request, str, str | None], bool | Awaitable[bool]]
"""``(request, job_id, owner) -> bool``: may this request see this job?"""

# The last takes all that the others leave, so that every answer is the protocol's.
_ROUTES: Final = {
    "static": "/static/<name>",
    "streams": "/stream",
    "stream": "/<job_id>/stream",
    "cancel": "/<job_id>/cancel",
    "snapshot": "/<job_id>",
    "other": "/<path:path>",
}


class SSEProg:
    """Serve the jobs of a hub below ``url_prefix``.

    Without a ``hub``, each application gets its own, by ``SSEPROG_BROKER`` and the other settings
    ``SSEPROG_<NAME>`` in ``app.config``, else in the environment.

    ``authorize`` decides who may watch; by default a job with an owner is for that user, as
    Flask-Login knows it, and one without for whoever knows its id. What ``authorize`` raises by
    ``abort()`` is the answer; anything else it raises is a refusal, a 404, and logged.

    ``host`` and ``subdomain`` are those of the routes, for applications that match them.

    The routes are named ``sseprog.stream``, ``sseprog.snapshot`` and ``sseprog.cancel``, with
    ``job_id``, for ``url_for``. Templates have ``job_progress(job_id)``.
    """

    def __init__(
        self,
        app: Flask | None = None,
        hub: Hub | None = None,
        url_prefix: str = "/jobs",
        authorize: Authorize | None = None,
        *,
        host: str | None = None,
        subdomain: str | None = None,
    ) -> None:
        if hub is not None and not isinstance(hub, Hub):
            raise TypeError(f"SSEProg takes a Hub, not {type(hub).__name__}")
        if authorize is not None and not callable(authorize):
            raise TypeError(f"authorize is a function (request, job_id, owner), not {authorize!r}")
        self._hub = hub
        self._prefix = _checked_prefix(url_prefix)
        self._authorize = authorize
        self._host = host
        self._subdomain = subdomain
        self._hubs: weakref.WeakKeyDictionary[Flask, Hub] = weakref.WeakKeyDictionary()
        if app is not None:
            self.init_app(app)

    @property
    def hub(self) -> Hub:
        """The hub of the current application, or of the only one. Raises `RuntimeError`."""
        if self._hub is not None:
            return self._hub
        if has_app_context():
            app = current_app._get_current_object()  # type: ignore[attr-defined]
            if app not in self._hubs:
                raise RuntimeError(f"{app!r} has no hub by this SSEProg: call init_app with it")
            return self._hubs[app]
        hubs = list(self._hubs.values())
        if len(hubs) != 1:
            count = f"{len(hubs)} applications have" if hubs else "no application has"
            raise RuntimeError(
                f"{count} a hub by this SSEProg: use it within app.app_context(), after init_app"
            )
        return hubs[0]

    def init_app(self, app: Flask) -> None:
        """Mount the routes in ``app``. Raises `ValueError` for a bad setting in its config."""
        if "sseprog" in app.extensions:
            raise RuntimeError("this application has an SSEProg already: one serves all its jobs")
        if app.url_map.host_matching and self._host is None:
            raise ValueError("this application matches hosts: SSEProg(host=...) says which one")
        hub = self._hub or hub_of_config(app)
        adapter = Adapter(hub, self._authorize, user_of=_user_of, passing=(HTTPException,))
        prefix = self._prefix
        # First, since Flask refuses it once requests have been served.
        app.add_template_global(job_progress)
        app.teardown_request(_close_unsent)

        def view(**_: str) -> Response:
            return _respond(adapter, request.path.removeprefix(prefix))

        for name, rule in _ROUTES.items():
            # Not by app.add_url_rule, which has a set of methods and answers the others itself.
            endpoint = f"sseprog.{name}"
            app.url_map.add(
                app.url_rule_class(
                    prefix + rule, endpoint=endpoint, host=self._host, subdomain=self._subdomain
                )
            )
            app.view_functions[endpoint] = view
        app.cli.add_command(commands)
        app.extensions["sseprog"] = self
        self._hubs[app] = hub
        drain_on_signals(hub)


def _respond(adapter: Adapter, path: str) -> Response:
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    reply = adapter.answer(asked, incoming_of(asked.environ, path))
    if isinstance(reply, Reply):
        return current_app.response_class(reply.body, reply.status, list(reply.headers))
    # Nobody shall compress it: each event would wait for the next to fill a block.
    asked.environ.pop("HTTP_ACCEPT_ENCODING", None)
    g._sseprog_stream = reply
    return current_app.response_class(reply, 200, list(STREAM_HEADERS), direct_passthrough=True)


def _close_unsent(error: BaseException | None) -> None:
    """Give back the place of a stream whose response was lost to an error on its way out."""
    stream = g.pop("_sseprog_stream", None)
    if error is not None and stream is not None:
        stream.close()


def _user_of(asked: Request) -> str | None:
    """Return the id of the user that Flask-Login knows, where an application uses it."""
    if not hasattr(current_app, "login_manager"):
        return None
    from flask_login import current_user

    if not current_user.is_authenticated:
        return None
    user: Any = current_user.get_id()
    return None if user is None else str(user)


def _checked_prefix(prefix: str) -> str:
    """Return it as ``/jobs``, however many slashes it came with."""
    if not isinstance(prefix, str):
        raise TypeError(f"url_prefix is a path such as '/jobs', not {prefix!r}")
    stripped = prefix.strip("/")
    if not re.fullmatch(r"[\w.~!$&'()*+,;=:@/-]+", stripped):
        raise ValueError(f"url_prefix is a path such as '/jobs', not {prefix!r}")
    return f"/{stripped}"
