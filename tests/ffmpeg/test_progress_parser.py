"""What five ffmpegs really wrote, and what none ever will, through the parser in any slices."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sseprog.emitters._ffmpeg.progress import ProgressParser, Reading

RECORDED = sorted(Path(__file__).parent.joinpath("progress").glob("*.txt"))

ODD = b"""frame=29
fps=28.70
stream_0_0_q=29.0
bitrate=   0.1kbits/s
total_size=48
out_time_us=3065034
out_time_ms=3065034
out_time=00:00:03.065034
dup_frames=0
drop_frames=0
speed=3.03x
progress=continue
out_time_us=N/A
out_time_ms=N/A
out_time=N/A
speed=N/A
progress=continue
out_time_us=-9223372036854775807
out_time=-577014:32:22.775807
speed=   0x
progress=continue
frame=28
total_size=N/A
out_time_us=2900000
out_time=123:00:03.065034
speed=2.86e+03x
progress=end
"""


def parse(data: bytes, *cuts: int) -> list[Reading]:
    parser, readings, last = ProgressParser(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        parser.feed(data[last:cut])
        readings.append(parser.reading)
        last = max(last, cut)
    return readings


def check_never_backwards(readings: list[Reading]) -> None:
    for before, after in itertools.pairwise(readings):
        assert (before.seconds or 0) <= (after.seconds or 0)
        assert (before.frame or 0) <= (after.frame or 0)
        assert (before.size or 0) <= (after.size or 0)


def test_the_odd_values_of_all_versions_leave_the_best_that_was_known() -> None:
    assert parse(ODD)[-1] == Reading(
        seconds=3.065034, frame=29, size=48, fps=28.7, speed=2860, ended=True
    )


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recording_gets_to_its_end_and_never_backwards(path: Path) -> None:
    data = path.read_bytes()
    readings = parse(data, *range(0, len(data), 7))

    check_never_backwards(readings)
    if "nothing" in path.stem:
        assert readings[-1].seconds is None
    else:
        assert readings[-1].seconds == pytest.approx(6, abs=0.1)
    assert readings[-1].frame == {"7.0-copy": None, "9.0-nothing-came": 0}.get(path.stem, 150)
    assert readings[-1].ended
    assert not readings[-2].ended


@given(path=st.sampled_from(RECORDED), cuts=st.lists(st.integers(0, 4000), max_size=20))
def test_slices_make_no_difference(path: Path, cuts: list[int]) -> None:
    data = path.read_bytes()

    assert parse(data, *(cut for cut in cuts if cut < len(data)))[-1] == parse(data)[-1]


LINES = st.builds(
    lambda key, value: key + b"=" + value + b"\n",
    st.sampled_from(
        [b"frame", b"fps", b"out_time_us", b"out_time_ms", b"total_size", b"speed", b"progress"]
    ),
    st.one_of(
        st.integers().map(lambda n: str(n).encode()),
        st.floats().map(lambda n: str(n).encode()),
        st.sampled_from([b"N/A", b"end", b"continue", b"1e400x", b"9" * 400, b"-0", b"1_000", b""]),
        st.binary(max_size=20),
    ),
)


@given(
    data=st.one_of(st.binary(), st.lists(LINES).map(b"".join)), cuts=st.lists(st.integers(0, 500))
)
def test_no_bytes_at_all_can_upset_it(data: bytes, cuts: list[int]) -> None:
    readings = parse(data, *cuts)

    check_never_backwards(readings)
    for reading in readings:
        for value in (reading.seconds, reading.frame, reading.size, reading.fps, reading.speed):
            assert value is None or 0 <= value < 1e19


def test_a_line_without_end_costs_no_memory_and_hides_nothing() -> None:
    parser = ProgressParser()
    for _ in range(1000):
        parser.feed(b"x" * 100_000)
    parser.feed(b"\nframe=7\n")

    assert parser.reading.frame == 7
