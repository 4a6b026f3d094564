"""Who may watch and cancel, in one process; test_servers.py has logins on real servers."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404, HttpRequest
from django.test import Client, override_settings

from sseprog import Hub


def refuses(error: Exception) -> Callable[..., bool]:
    def authorize(request: HttpRequest, job_id: str, owner: str | None) -> bool:
        raise error

    return authorize


def asks_the_database(request: HttpRequest, job_id: str, owner: str | None) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT username FROM auth_user WHERE id = %s", [request.user.pk])
        return bool(cursor.fetchone()[0] == "bob")


async def knows_alice(request: HttpRequest, job_id: str, owner: str | None) -> bool:
    return (await request.auser()).username == "alice"


def test_a_job_is_for_its_owner(hub: Hub, as_user: Callable[[str], Client]) -> None:
    hub.create("j", owner=2)
    assert as_user("bob").get("/jobs/j").status_code == 200
    assert as_user("alice").get("/jobs/j").status_code == 404
    assert Client().get("/jobs/j").status_code == 404


def test_a_job_without_an_owner_is_for_whoever_knows_its_id(hub: Hub, client: Client) -> None:
    hub.create("j")
    assert client.get("/jobs/j").status_code == 200


@pytest.mark.parametrize(
    ("authorize", "alice", "bob"),
    [
        (asks_the_database, 404, 200),
        (knows_alice, 200, 404),
        ("under_test.urls.only_a", 200, 200),
        (refuses(Http404("secret")), 404, 404),
        (refuses(PermissionDenied()), 403, 403),
    ],
)
def test_authorize_decides_instead(
    hub: Hub, as_user: Callable[[str], Client], authorize: Any, alice: int, bob: int
) -> None:
    with override_settings(SSEPROG={"AUTHORIZE": authorize}):
        hub.create("a", owner=2)
        assert as_user("alice").get("/jobs/a").status_code == alice
        assert as_user("bob").get("/jobs/a").status_code == bob


def test_an_authorize_that_fails_refuses_and_is_logged(
    hub: Hub, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(SSEPROG={"AUTHORIZE": refuses(ZeroDivisionError())}):
        hub.create("j")
        with caplog.at_level(logging.ERROR, "sseprog"):
            assert client.get("/jobs/j").status_code == 404
    assert "authorize failed" in caplog.text


@pytest.mark.parametrize("path", ["/jobs/j/cancel/", "/jobs//j/cancel", "/jobs//j/cancel//"])
def test_another_path_is_no_way_around_the_token(hub: Hub, client: Client, path: str) -> None:
    hub.create("j")
    assert client.post(path).status_code == 404
    assert hub.snapshot("j").status == "pending"


def test_nobody_cancels_without_the_token(hub: Hub, client: Client) -> None:
    path = "/jobs/j/cancel"
    hub.create("j")
    assert client.post(path).status_code == 403
    assert hub.snapshot("j").status == "pending"
    token = client.get("/page/j").context["csrf_token"]
    assert client.post(path, headers={"X-CSRFToken": str(token)}).status_code == 202
    assert hub.snapshot("j").status == "cancelled"


def test_a_ticket_admits_to_watch_and_not_to_cancel(hub: Hub) -> None:
    hub.create("j", owner=2)
    ticket = hub.ticket("j")
    assert Client().get(f"/jobs/j?ticket={ticket}").status_code == 200
    assert Client().post(f"/jobs/j/cancel?ticket={ticket}").status_code == 404


def test_the_keys_of_the_site_sign_tickets(hub: Hub) -> None:
    signed = hub.tickets.write("j", "epoch", 60)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["for tests"]):
        assert hub.tickets.admits(signed, "j", "epoch")
    with override_settings(SECRET_KEY="new"):
        assert not hub.tickets.admits(signed, "j", "epoch")
