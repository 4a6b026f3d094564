"""Which rungs a video gets, and how its thumbnails are laid out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sseprog.emitters._ffmpeg.ladder import DEFAULT, check_ladder, choose_rungs
from sseprog.emitters._ffmpeg.report import weigh
from sseprog.emitters._ffmpeg.thumbnails import plan_sprite


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), ["1920x1080", "1280x720", "854x480", "640x360"]),
        ((3840, 2160), ["1920x1080", "1280x720", "854x480", "640x360"]),
        ((1280, 720), ["1280x720", "854x480", "640x360"]),
        ((1080, 1920), ["1080x1920", "720x1280", "480x854", "360x640"]),
        ((1920, 800), ["1728x720", "1152x480", "864x360"]),
        ((640, 480), ["640x480", "480x360"]),
        ((500, 500), ["480x480", "360x360"]),
        ((641, 361), ["640x360"]),
        ((319, 179), ["318x178"]),
        ((1, 1), ["2x2"]),
    ],
)
def test_the_default_ladder_of_a_size(size: tuple[int, int], expected: list[str]) -> None:
    assert [f"{r.width}x{r.height}" for r in choose_rungs(DEFAULT, *size)] == expected


def test_a_rung_is_named_by_its_short_side() -> None:
    assert [rung.name for rung in choose_rungs((1080, 480), 1080, 1920)] == ["1080p", "480p"]
    assert [rung.name for rung in choose_rungs((1080, 480), 319, 179)] == ["178p"]


@given(st.integers(2, 9000), st.integers(2, 9000))
def test_rungs_are_even_never_larger_than_the_source_and_shaped_like_it(
    width: int, height: int
) -> None:
    rungs = choose_rungs(DEFAULT, width, height)

    assert rungs
    assert len({rung.name for rung in rungs}) == len(rungs)
    for rung in rungs:
        assert rung.width % 2 == rung.height % 2 == 0
        assert 0 < rung.width <= width
        assert 0 < rung.height <= height
        assert abs(rung.width - width * rung.height / height) <= 2 * max(1, width / height)
        assert rung.max_bit_rate > 0


def test_a_ladder_is_sorted_and_each_rung_is_made_once() -> None:
    assert check_ladder(iter([360, 720, 360])) == (720, 360)


@pytest.mark.parametrize(
    ("ladder", "error", "words"),
    [
        ((), ValueError, "empty"),
        ((720, 500), ValueError, "500; a rung is one of 2160"),
        ((-720,), ValueError, "-720"),
        ((720.0,), TypeError, "720.0"),
        ((True,), TypeError, "True"),
        (("720p",), TypeError, "'720p'"),
        ("720", TypeError, "'720'"),
        (720, TypeError, "not 720"),
    ],
)
def test_a_ladder_that_is_none_is_named(ladder: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        check_ladder(ladder)  # type: ignore[arg-type]


def test_stages_cost_what_their_pixels_cost() -> None:
    rungs = choose_rungs(DEFAULT, 1920, 1080)
    cost = weigh(rungs, 20, mp4=True)

    assert list(cost) == [
        "probing",
        *("transcoding 1080p", "transcoding 720p", "transcoding 480p", "transcoding 360p"),
        *("packaging", "thumbnails", "verifying"),
    ]
    # as measured: 11.1, 5.2, 2.5 and 1.7 s of 20 s clips
    measured = dict(zip(rungs, (11.1, 5.2, 2.5, 1.7), strict=True))
    for rung, seconds in measured.items():
        assert cost[f"transcoding {rung.name}"] == pytest.approx(seconds, rel=0.25)


@pytest.mark.parametrize(
    ("duration", "count", "interval"),
    [
        (0.04, 1, 2),
        (2, 1, 2),
        (2.04, 2, 2),
        (5, 3, 2),
        (200, 100, 2),
        (201, 51, 4),
        (7200, 100, 72),
    ],
)
def test_there_are_never_more_than_a_hundred_thumbnails(
    duration: float, count: int, interval: int
) -> None:
    sprite = plan_sprite(640, 360, duration, 2)

    assert (sprite.count, sprite.interval) == (count, interval)
    assert (sprite.width, sprite.height) == (160, 90)
    assert sprite.columns * (sprite.rows - 1) < count <= sprite.columns * sprite.rows


def test_cues_run_to_the_end_of_a_long_film() -> None:
    cues = plan_sprite(360, 640, 7205, 2).to_vtt("t.jpg").split("\n\n")

    assert cues[0] == "WEBVTT"
    assert cues[1] == "00:00:00.000 --> 00:01:14.000\nt.jpg#xywh=0,0,90,160"
    assert cues[-1] == "01:59:38.000 --> 02:00:05.000\nt.jpg#xywh=630,1440,90,160\n"
