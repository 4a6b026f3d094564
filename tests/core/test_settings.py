"""Settings: their defaults, where they come from, and what they may be."""

import inspect
from typing import Any, get_type_hints

import pytest

from sseprog import Hub
from sseprog._settings import Settings, SettingsOptions

# As the design promises them; a change is one of the public interface.
DEFAULTS: dict[str, float | None] = {
    "heartbeat": 15.0,
    "retry": 2.0,
    "retention": 256,
    "conflate_after": 16,
    "throttle": 0.1,
    "ttl": 3600.0,
    "lease": 30.0,
    "send_timeout": 30.0,
    "max_stream_age": 900.0,
    "drain": 0.0,
    "flush_timeout": 10.0,
    "max_jobs": 10_000,
    "max_streams": None,
    "max_streams_per_client": None,
    "workers": None,
}
COUNTS = (
    "retention",
    "conflate_after",
    "max_jobs",
    "max_streams",
    "max_streams_per_client",
    "workers",
)
SECONDS = tuple(name for name in DEFAULTS if name not in COUNTS)

every_setting = pytest.mark.parametrize("name", DEFAULTS)


def variable(name: str) -> str:
    return f"SSEPROG_{name.upper()}"


def loaded(name: str, options: dict[str, Any], environment: dict[str, str]) -> object:
    """Load, and return one setting; all others are the defaults."""
    settings = Settings.load(options, environment)
    others = {other: getattr(settings, other) for other in DEFAULTS if other != name}
    assert others == {other: value for other, value in DEFAULTS.items() if other != name}
    return getattr(settings, name)


@every_setting
def test_a_default_is_the_one_of_the_design(name: str) -> None:
    assert loaded(name, {}, {}) == DEFAULTS[name]


def test_there_are_no_other_settings() -> None:
    assert set(Settings.__struct_fields__) == set(DEFAULTS)


def test_the_keywords_that_type_checkers_know_are_the_settings() -> None:
    assert get_type_hints(SettingsOptions) == get_type_hints(Settings)


@every_setting
def test_a_setting_says_what_it_is_and_in_what_unit(name: str) -> None:
    lines = inspect.getsource(Settings).splitlines()
    [at] = [n for n, line in enumerate(lines) if line.startswith(f"    {name}: ")]
    assert lines[at + 1].startswith(f'    """{"Seconds" if name in SECONDS else ""}')


@every_setting
def test_a_setting_is_taken_from_the_keyword(name: str) -> None:
    assert loaded(name, {name: 7}, {}) == 7


@every_setting
def test_a_setting_is_taken_from_the_environment(name: str) -> None:
    value = loaded(name, {}, {variable(name): "7"})
    assert value == 7
    assert name in SECONDS or type(value) is int


@every_setting
def test_the_keyword_goes_before_the_environment(name: str) -> None:
    assert loaded(name, {name: 7}, {variable(name): "8"}) == 7
    assert loaded(name, {name: None}, {variable(name): "8"}) is None
    assert loaded(name, {name: 0}, {variable(name): "8"}) is None


@every_setting
def test_a_variable_that_a_keyword_overrides_is_not_looked_at(name: str) -> None:
    assert loaded(name, {name: 7}, {variable(name): "nonsense"}) == 7


@every_setting
@pytest.mark.parametrize("value", [None, 0, 0.0, -0.0])
def test_none_and_zero_switch_off(name: str, value: float | None) -> None:
    if not (name in COUNTS and isinstance(value, float)):
        assert loaded(name, {name: value}, {}) is None


@every_setting
@pytest.mark.parametrize("text", ["none", "None", "NONE", " none ", "", " ", "0", "0.0", "-0"])
def test_none_zero_and_nothing_switch_off_in_the_environment(name: str, text: str) -> None:
    assert loaded(name, {}, {variable(name): text}) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("2.5", 2.5), (".5", 0.5), ("7.0", 7), ("1e3", 1000), (" 7 ", 7), ("7\n", 7), ("+7", 7)],
)
def test_seconds_are_read_as_a_number_is_written(text: str, value: float) -> None:
    assert loaded("ttl", {}, {"SSEPROG_TTL": text}) == value


