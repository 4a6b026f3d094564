"""Who may watch a job: its owner, whom the application's ``authorize`` or a plugin lets."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .errors import JobNotFound

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["Access", "Authorize"]

Authorize = Callable[[Any, str, str | None], bool | Awaitable[bool]]

logger = logging.getLogger("sseprog")


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

    async def allows(self, request: object, job_id: str) -> bool:
        """Tell whether the request may see the job; an unknown one it may not."""
        try:
            owner = self._hub.broker.owner(job_id)
        except JobNotFound:
            return False
        try:
            if self._authorize is not None:
                return await _answer(self._authorize, request, job_id, owner) or False
            for hook in self._hub.plugins.authorizers():
                answer = await _answer(hook, request, job_id, owner)
                if answer is not None:
                    return answer
            return owner is None or self._user_of(request) == owner
        except self._passing:
            raise
        except Exception:
            logger.exception("job %s: a request was refused because authorize failed", job_id)
            return False


async def _answer(
    ask: Callable[..., Any], request: object, job_id: str, owner: str | None
) -> bool | None:
    """Ask a function of either kind; one that is not ``async`` may wait for a database.

    Raises `TypeError` for an answer that is no answer: a redirect to a login page, a generator
    and a coroutine are all true.
    """
    if inspect.iscoroutinefunction(ask) or inspect.iscoroutinefunction(
        getattr(ask, "__call__", None)  # noqa: B004 - it is looked at, not tested for
    ):
        answer = await ask(request, job_id, owner)
    else:
        answer = await asyncio.to_thread(ask, request, job_id, owner)
        if inspect.isawaitable(answer):
            answer = await answer
    if answer is not None and not isinstance(answer, bool):
        raise TypeError(f"authorize answers True, False or None, not {answer!r}")
    return answer
