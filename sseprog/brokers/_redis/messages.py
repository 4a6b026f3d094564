"""What a server says to who has subscribed, cut out of the bytes as they come."""

from typing import Final

from redis.exceptions import InvalidResponse, ResponseError

__all__ = ["Message", "cut"]

Message = list[bytes]

_ARRAY: Final = ord("*")
_BULK: Final = ord("$")
_NUMBER: Final = ord(":")
_ERROR: Final = ord("-")
_SIMPLE: Final = ord("+")


def cut(data: bytes) -> tuple[list[Message], bytes]:
    """Return all whole messages at the start of ``data``, and the rest.

    They are what RESP2 allows there: arrays of texts and numbers, and one word. Raises
    `ResponseError` for an error. redis-py's parsers would do the same, but how to ask them
    whether something is left, and not to wait for it, is different in each version, and over TLS.
    """
    messages: list[Message] = []
    done = at = 0
    find, size = data.find, len(data)
    while True:
        end = find(b"\r\n", at)
        if end < 0:
            break
        what = data[at]
        line = data[at + 1 : end]
        at = end + 2
        if what == _ARRAY:
            message: Message = []
            for _ in range(int(line)):
                end = find(b"\r\n", at)
                if end < 0:
                    return messages, data[done:]
                if data[at] == _BULK:
                    begin = end + 2
                    stop = begin + int(data[at + 1 : end])
                    at = stop + 2
                    if stop < begin:  # nothing: who unsubscribes from nothing is told so
                        at, stop = begin, begin
                    if at > size:
                        return messages, data[done:]
                    message.append(data[begin:stop])
                elif data[at] == _NUMBER:
                    message.append(data[at + 1 : end])
                    at = end + 2
                else:
                    raise InvalidResponse(f"not a message: {data[at:end]!r}")
            messages.append(message)
        elif what == _SIMPLE:
            messages.append([line])
        elif what == _ERROR:
            raise ResponseError(line.decode(errors="replace"))
        else:
            raise InvalidResponse(f"not a message: {data[at:end]!r}")
        done = at
    return messages, data[done:]
