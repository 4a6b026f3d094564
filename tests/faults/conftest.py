"""The brokers, each as a test may break it."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from .services import PostgreSQL, Redis, postgresql, redis_server

_tables = count()


@pytest.fixture(scope="session")
def shared_postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests of a process: to set one up takes seconds."""
    with postgresql() as running:
        yield running


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A server that keeps nothing on the disk."""
    with redis_server(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A broker by its scheme: ``sqlite`` if the test names no other."""
    scheme = getattr(request, "param", "sqlite")
    if scheme == "redis":
        server: Redis = request.getfixturevalue("redis")
        return server.url
    if scheme == "postgresql":
        postgresql: PostgreSQL = request.getfixturevalue("shared_postgresql")
        return f"{postgresql.url}?table=faults_{next(_tables)}"
    return f"sqlite:///{tmp_path / 'jobs.db'}"


each_broker = pytest.mark.parametrize("url", ["sqlite", "redis", "postgresql"], indirect=True)
