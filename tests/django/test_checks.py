"""The system checks: each by its id, and with the line that helps."""

import os
import subprocess
import sys
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings

from sseprog_django._checks import check_static

from .served import PROJECT

GZIP = "django.middleware.gzip.GZipMiddleware"
SECURITY = "django.middleware.security.SecurityMiddleware"
UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
SESSION = "django.contrib.sessions.middleware.SessionMiddleware"


def found() -> list[CheckMessage]:
    return [message for message in run_checks() if str(message.id).startswith("sseprog.")]


def test_a_good_project_has_nothing_to_be_told() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("settings", "message_id", "said", "hint"),
    [
        ("often", "E001", "SSEPROG is a dict", 'SSEPROG = {"HEARTBEAT": 15}'),
        ({"HEARTBEET": 1}, "E002", "did you mean HEARTBEAT", "Correct the name"),
        ({7: 1}, "E002", 'SSEPROG["7"] is no setting', "Correct the name"),
        ({"HEARTBEAT": "x"}, "E003", "heartbeat='x' is not", '{"HEARTBEAT": 15.0}'),
        ({"RETENTION": 1.5}, "E003", "retention=1.5 is not", '{"RETENTION": 256}'),
        ({"TRUSTED_PROXIES": "unix"}, "E003", "a list of networks", "TRUSTED_PROXIES"),
        ({"BROKER": "kafka://x"}, "E004", "unknown broker scheme", '{"BROKER": ...}'),
        ({"BROKER": "memory"}, "E004", "is not a URL", '{"BROKER": ...}'),
        ({"AUTHORIZE": "no.such"}, "E005", "No module named", "AUTHORIZE"),
        ({"AUTHORIZE": 7}, "E005", "is a function", "AUTHORIZE"),
    ],
)
def test_a_bad_setting_is_an_error(settings: Any, message_id: str, said: str, hint: str) -> None:
    with override_settings(SSEPROG=settings):
        [message] = found()
    assert message.id == f"sseprog.{message_id}"
    assert said in message.msg
    assert hint in str(message.hint)


def test_every_bad_setting_is_told_at_once() -> None:
    with override_settings(SSEPROG={"HEARTBEAT": "x", "RETRY": "x", "NOPE": 1}):
        assert [message.id for message in found()] == [
            "sseprog.E003",
            "sseprog.E003",
            "sseprog.E002",
        ]


def test_a_bad_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSEPROG_RETRY", "soon")
    with override_settings(SSEPROG={}):
        [message] = found()
    assert message.id == "sseprog.E003"
    assert "SSEPROG_RETRY" in message.msg


@pytest.mark.parametrize(
    ("name", "value", "warned"),
    [
        ("WEB_CONCURRENCY", "4", True),
        ("WEB_CONCURRENCY", "1", False),
        ("WEB_CONCURRENCY", "many", False),
        ("GUNICORN_CMD_ARGS", "--bind=:80 -w 3", True),
        ("GUNICORN_CMD_ARGS", "-w3", True),
        ("GUNICORN_CMD_ARGS", "--workers=3 --threads 4", True),
        ("GUNICORN_CMD_ARGS", "--workers 3", True),
        ("GUNICORN_CMD_ARGS", "--threads 4", False),
        ("GUNICORN_CMD_ARGS", "--workers=1 '", False),
    ],
)
def test_several_workers_need_a_broker_that_they_share(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, warned: bool
) -> None:
    monkeypatch.setenv(name, value)
    messages = found()
    assert [message.id for message in messages] == (["sseprog.W001"] if warned else [])
    if warned:
        assert '"BROKER"' in str(messages[0].hint)


@pytest.mark.parametrize(
    ("order", "warned"),
    [
        ([GZIP, SESSION], False),
        ([SECURITY, GZIP, SESSION], False),
        ([UPDATE, SECURITY, GZIP], False),
        ([SESSION, GZIP], True),
        ([SECURITY, SESSION, GZIP], True),
        ([SESSION], False),
    ],
)
def test_gzip_comes_first(order: list[str], warned: bool) -> None:
    with override_settings(MIDDLEWARE=order):
        assert [message.id for message in found()] == (["sseprog.W002"] if warned else [])


@override_settings(ROOT_URLCONF="django.contrib.auth.urls")
def test_routes_that_are_not_mounted_are_missed() -> None:
    [message] = found()
    assert message.id == "sseprog.W003"
    assert 'path("jobs/", include("sseprog_django.urls"))' in str(message.hint)


def test_the_admin_s_pages_need_static_files() -> None:
    from django.conf import settings

    apps = [app for app in settings.INSTALLED_APPS if app != "django.contrib.staticfiles"]
    with override_settings(INSTALLED_APPS=apps):
        assert [message.id for message in found()] == ["sseprog.W004"]
    with override_settings(INSTALLED_APPS=["sseprog_django"]):
        assert check_static(None) == [], "the mount serves the client of other pages"


def test_a_bad_setting_is_told_by_check_and_by_no_traceback() -> None:
    code = (
        "import signal, sys, django; from django.conf import settings\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"
        "from under_test import settings as usual\n"
        "usual.SSEPROG = {'BROKER': 'kafka://x'}\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(['manage.py', 'check'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 1
    assert "(sseprog.E004) settings.SSEPROG: unknown broker scheme 'kafka'" in ran.stderr
    assert "Traceback" not in ran.stderr
