"""What a plugin can hook into, and how it says so.

A plugin is a module or an object with functions marked by `hookimpl`. It is found by its entry
point (group ``sseprog``) or given to ``hub.plugins.register(...)``.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from .progress import Progress

if TYPE_CHECKING:
    from ._event import Event
    from .broker import Broker

__all__ = ["hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("sseprog")
hookimpl = pluggy.HookimplMarker("sseprog")


class RegisterEmitter(Protocol):
    """``register("thumbnails", make_thumbnails)``: a generator function of `Progress`."""

    def __call__(self, name: str, emitter: Callable[..., Any], /) -> None: ...


class RegisterBroker(Protocol):
    """``register("redis", "my_package.redis:RedisBroker")``: a class, or where to find it."""

    def __call__(self, scheme: str, broker: "type[Broker] | str", /) -> None: ...


@hookspec
def sseprog_register_emitters(register: RegisterEmitter) -> None:
    """Call ``register(name, emitter)`` for each emitter that `Hub.start` may start by name."""


@hookspec
def sseprog_register_brokers(register: RegisterBroker) -> None:
    """Call ``register(scheme, broker)`` for each URL scheme that `Hub` may be given."""


@hookspec(firstresult=True)
def sseprog_authorize(
    request: object, job_id: str, owner: str | None
) -> bool | Awaitable[bool] | None:
    """Say ``True`` or ``False``: may ``request`` see the job? ``None`` leaves it to the next."""


@hookspec
def sseprog_event(job_id: str, event: "Event") -> None:
    """Look at each event as it is published, the first of which makes the job.

    Called in the thread that reports, or in the one that sends what was held back: be quick.
    """


EmitterFunction = Callable[..., Iterable[Progress]]
