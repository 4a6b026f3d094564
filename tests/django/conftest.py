"""A Django project in this process, and the same behind real servers and databases."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

PROJECT = Path(__file__).parent / "project"

# As manage.py does. Before the test modules are imported, which import models.
sys.path.insert(0, str(PROJECT))
os.environ["DJANGO_SETTINGS_MODULE"] = "under_test.settings"
for variable in {name for name in os.environ if name.startswith(("SSEPROG_", "UNDER_TEST_"))}:
    if variable != "SSEPROG_SCREENSHOTS":
        del os.environ[variable]

import django  # noqa: E402

django.setup()

from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment, teardown_test_environment  # noqa: E402

from .cluster import Cluster  # noqa: E402
from .served import Served, database_of  # noqa: E402

if TYPE_CHECKING:
    from sseprog import Hub


@pytest.fixture(scope="session")
def people() -> Iterator[None]:
    """The tables of this process's database, and who is in them: see seed.py."""
    from under_test.seed import seed

    seed()
    yield
    from django.db import connections

    connections.close_all()


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    setup_test_environment(debug=False)
    yield
    teardown_test_environment()


@pytest.fixture
def hub() -> "Iterator[Hub]":
    """The hub of the project, new for each test."""
    from django.core.signals import setting_changed

    from sseprog_django import hub

    yield hub
    setting_changed.send(None, setting="SSEPROG", value=None, enter=False)


@pytest.fixture
def client(people: None, hub: "Hub") -> Client:
    """Nobody in particular, who minds CSRF protection."""
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def as_user(people: None, hub: "Hub") -> Callable[[str], Client]:
    def login(name: str) -> Client:
        client = Client()
        assert client.login(username=name, password=name)
        return client

    return login


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of the tests' own, ended with them."""
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def serve(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Served]]:
    """Start a server on a database, unless there is one: ``serve("uvicorn", "sqlite")``."""
    databases: dict[str, dict[str, Any]] = {}
    servers: dict[tuple[str, str], Served] = {}

    def start(kind: str, database: str) -> Served:
        if database not in databases:
            cluster = request.getfixturevalue("cluster") if database == "postgresql" else None
            databases[database] = database_of(cluster, tmp_path_factory.mktemp("database"))
        if (kind, database) not in servers:
            log = tmp_path_factory.mktemp("log") / "log"
            servers[kind, database] = Served(kind, database, databases[database], log)
        return servers[kind, database]

    yield start
    for server in servers.values():
        server.stop()
    complaints = [server.complaints() for server in servers.values()]
    assert not any(complaints), complaints
