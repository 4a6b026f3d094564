"""``settings.SSEPROG``, and the hub that is made by it."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings

from sseprog import Hub
from sseprog_django import hub as lazy


def test_the_hub_is_a_hub(hub: Hub) -> None:
    assert isinstance(lazy, Hub)
    assert hub.settings.throttle is None


def test_settings_reach_the_hub() -> None:
    with override_settings(SSEPROG={"HEARTBEAT": 3, "MAX_JOBS": 7, "TRUSTED_PROXIES": ["unix"]}):
        assert lazy.settings.heartbeat == 3
        assert lazy.settings.max_jobs == 7


def test_what_is_missing_is_the_environment_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSEPROG_HEARTBEAT", "4")
    with override_settings(SSEPROG={"RETRY": 5}):
        assert (lazy.settings.heartbeat, lazy.settings.retry) == (4, 5)


def test_a_test_that_overrides_settings_has_a_hub_of_its_own(client: Client, hub: Hub) -> None:
    hub.create("outside")
    stream = hub.stream("outside")
    with override_settings(SSEPROG={"HEARTBEAT": 1}):
        list(stream)  # ends, since its hub was closed
        assert client.get("/jobs/outside").status_code == 404
        hub.create("inside")
        assert client.get("/jobs/inside").status_code == 200
    assert client.get("/jobs/inside").status_code == 404
    with override_settings(STATIC_URL="elsewhere/"):
        hub.create("kept")
    assert client.get("/jobs/kept").status_code == 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HEARTBEET": 1}, r'SSEPROG\["HEARTBEET"\].* did you mean HEARTBEAT'),
        ({"AUTORIZE": 1}, "did you mean AUTHORIZE"),
        ({"heartbeat": 1}, r'SSEPROG\["heartbeat"\] is no setting'),
        ({"HEARTBEAT": "often"}, "heartbeat='often' is not a number of seconds"),
        ({"MAX_JOBS": -1}, "max_jobs=-1 is not a whole number"),
        ({"BROKER": "kafka://x"}, "unknown broker scheme 'kafka'; known are memory"),
        ({"BROKER": 7}, "broker is a URL"),
        ({"TRUSTED_PROXIES": ["the proxy"]}, "trusted proxy 'the proxy' is not an address"),
        ({"AUTHORIZE": "no.such.function"}, r'SSEPROG\["AUTHORIZE"\]: No module named'),
        ({"AUTHORIZE": 7}, r'SSEPROG\["AUTHORIZE"\] is a function'),
        (["HEARTBEAT"], "SSEPROG is a dict, .* not list"),
    ],
)
def test_a_bad_setting_is_named_at_first_use(settings: object, said: str) -> None:
    with (
        override_settings(SSEPROG=settings),
        pytest.raises(ImproperlyConfigured, match=said),
    ):
        lazy.create()


def test_a_site_without_settings_has_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings

    with override_settings():
        del settings.SSEPROG
        assert lazy.settings.heartbeat == 15
