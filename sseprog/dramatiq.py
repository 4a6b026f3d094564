"""Show the progress of Dramatiq's messages: each has a job, whose id is the message's.

    install(broker, Hub("redis://localhost:6379/0"))  # where the broker is made

    @dramatiq.actor
    def export(rows):
        for row in current_job().track(rows):
            ...

See docs/queues.md.
"""

from dataclasses import dataclass
from typing import Any, Final

from . import _queues
from ._ending import CANCELLED, FAILED
from ._queues import current_job, owned_by, run_emitter
from .errors import JobCancelled, JobEnded, JobFailed, MissingExtra
from .hub import Hub

try:
    from dramatiq import ActorNotFound, Broker, Message, Middleware
    from dramatiq.broker import MessageProxy
    from dramatiq.middleware import Interrupt, Shutdown, SkipMessage, TimeLimitExceeded
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "dramatiq":
        raise
    raise MissingExtra(
        'sseprog.dramatiq needs Dramatiq: pip install "sseprog[dramatiq]"'
    ) from error

__all__ = [
    "OWNER_OPTION",
    "ProgressMiddleware",
    "current_job",
    "install",
    "owned_by",
    "run_emitter",
]

OWNER_OPTION: Final = "sseprog_owner"
"""The option of a message that says whom its job is for."""

_MADE: Final = "sseprog_made"
"""The option of a message whose job was made already."""


def install(broker: Broker, hub: Hub) -> None:
    """Give each message of ``broker`` a job on ``hub``, but those of ``@actor(progress=False)``.

    Call it where the broker is made, after its other middleware is added.
    """
    broker.add_middleware(ProgressMiddleware(hub))


@dataclass(slots=True, eq=False)
class _Attempt:
    """``goes_on``: the message was sent once more. ``error``: what the actor raised."""

    message_id: str
    goes_on: bool = False
    error: BaseException | None = None


class ProgressMiddleware(Middleware):
    """Show messages as jobs. It is the last in the list, and so the first to know how one ended."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def actor_options(self) -> set[str]:
        return {"progress"}

    def before_enqueue(self, broker: Broker, message: "Message[Any]", delay: int | None) -> None:
        if not _shows(broker, message):
            return
        found = _attempt_at(message)
        if found is not None:
            run, attempt = found
            attempt.goes_on = True
            _queues.end_if_cancelled(run)  # before the message leaves, to be got by somebody free
            return
        options = message.options
        if options.get(_MADE):
            return  # it was delayed, and is due; what was cancelled meanwhile stays so
        options[_MADE] = True
        if options.get(OWNER_OPTION) is None and (owner := _queues.owner_here()) is not None:
            options[OWNER_OPTION] = owner
        _queues.create(self._hub, message.message_id, options.get(OWNER_OPTION))

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        if not _shows(broker, message):
            return
        attempt = _Attempt(message.message_id)
        owner = message.options.get(OWNER_OPTION)
        run = _queues.begin(self._hub, message.message_id, owner, attempt)
        if run.refused:
            _queues.finish(run)
            raise SkipMessage("its job was cancelled")

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        found = _attempt_at(message)
        if found is not None and exception is not None:
            found[1].error = exception
            if isinstance(exception, _NEVER_AGAIN):
                message.options["throws"] = (
                    _NEVER_AGAIN  # which is read by Retries, that comes next
                )

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        if _shows(broker, message):
            ending = _queues.EXPIRED if message.failed else CANCELLED
            _queues.end(self._hub, message.message_id, ending)

    def before_ack(self, broker: Broker, message: MessageProxy) -> None:
        found = _attempt_at(message)
        if found is None:
            return
        run, attempt = found
        if attempt.goes_on:
            _queues.postpone(run)
        else:
            _queues.finish(run, _error(attempt.error))

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        found = _attempt_at(message)
        if found is not None:
            run, attempt = found
            _queues.finish(run, _error(attempt.error) or JobFailed(FAILED))
        elif _is_unknown(broker, message):
            _queues.end(self._hub, message.message_id, _queues.UNKNOWN_TASK)


_NEVER_AGAIN: Final = (JobCancelled, JobEnded)
"""What no retry makes good: somebody wants it to end, or another attempt goes on."""


def _attempt_at(message: "Message[Any] | MessageProxy") -> "tuple[_queues.Run, _Attempt] | None":
    run = _queues.current_run()
    if run is None or not isinstance(run.task, _Attempt):
        return None
    return (run, run.task) if run.task.message_id == message.message_id else None


def _shows(broker: Broker, message: "Message[Any] | MessageProxy") -> bool:
    try:
        return broker.get_actor(message.actor_name).options.get("progress") is not False
    except ActorNotFound:
        return True


def _is_unknown(broker: Broker, message: MessageProxy) -> bool:
    return message.actor_name not in broker.get_declared_actors()


def _error(error: BaseException | None) -> BaseException | None:
    if isinstance(error, TimeLimitExceeded):
        return _queues.timed_out()
    if isinstance(error, Interrupt) and not isinstance(error, Shutdown):
        return JobCancelled("the message was aborted")  # by dramatiq-abort, above all
    return error
