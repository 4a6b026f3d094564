"""What may be in a job's state, what is refused and how, and its JSON."""

import dataclasses
import json
import math
import re
import uuid
from collections import ChainMap, OrderedDict, UserDict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from sseprog import Progress
from sseprog.progress import MAX_DETAILS, MAX_TEXT, TERMINAL, check_job_id, clean_text

LONGEST_MESSAGE = 320
"""The most characters that an error may have, whatever the value was."""

LIMIT = 16 * 1024


class Number:
    """What numpy's and other packages' scalars have in common: they know how to be a float."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __float__(self) -> Any:
        if isinstance(self._value, Exception):
            raise self._value
        return self._value

    def __repr__(self) -> str:
        return "Number()"


class Colour(Enum):
    RED = "red"


@dataclasses.dataclass
class Rung:
    height: int
    made: datetime
    id: uuid.UUID
    colours: tuple[Colour, ...] = (Colour.RED,)


def refusal(kind: type[Exception], make: Callable[[], object]) -> str:
    """Return how something is refused: as the kind of error that it is to be, in a short text."""
    with pytest.raises((TypeError, ValueError)) as refused:
        make()
    assert refused.type is kind
    text = str(refused.value)
    assert len(text) <= LONGEST_MESSAGE
    return text


def nested(levels: int) -> dict[str, Any]:
    outer: dict[str, Any] = {}
    inner = outer
    for _ in range(levels):
        inner["a"] = {}
        inner = inner["a"]
    return outer


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {"list": []}
    value["list"].append(value)
    return value


def taking(size: int) -> dict[str, str]:
    """Return details that take ``size`` bytes as JSON."""
    return {"a": "x" * (size - len('{"a":""}'))}


# Numbers: progress and eta


NUMBERS = [
    (0, 0.0),
    (100, 100.0),
    (41.3, 41.3),
    (-0.0, 0.0),
    (5e-324, 5e-324),
    (Number(12.5), 12.5),
    (Decimal("12.5"), 12.5),
    (Fraction(1, 8), 0.125),
    (Fraction(10**400, 10**399), 10.0),
]


@pytest.mark.parametrize("name", ["progress", "eta"])
@pytest.mark.parametrize(("value", "expected"), NUMBERS, ids=repr)
def test_any_kind_of_number_becomes_a_float(name: str, value: Any, expected: float) -> None:
    found = getattr(Progress(**{name: value}), name)
    assert type(found) is float
    assert found == expected


@pytest.mark.parametrize("name", ["progress", "eta"])
def test_a_number_may_be_unknown(name: str) -> None:
    assert getattr(Progress(**{name: None}), name) is None
    assert getattr(Progress(), name) is None


def test_seconds_left_may_be_more_than_a_hundred() -> None:
    assert Progress(eta=1e9).eta == 1e9


NOT_NUMBERS = [
    (True, "bool: True"),
    (False, "bool: False"),
    ("12.5", "str: '12.5'"),
    ("", "str: ''"),
    (b"5", "bytes: b'5'"),
    (bytearray(b"5"), "bytearray: bytearray(b'5')"),
    (5j, "complex: 5j"),
    ([5], "list: [5]"),
    ({}, "dict: {}"),
    (object, "type: "),
    (timedelta(seconds=5), "timedelta: "),
]


@pytest.mark.parametrize("name", ["progress", "eta"])
@pytest.mark.parametrize(("value", "shown"), NOT_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(name: str, value: Any, shown: str) -> None:
    text = refusal(TypeError, lambda: Progress(**{name: value}))
    assert text.startswith(f"{name} is a number or None, not {shown}")


NUMBERS_THAT_CANNOT_BE = [
    (math.nan, "nan"),
    (math.inf, "inf"),
    (-math.inf, "-inf"),
    (-1, "-1"),
    (-5e-324, "-5e-324"),
    (Number(math.nan), "Number()"),
    (Decimal("NaN"), "Decimal('NaN')"),
    (Decimal("Infinity"), "Decimal('Infinity')"),
    (Decimal("1e400"), "Decimal('1E+400')"),
    (Fraction(-1, 3), "Fraction(-1, 3)"),
    (10**400, "10"),
    (-(10**400), "-10"),
    (Fraction(10**400), "Fraction(10"),
]


@pytest.mark.parametrize("name", ["progress", "eta"])
@pytest.mark.parametrize(
    ("value", "shown"), NUMBERS_THAT_CANNOT_BE, ids=lambda value: repr(value)[:24]
)
def test_a_number_that_cannot_be_is_refused_with_the_rule(
    name: str, value: Any, shown: str
) -> None:
    text = refusal(ValueError, lambda: Progress(**{name: value}))
    assert text.startswith(f"{name} {shown}")
    rule = {"progress": "a number from 0 to 100 (percent)", "eta": "a finite number of seconds"}
    assert f"is not {rule[name]}" in text


@pytest.mark.parametrize("value", [100.00000000000001, 101, Number(1e9), Fraction(1001, 10)])
def test_more_than_a_hundred_percent_is_refused(value: Any) -> None:
    assert "from 0 to 100" in refusal(ValueError, lambda: Progress(value))


@pytest.mark.parametrize("name", ["progress", "eta"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Decimal("sNaN"), id="a signalling NaN"),
        pytest.param(Number("5"), id="__float__ gives no float"),
        # numpy's arrays raise TypeError, torch's tensors RuntimeError
        pytest.param(Number(TypeError("only length-1 arrays")), id="__float__ raises TypeError"),
        pytest.param(Number(ValueError("two elements")), id="__float__ raises ValueError"),
        pytest.param(Number(RuntimeError("two elements")), id="__float__ raises RuntimeError"),
    ],
)
def test_what_fails_to_become_a_float_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        Progress(**{name: value})
    assert str(refused.value).startswith(name)
    assert len(str(refused.value)) <= LONGEST_MESSAGE


# Texts: stage and message


@pytest.mark.parametrize("name", ["stage", "message"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "transcoding 720p",
        "two\nlines\tand a tab\n",
        "ünïcödé, 進捗, תהליך",
        "🎬 👩\u200d👩\u200d👧 🇨🇭",
        "\u2028 \u2029 \u200e \ufeff \ufffd \ufffe \U0010ffff",
        "\x20\x7e\xa0",
        'event: complete\ndata: {"status":"completed"}\n\n',
        "x" * LIMIT,
        "\U0001f3ac" * LIMIT,
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_any_text_for_people_passes_as_it_is(name: str, text: str) -> None:
    assert getattr(Progress(**{name: text}), name) == text


REFUSED_CHARACTERS = [
    *map(chr, range(0x09)),
    *map(chr, range(0x0B, 0x20)),
    *map(chr, range(0x7F, 0xA0)),
    "\ud800",
    "\udbff",
    "\udc00",
    "\udfff",
]


@pytest.mark.parametrize("name", ["stage", "message"])
@pytest.mark.parametrize("character", REFUSED_CHARACTERS, ids=ascii)
def test_a_control_character_or_half_a_surrogate_pair_is_refused_by_its_place(
    name: str, character: str
) -> None:
    text = refusal(ValueError, lambda: Progress(**{name: f"abc{character}d"}))
    assert text.startswith(f"{name} 'abc")
    assert f"has U+{ord(character):04X} at index 3" in text
    assert "no control characters but newline and tab, and no lone surrogates" in text
    text.encode()


@settings(deadline=None)
@given(st.characters(exclude_categories=["Cs"]))
def test_the_table_of_refused_characters_is_complete(character: str) -> None:
    if character not in REFUSED_CHARACTERS:
        assert Progress(message=character).message == character


@pytest.mark.parametrize("name", ["stage", "message"])
@pytest.mark.parametrize("value", [None, 5, b"text", ["text"], Colour.RED], ids=repr)
def test_what_is_no_text_is_refused(name: str, value: Any) -> None:
    text = refusal(TypeError, lambda: Progress(**{name: value}))
    assert text.startswith(f"{name} is a str, not {type(value).__name__}: ")


@pytest.mark.parametrize("name", ["stage", "message"])
@pytest.mark.parametrize("character", ["x", "\U0001f3ac", "\n"], ids=ascii)
def test_a_text_of_one_character_too_many_is_refused(name: str, character: str) -> None:
    text = refusal(ValueError, lambda: Progress(**{name: character * (LIMIT + 1)}))
    assert text == f"{name} has {LIMIT + 1} characters; at most {LIMIT} are allowed"


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_a_text_that_was_cleaned_passes(text: str) -> None:
    cleaned = clean_text(text)
    assert Progress(message=cleaned).message == cleaned
    assert len(cleaned) == len(text)


def test_cleaning_changes_only_what_is_refused() -> None:
    assert clean_text("a\x00b\tc\nd\ud800e\u2028") == "a\ufffdb\tc\nd\ufffde\u2028"
    assert clean_text("x" * (LIMIT + 1)) == "x" * LIMIT


# Details


DETAILS = [
    ({}, {}),
    ({"fps": 96.1, "files": ["a", None, True]}, {"fps": 96.1, "files": ["a", None, True]}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (MappingProxyType({}), {}),
    (UserDict(a=1), {"a": 1}),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (ChainMap({"a": 1}, {"a": 2, "b": 3}), {"a": 1, "b": 3}),
    ({"day": date(2026, 11, 22)}, {"day": "2026-11-22"}),
    ({"at": [{"t": time(9, 12)}]}, {"at": [{"t": "09:12:00"}]}),
    ({"at": datetime(2026, 11, 22, 9, 12, tzinfo=UTC)}, {"at": "2026-11-22T09:12:00Z"}),
    ({"id": uuid.UUID(int=7)}, {"id": "00000000-0000-0000-0000-000000000007"}),
    (
        {"rung": Rung(720, datetime(2026, 11, 22), uuid.UUID(int=7))},
        {
            "rung": {
                "height": 720,
                "made": "2026-11-22T00:00:00",
                "id": "00000000-0000-0000-0000-000000000007",
                "colours": ["red"],
            }
        },
    ),
    ({"state": Progress(5).details}, {"state": {}}),
    ({"tuple": (1, 2), "set": {3}}, {"tuple": [1, 2], "set": [3]}),
    ({"price": Decimal("1.50")}, {"price": "1.50"}),
    ({"bytes": b"\x00\xff"}, {"bytes": "AP8="}),
    ({"nan": math.nan, "inf": [math.inf, -math.inf]}, {"nan": None, "inf": [None, None]}),
    ({"large": 2**70, "small": -(2**70)}, {"large": 2**70, "small": -(2**70)}),
    ({1: "a", 2.5: "b", Colour.RED: "c"}, {"1": "a", "2.5": "b", "red": "c"}),
    ({"text": "\x00\r\n\u2028\U0001f3ac"}, {"text": "\x00\r\n\u2028\U0001f3ac"}),
    ({"": {"": ""}}, {"": {"": ""}}),
]


@pytest.mark.parametrize(("value", "expected"), DETAILS, ids=lambda value: repr(value)[:24])
def test_details_become_a_plain_json_object(value: Any, expected: dict[str, Any]) -> None:
    progress = Progress(details=value)
    assert type(progress.details) is dict
    assert progress.details == expected
    line = progress.to_json()
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line)["details"] == expected


@pytest.mark.parametrize(
    "value",
    [[1], [("a", 1)], (), [], "", "abc", b"abc", 0, 5, False, True, {1}, set(), object()],
    ids=lambda value: repr(value)[:16],
)
def test_details_that_are_no_mapping_are_refused(value: Any) -> None:
    text = refusal(TypeError, lambda: Progress(details=value))
    assert text.startswith(f"details is a mapping (a JSON object), not {type(value).__name__}: ")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: {"a": object()}, id="an object"),
        pytest.param(lambda: {"a": [{"b": len}]}, id="a nested function"),
        pytest.param(lambda: {"a": 5j}, id="a complex number"),
        pytest.param(lambda: {"a": "\ud800"}, id="a lone surrogate"),
        pytest.param(lambda: {"\ud800": 1}, id="a lone surrogate as a key"),
        pytest.param(lambda: {None: 1}, id="None as a key"),
        pytest.param(lambda: {True: 1}, id="a bool as a key"),
        pytest.param(lambda: {(1, 2): 1}, id="a tuple as a key"),
        pytest.param(lambda: {"a": {object(): 1}}, id="an object as a nested key"),
    ],
)
def test_details_that_are_no_json_are_refused(make: Callable[[], Any]) -> None:
    value = make()
    text = refusal(TypeError, lambda: Progress(details=value))
    assert text.startswith("details ")
    assert "can't be written as JSON" in text


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(circular, id="a circle"),
        pytest.param(lambda: MappingProxyType(circular()), id="a mapping that holds a circle"),
        pytest.param(lambda: nested(102), id="102 levels of objects"),
        pytest.param(lambda: nested(2000), id="2000 levels of objects"),
        pytest.param(lambda: {"a": json.loads("[" * 101 + "1" + "]" * 101)}, id="102 levels"),
        pytest.param(lambda: {"a": json.loads("[" * 900 + "]" * 900), "b": nested(2000)}, id="mix"),
    ],
)
def test_details_that_are_too_deep_are_refused(make: Callable[[], Any]) -> None:
    value = make()
    text = refusal(ValueError, lambda: Progress(details=value))
    assert text.startswith("details ")
    assert text.endswith("have more than 100 levels")


def at_depth(frames: int, call: Callable[[], Any]) -> Any:
    return call() if frames == 0 else at_depth(frames - 1, call)


def test_details_however_deep_are_refused_or_can_be_written_wherever_the_code_is() -> None:
    """Python counts the levels of JSON and the frames of the code together."""
    for levels in (10, 100, 500, *range(800, 1100), 1500, 2000, 4000):
        try:
            progress = Progress(details=nested(levels))
        except (TypeError, ValueError):
            continue
        line = at_depth(50, progress.to_json)
        back = at_depth(50, lambda line=line: Progress.from_json(line))
        assert back.to_json() == line


def test_details_may_be_nested_as_deep_as_anybody_needs() -> None:
    assert Progress(details=nested(30)).details == nested(30)


@pytest.mark.parametrize("character", ["x", "é", "\U0001f3ac", "\n", "\x00", '"'], ids=ascii)
def test_details_are_measured_in_bytes_of_json(character: str) -> None:
    each = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    spare, count = LIMIT - len('{"a":""}'), (LIMIT - len('{"a":""}')) // each
    text = character * count + "x" * (spare % each)
    progress = Progress(details={"a": text})
    assert Progress.from_json(progress.to_json()).details == {"a": text}
    error = refusal(ValueError, lambda: Progress(details={"a": text + "x"}))
    assert error == f"details take {LIMIT + 1} bytes as JSON; at most {LIMIT} are allowed"


def test_the_limits_are_those_of_the_protocol() -> None:
    assert (MAX_DETAILS, MAX_TEXT) == (LIMIT, LIMIT)
    assert len(Progress(details=taking(LIMIT)).details["a"]) == LIMIT - 8
    refusal(ValueError, lambda: Progress(details=taking(LIMIT + 1)))


def test_what_the_caller_changes_later_changes_no_state() -> None:
    inner = [1]
    details = {"a": inner, "b": {"c": 1}}
    progress = Progress(details=details)
    line = progress.to_json()
    inner.append(2)
    details["b"] = {"c": object()}
    details["d"] = {}
    assert progress.details == {"a": [1], "b": {"c": 1}}
    assert progress.to_json() == line


def test_no_two_states_share_their_details() -> None:
    empty: dict[str, Any] = {}
    states = [Progress(), Progress(), Progress(details=empty), Progress(details=empty)]
    states[0].details["a"] = 1
    empty["b"] = 1
    assert [state.details for state in states] == [{"a": 1}, {}, {}, {}]


# Errors, whatever the field


TREE: Any = "x" * 40
for _ in range(4):
    TREE = [TREE] * 4  # short in every direction, and 10 kB in all


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("not now")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("progress", "x" * 10_000, id="progress: str"),
        pytest.param("progress", [1] * 10_000, id="progress: list"),
        pytest.param("progress", TREE, id="progress: tree"),
        pytest.param("progress", 10**4000, id="progress: int"),
        pytest.param("progress", 10**5000, id="progress: int that Python doesn't write"),
        pytest.param("progress", Fraction(10**4000, 3), id="progress: fraction"),
        pytest.param("progress", Unprintable(), id="progress: unprintable"),
        pytest.param("eta", b"x" * 10_000, id="eta: bytes"),
        pytest.param("eta", 10**5000, id="eta: int that Python doesn't write"),
        pytest.param("eta", Fraction(-(10**4000), 3), id="eta: fraction"),
        pytest.param("stage", ["x" * 10_000], id="stage: list"),
        pytest.param("stage", TREE, id="stage: tree"),
        pytest.param("stage", "x" * 10_000 + "\x00", id="stage: control character"),
        pytest.param("stage", Unprintable(), id="stage: unprintable"),
        pytest.param("message", b"x" * 10_000, id="message: bytes"),
        pytest.param("message", "x" * 1_000_000, id="message: too long"),
        pytest.param("details", ["x" * 10_000], id="details: list"),
        pytest.param("details", {"a": object(), "b": "x" * 10_000}, id="details: object"),
        pytest.param("details", {"a": object(), "b": TREE}, id="details: object and tree"),
        pytest.param("details", {"a": Unprintable()}, id="details: unprintable"),
        pytest.param("details", {"x" * 10_000: object()}, id="details: key"),
        pytest.param("details", {"a": "x" * 1_000_000}, id="details: too long"),
        pytest.param("details", {"a": "x" * 10_000 + "\ud800"}, id="details: surrogate"),
        pytest.param("details", {"a": 10**5000}, id="details: int that Python doesn't write"),
        pytest.param("status", "x" * 10_000, id="status: str"),
        pytest.param("status", ["x" * 10_000], id="status: list"),
    ],
)
def test_a_refusal_is_short_and_names_the_field_however_long_the_value(
    name: str, value: Any
) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        Progress(**{name: value})
    assert str(refused.value).startswith(name)
    assert len(str(refused.value)) <= LONGEST_MESSAGE


# Status, and the whole


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        ("pending", False),
        ("running", False),
        ("stalled", False),
        ("completed", True),
        ("failed", True),
        ("cancelled", True),
        ("lost", True),
    ],
)
def test_a_status_is_one_of_seven_and_four_of_them_are_ends(status: Any, ended: bool) -> None:
    progress = Progress(status=status)
    assert progress.ended is ended
    assert (status in TERMINAL) is ended


@pytest.mark.parametrize(
    "status", ["", "Running", "running ", "done", "complete", "error", None, 5]
)
def test_another_status_is_refused_with_those_there_are(status: Any) -> None:
    text = refusal(ValueError, lambda: Progress(status=status))
    assert f"status {status!r} is not one of pending, running, stalled, completed" in text


@pytest.mark.parametrize("status", [[], {}, set()])
def test_a_status_that_cannot_be_looked_up_is_refused_by_name(status: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="status"):
        Progress(status=status)


def test_only_the_progress_may_be_given_without_its_name() -> None:
    assert Progress(5) == Progress(progress=5)
    with pytest.raises(TypeError):
        Progress(5, "stage")  # type: ignore[misc]


@pytest.mark.parametrize(
    "name",
    [
        "progress",
        "stage",
        "message",
        "details",
        "eta",
        "status",
        "job_id",
        "started_at",
        "updated_at",
    ],
)
def test_a_state_is_frozen(name: str) -> None:
    progress = Progress(5, stage="a")
    before = progress.to_json()
    with pytest.raises(AttributeError):
        setattr(progress, name, getattr(progress, name))
    with pytest.raises(AttributeError):
        delattr(progress, name)
    assert progress.to_json() == before


def test_a_state_takes_no_other_field() -> None:
    with pytest.raises(TypeError):
        Progress(colour="red")  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Progress().colour = "red"  # type: ignore[attr-defined]


# JSON


def test_the_wire_is_that_of_the_protocol() -> None:
    progress = Progress(
        41.3,
        stage="transcoding 720p",
        message="frame 812 of 1966",
        details={"fps": 96.1, "speed": 3.2},
        eta=21.4,
        status="running",
        job_id="j",
        started_at=datetime(2026, 11, 22, 9, 12, 36, 120_000, tzinfo=UTC),
        updated_at=datetime(2026, 11, 22, 9, 13, 2, 481_000, tzinfo=UTC),
    )
    assert progress.to_json() == (
        b'{"job_id":"j","status":"running","stage":"transcoding 720p","progress":41.3,'
        b'"message":"frame 812 of 1966","details":{"fps":96.1,"speed":3.2},"eta":21.4,'
        b'"started_at":"2026-11-22T09:12:36.120Z","updated_at":"2026-11-22T09:13:02.481Z"}'
    )


def test_every_field_is_on_the_wire_even_if_it_is_empty() -> None:
    assert Progress().to_json() == (
        b'{"job_id":"","status":"running","stage":"","progress":null,"message":"",'
        b'"details":{},"eta":null,"started_at":null,"updated_at":null}'
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (-0.0, "0"), (100.0, "100"), (12.5, "12.5"), (0.1, "0.1"), (1e-7, "1e-7")],
)
def test_a_number_is_written_as_short_as_it_can_be(number: float, text: str) -> None:
    line = Progress(number, eta=number).to_json().decode()
    assert f'"progress":{text},' in line
    assert f'"eta":{text},' in line


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 22, 9, 12, 36, tzinfo=UTC), "2026-11-22T09:12:36.000Z"),
        (datetime(2026, 11, 22, 9, 12, 36, 999_999, tzinfo=UTC), "2026-11-22T09:12:36.999Z"),
        (
            datetime(2026, 11, 22, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
            "2026-11-21T18:45:00.000Z",
        ),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_moment_is_written_in_utc_with_milliseconds(moment: datetime, text: str) -> None:
    state = json.loads(Progress(started_at=moment, updated_at=moment).to_json())
    assert (state["started_at"], state["updated_at"]) == (text, text)


texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\n"), max_size=50
)
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.none() | st.datetimes(
    datetime(1, 1, 2), datetime(9999, 12, 30), timezones=offsets
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)
states = st.builds(
    Progress,
    progress=st.none() | st.floats(0, 100) | st.integers(0, 100),
    stage=texts,
    message=texts,
    details=st.dictionaries(st.text(max_size=10), json_values, max_size=4),
    eta=st.none() | st.floats(0, allow_infinity=False),
    status=st.sampled_from(
        ["pending", "running", "stalled", "completed", "failed", "cancelled", "lost"]
    ),
    job_id=st.from_regex(r"[A-Za-z0-9._~:-]{1,128}", fullmatch=True),
    started_at=moments,
    updated_at=moments,
)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


@settings(deadline=None)
@given(states)
@example(Progress(details=taking(LIMIT), message="\U0001f3ac" * LIMIT, stage="\n" * LIMIT))
@example(Progress(100, eta=1e308))
@example(Progress(eta=2.0**63))
def test_a_state_comes_back_from_its_json_as_it_was(progress: Progress) -> None:
    line = progress.to_json()
    assert Progress.from_json(line) == progress
    assert Progress.from_json(line).to_json() == line


@settings(deadline=None)
@given(states)
def test_the_json_is_one_line_with_the_fields_in_their_order(progress: Progress) -> None:
    line = progress.to_json()
    assert not {b"\r", b"\n", b"\0"} & {line[n : n + 1] for n in range(len(line))}
    state = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert list(state) == [
        "job_id",
        "status",
        "stage",
        "progress",
        "message",
        "details",
        "eta",
        "started_at",
        "updated_at",
    ]
    assert state["message"] == progress.message
    assert state["details"] == progress.details
    for name in ("started_at", "updated_at"):
        assert state[name] is None or RFC_3339.fullmatch(state[name])


def test_fields_that_are_not_known_are_ignored() -> None:
    assert Progress.from_json(b'{"progress":5,"resumed":true,"colour":{"a":[1]}}') == Progress(5)


def test_details_that_come_back_are_not_shared() -> None:
    line = Progress(details={"a": [1]}).to_json()
    Progress.from_json(line).details["a"].append(2)
    assert Progress.from_json(line).details == {"a": [1]}


# Job ids


@pytest.mark.parametrize(
    "job_id",
    [
        "a",
        "0",
        "import-42",
        "AZaz09._~:-",
        "urn:uuid:0-1",
        "x" * 128,
        "Stream",
        "stream2",
        "streams",
        "-",
        "~",
        "none",
    ],
)
def test_a_job_id_that_may_be_one_is_given_back(job_id: str) -> None:
    assert check_job_id(job_id) is job_id


@pytest.mark.parametrize(
    "job_id",
    [
        "",
        "x" * 129,
        "../x",
        "a/b",
        "a\\b",
        "a b",
        " a",
        "a ",
        "a\n",
        "\na",
        "a\nb",
        "a\r",
        "a\x00",
        "a\u2028",
        "a?b",
        "a#b",
        "a%2fb",
        "a+b",
        "a=b",
        "a,b",
        "{a}",
        "é",
        "\u0663",  # ARABIC-INDIC DIGIT THREE
        "\uff11",  # FULLWIDTH DIGIT ONE
        "\u00b2",  # SUPERSCRIPT TWO
        "\uff41",  # FULLWIDTH LATIN SMALL LETTER A
        "\u212a",  # KELVIN SIGN, whose lower case is k
        "\u017f",  # LATIN SMALL LETTER LONG S, whose upper case is S
        "\ud800",
        "\U0001f3ac",
        "x" * 10_000,
    ],
    ids=lambda job_id: ascii(job_id)[:16],
)
def test_another_text_is_refused_as_a_job_id_with_the_rule(job_id: str) -> None:
    text = refusal(ValueError, lambda: check_job_id(job_id))
    assert text.startswith("job id '")
    assert text.endswith("is not 1 to 128 characters of A-Z a-z 0-9 . _ ~ : -")
    text.encode()


@pytest.mark.parametrize("job_id", ["stream", ".", ".."])
def test_a_job_id_that_means_something_in_a_url_is_refused(job_id: str) -> None:
    text = refusal(ValueError, lambda: check_job_id(job_id))
    assert text == f"job id {job_id!r} is reserved: it means something in a URL"


@pytest.mark.parametrize(
    "job_id",
    [None, 5, True, b"a", ["a"], Colour.RED, ["x" * 10_000], uuid.UUID(int=7)],
    ids=lambda job_id: repr(job_id)[:16],
)
def test_what_is_no_text_is_refused_as_a_job_id(job_id: Any) -> None:
    text = refusal(TypeError, lambda: check_job_id(job_id))
    assert text.startswith(f"a job id is a str, not {type(job_id).__name__}: ")