@pytest.mark.parametrize("value", [0.001, 1, 2.5, 1e9])
def test_seconds_may_be_any_number_that_timers_take(value: float) -> None:
    assert loaded("ttl", {"ttl": value}, {}) == value


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (-1, ValueError, "-1"),
        (-0.001, ValueError, "-0.001"),
        (float("nan"), ValueError, "nan"),
        (float("inf"), ValueError, "inf"),
        (float("-inf"), ValueError, "-inf"),
        (True, TypeError, "True"),
        (False, TypeError, "False"),
        ("15", TypeError, "'15'"),
        (b"15", TypeError, "b'15'"),
        ([15], TypeError, "[15]"),
        (1j, TypeError, "1j"),
    ],
)
def test_seconds_that_cannot_be_are_refused_with_their_name_and_the_rule(
    name: str, value: object, kind: type[Exception], shown: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        Settings.load({name: value}, {})
    assert refused.type is kind
    text = str(refused.value)
    assert f"{name}={shown}" in text
    assert "a number of seconds" in text
    assert "None" in text
    assert ("from 0 on" in text) is (kind is ValueError)


def test_seconds_that_no_float_can_hold_are_refused_like_infinity() -> None:
    with pytest.raises(ValueError, match=r"ttl=.* is not a number of seconds"):
        Settings.load({"ttl": 10**400}, {})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (-1, ValueError, "-1"),
        (2.5, TypeError, "2.5"),
        (2.0, TypeError, "2.0"),
        (float("nan"), TypeError, "nan"),
        (float("inf"), TypeError, "inf"),
        (True, TypeError, "True"),
        (False, TypeError, "False"),
        ("15", TypeError, "'15'"),
        ([15], TypeError, "[15]"),
    ],
)
def test_counts_that_cannot_be_are_refused_with_their_name_and_the_rule(
    name: str, value: object, kind: type[Exception], shown: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        Settings.load({name: value}, {})
    assert refused.type is kind
    text = str(refused.value)
    assert f"{name}={shown}" in text
    assert "a whole number" in text
    assert "None" in text


@every_setting
@pytest.mark.parametrize("text", ["nonsense", "true", "15 s", "0x10", "1,5", "1 000", "null"])
def test_a_variable_that_is_no_number_is_refused_by_its_name(name: str, text: str) -> None:
    with pytest.raises(ValueError, match="is not a number, nor 'none'") as refused:
        Settings.load({}, {variable(name): text})
    assert f"{variable(name)}={text!r}" in str(refused.value)


@every_setting
@pytest.mark.parametrize("text", ["-1", "-0.5", "nan", "inf", "-inf", "1e400", "9" * 400])
def test_a_variable_whose_number_cannot_be_is_refused_by_name_and_with_the_rule(
    name: str, text: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        Settings.load({}, {variable(name): text})
    assert name in str(refused.value).lower()
    rule = "a number of seconds" if name in SECONDS else "a whole number"
    assert rule in str(refused.value)


@pytest.mark.parametrize("name", COUNTS)
def test_a_variable_for_a_count_takes_no_fraction(name: str) -> None:
    with pytest.raises(
        (TypeError, ValueError), match=f"SSEPROG_{name.upper()}=2.5 is not a whole number"
    ):
        Settings.load({}, {variable(name): "2.5"})


@pytest.mark.parametrize("name", ["heart_beat", "HEARTBEAT", "", "broker", "load"])
def test_an_unknown_setting_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(TypeError, match="unknown setting") as refused:
        Settings.load({name: 1}, {})
    assert repr(name) in str(refused.value)
    known = str(refused.value).partition("known are ")[2].split(", ")
    assert known == list(DEFAULTS)


@pytest.mark.parametrize("name", ["SSEPROG_BROKER", "SSEPROG_FFMPEG", "SSEPROG_", "heartbeat"])
def test_variables_of_other_names_are_left_alone(name: str) -> None:
    assert Settings.load({}, {name: "nonsense"}) == Settings()


def test_a_hub_takes_its_settings_from_keywords_and_from_the_environment_as_it_is(
    make_hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSEPROG_HEARTBEAT", "3")
    monkeypatch.setenv("SSEPROG_TTL", "4")
    hub: Hub = make_hub(ttl=5, retry=None)
    settings = hub.settings
    assert (settings.heartbeat, settings.ttl, settings.retry, settings.lease) == (3, 5, None, 30)
    monkeypatch.delenv("SSEPROG_HEARTBEAT")
    assert make_hub().settings.heartbeat == 15


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({"ttl": -1}, ValueError), ({"ttl": "1"}, TypeError), ({"tll": 1}, TypeError)],
)
def test_a_hub_refuses_what_cannot_be_where_it_is_made(
    settings: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=next(iter(settings))):
        Hub(**settings)


def test_settings_stay_as_they_are() -> None:
    settings = Settings()
    with pytest.raises(AttributeError):
        settings.ttl = 1  # type: ignore[misc]
    assert settings.ttl == 3600
