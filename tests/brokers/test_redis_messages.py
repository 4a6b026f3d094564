"""What a server says to who has subscribed is cut out of any slices of it."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from redis.exceptions import InvalidResponse, ResponseError

from sseprog.brokers._redis.messages import cut

TEXTS = st.binary(max_size=20) | st.sampled_from([b"", b"\r\n", b"$3\r\nabc\r\n", b"*1\r\n"])


def array(*parts: bytes | int) -> bytes:
    """Write a message as a server does."""
    return b"*%d\r\n" % len(parts) + b"".join(
        b":%d\r\n" % part if isinstance(part, int) else b"$%d\r\n%b\r\n" % (len(part), part)
        for part in parts
    )


@given(
    messages=st.lists(st.lists(TEXTS | st.integers(0, 2**40), min_size=1, max_size=4)),
    sizes=st.lists(st.integers(1, 30), min_size=1),
)
def test_any_slices_are_the_same_messages(
    messages: list[list[bytes | int]], sizes: list[int]
) -> None:
    data = b"".join(array(*message) for message in messages)
    found, rest = [], b""
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        some, rest = cut(rest + data[at : at + size])
        found += some
        at += size
        turn += 1
    assert rest == b""
    assert found == [
        [b"%d" % part if isinstance(part, int) else part for part in message]
        for message in messages
    ]


def test_what_else_a_server_says_there() -> None:
    said = b"+PONG\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n$"
    assert cut(said) == ([[b"PONG"], [b"pong", b""], [b"unsubscribe", b"", b"0"]], b"$")


def test_an_error_is_raised() -> None:
    with pytest.raises(ResponseError, match="MOVED 1 :7000"):
        cut(b"-MOVED 1 :7000\r\n")


@pytest.mark.parametrize("data", [b"%1\r\n", b"*1\r\n*0\r\n"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidResponse):
        cut(data)
