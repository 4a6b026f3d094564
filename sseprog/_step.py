"""Step an ASGI ``send`` by hand: on a server whose buffer has room it is over in one step."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, MutableMapping
from typing import Any, Final, NamedTuple

__all__ = ["Left", "Message", "Send", "await_left", "step", "step_each"]

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_DONE: Final = object()


class Left(NamedTuple):
    """What is left of a ``send`` that was stepped once."""

    steps: Iterator[Any]
    waiting: object
    """What the first step gave, for the event loop."""


def step(send: Send, message: Message) -> Left | None:
    """Step ``send(message)`` once; return what is left of it, if it has to wait."""
    # __await__, since an ASGI server's awaitable need not be a coroutine; a default, since to
    # make a StopIteration takes as long as all else here.
    steps = send(message).__await__()
    waiting = next(steps, _DONE)
    return None if waiting is _DONE else Left(steps, waiting)


def step_each(
    sends: Iterable[Send], body: bytes, *, more: bool
) -> list[tuple[int, Left | BaseException]]:
    """Send ``body`` to each, a step each; return those that aren't through, by their places."""
    unfinished: list[tuple[int, Left | BaseException]] = []
    for place, send in enumerate(sends):
        try:
            # step(), but for the call: this is all that an event costs a stream. The message is
            # a new one for each, since middleware may write into it.
            steps = send(
                {"type": "http.response.body", "body": body, "more_body": more}
            ).__await__()
            waiting = next(steps, _DONE)
        except (Exception, asyncio.CancelledError) as error:
            unfinished.append((place, error))
            continue
        if waiting is not _DONE:
            unfinished.append((place, Left(steps, waiting)))
    return unfinished


@types.coroutine
def await_left(left: Left) -> Generator[object, Any, None]:
    """Await what is left of a ``send`` that was stepped once."""
    steps, waiting = left
    while True:
        try:
            yield waiting
        except BaseException as error:
            if not isinstance(steps, Generator):  # PEP 380
                raise
            try:
                waiting = steps.throw(error)
            except StopIteration:
                return
        else:
            yield from steps
            return
