"""A parser by others, npm's eventsource-parser."""

import json
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def parse() -> Iterator[Callable[[list[bytes]], dict[str, Any]]]:
    """Give slices of bytes to the parser, in one Node.js process for all tests."""
    with subprocess.Popen(
        ["node", HERE / "parse.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None

        def ask(slices: list[bytes]) -> dict[str, Any]:
            line = json.dumps([b64encode(each).decode() for each in slices])
            node.stdin.write(line.encode() + b"\n")
            node.stdin.flush()
            answer: dict[str, Any] = json.loads(node.stdout.readline())
            return answer

        yield ask
        node.stdin.close()
