"""What is in the two files that people install from."""

import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"sseprog", "sseprog_starlette", "sseprog_flask", "sseprog_django"}


def build(source: Path, target: str, into: Path) -> Path:
    """Build one distribution of the tree at ``source``, offline; return the file."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target]
    subprocess.run([*command, "--directory", str(into)], cwd=source, check=True)
    [built] = into.iterdir()
    return built


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sources_of(package: str) -> set[str]:
    """Name every file of a package in the source tree, as a wheel would name it."""
    files = (path for path in (ROOT / package).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def dist_info(wheel: Path) -> str:
    """The name of the wheel's folder of metadata."""
    name, version = wheel.name.split("-")[:2]
    return f"{name}-{version}.dist-info"


@pytest.fixture(scope="session")
def metadata(wheel: Path, dist_info: str) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return BytesParser().parsebytes(archive.read(f"{dist_info}/METADATA"))


def test_the_wheel_holds_the_packages_and_nothing_else_at_the_top(
    wheel: Path, dist_info: str
) -> None:
    assert {name.split("/")[0] for name in names_in(wheel)} == {*PACKAGES, dist_info}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_the_wheel_holds_every_file_of_a_package(wheel: Path, package: str) -> None:
    in_wheel = {name for name in names_in(wheel) if name.startswith(f"{package}/")}
    assert in_wheel == sources_of(package)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_tells_type_checkers_that_it_is_typed(wheel: Path, package: str) -> None:
    assert f"{package}/py.typed" in names_in(wheel)


def test_the_wheel_holds_the_browser_client(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert b"JobProgressTracker" in archive.read("sseprog/static/sseprog/sseprog.js")


def test_the_wheel_holds_the_licence(wheel: Path, dist_info: str, metadata: Message) -> None:
    assert metadata["License-Expression"] == "MIT"
    assert f"{dist_info}/licenses/LICENSE" in names_in(wheel)


def test_without_extras_two_packages_are_needed(metadata: Message) -> None:
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.split(">")[0] for line in needed) == ["msgspec", "pluggy"]


def test_the_wheel_installs_the_command(wheel: Path, dist_info: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert b"sseprog = sseprog.cli:main" in archive.read(f"{dist_info}/entry_points.txt")


def test_a_wheel_made_from_the_source_distribution_is_the_same(
    wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [tree] = (tmp_path / "unpacked").iterdir()
    again = build(tree, "wheel", tmp_path / "again")
    assert names_in(again) == names_in(wheel)


def test_the_source_distribution_holds_the_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    here = Path(__file__).resolve().relative_to(ROOT).as_posix()
    assert {here, "tox.ini", "README.md", "CHANGELOG.md", "LICENSE"} <= names
