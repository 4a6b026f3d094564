"""Who may watch a job: its owner, whom the application's ``authorize`` or a plugin lets."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ._gevent import is_patched
from .errors import JobNotFound

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Access", "Authorize"]

Authorize = Callable[[Any, str, str | None], bool | Awaitable[bool]]

logger = logging.getLogger("sseprog")

_one_at_a_time: Final = threading.Lock()


class Access:
    """Decide for one adapter.

    ``authorize(request, job_id, owner)`` decides alone if there is one, then the hooks, then the
    rule: a job without an owner is open to who knows its id, one with an owner to that user.
    ``user_of(request)`` gives the id of the user that a request is from, or ``None``. Of the
    exceptions raised on the way, those of ``passing`` are the framework's own answers; all others
    are a refusal, and logged.
    """

    def __init__(
        self,
        hub: "Hub",
        authorize: Authorize | None,
        *,
        user_of: Callable[[Any], str | None],
        passing: tuple[type[Exception], ...],
    ) -> None:
        if authorize is not None and not callable(authorize):
            raise TypeError(f"authorize is a function (request, job_id, owner), not {authorize!r}")
        self._hub = hub
        self._authorize = authorize
        self._user_of = user_of
        self._passing = passing

    def allows(self, request: object, job_id: str) -> bool:
        """Tell whether the request may see the job; an unknown one it may not."""
        steps = self._decide(request, job_id)
        try:
            call = next(steps)
            while True:
                try:
                    answer = call()
                    if inspect.isawaitable(answer):
                        answer = _run(answer)
                except Exception as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as decided:
            return bool(decided.value)

    async def allows_async(self, request: object, job_id: str) -> bool:
        """Do the same in a coroutine; a function that is not ``async`` is called in a thread."""
        steps = self._decide(request, job_id)
        try:
            call = next(steps)
            while True:
                try:
                    answer = call() if _is_async(call.func) else await asyncio.to_thread(call)
                    if inspect.isawaitable(answer):
                        answer = await answer
                except Exception as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as decided:
            return bool(decided.value)

    def _decide(self, request: object, job_id: str) -> Generator[partial[Any], Any, bool]:
        """Decide once for both: yield each question to be asked, and be sent its answer."""
        try:
            owner = self._hub.broker.owner(job_id)
        except JobNotFound:
            return False
        asked = [self._authorize] if self._authorize else self._hub.plugins.authorizers()
        try:
            for function in asked:
                answer = yield partial(function, request, job_id, owner)
                # A redirect to a login page, a generator and a coroutine are all true.
                if answer is not None and not isinstance(answer, bool):
                    raise TypeError(f"authorize answers True, False or None, not {answer!r}")
                if answer is not None or self._authorize:
                    return answer or False
            return owner is None or self._user_of(request) == owner
        except self._passing:
            raise
        except Exception:
            logger.exception("job %s: a request was refused because authorize failed", job_id)
            return False


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - it is looked at, not tested for
    )


def _run(answer: Awaitable[Any]) -> object:
    """Wait for the answer of an ``async`` function in a thread without an event loop."""
    if is_patched("threading"):  # where all greenlets share one thread, and so one loop
        with _one_at_a_time:
            return asyncio.run(_awaited(answer))
    if asyncio._get_running_loop() is None:
        return asyncio.run(_awaited(answer))
    with ThreadPoolExecutor(1) as another:  # a coroutine has called, as of a test
        return another.submit(asyncio.run, _awaited(answer)).result()


async def _awaited(answer: Awaitable[Any]) -> object:
    return await answer
