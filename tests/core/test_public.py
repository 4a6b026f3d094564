"""What ``import sseprog`` gives, what it costs, and what it says if an extra is missing."""

import importlib
import importlib.util
import inspect
import json
import os
import pkgutil
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import sseprog

OPTIONAL = (
    "starlette",
    "fastapi",
    "flask",
    "django",
    "uvicorn",
    "httpx",
    "rich",
    "ffmpeg",
    "imageio_ffmpeg",
    "redis",
    "valkey",
    "psycopg",
    "sqlite3",
    "celery",
    "pytest",
)
OURS_BUT_LATER = (
    "sseprog.emitters",
    "sseprog.brokers",
    "sseprog.demo",
    "sseprog.cli",
    "sseprog.testing",
    "sseprog_starlette",
    "sseprog_flask",
    "sseprog_django",
)
PRIVATE_OR_EXTRA = {"demo", "static", "celery", "dramatiq", "postgresql", "redis", "rq"}


def run_python(
    *arguments: str, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run Python, and keep it (``-P``) from importing the folders of tests/, such as ``ffmpeg``."""
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def printed(program: str) -> Any:
    """Run a program in an interpreter of its own; return the JSON that it prints."""
    ran = run_python("-W", "error", "-c", program)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


# Names


def test_all_is_what_a_star_import_gives_and_what_is_there() -> None:
    given: dict[str, object] = {}
    exec("from sseprog import *", given)  # noqa: S102 - it may not be written inside a function
    del given["__builtins__"]
    there = {
        name
        for name, value in vars(sseprog).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(given) == set(sseprog.__all__) == there


def test_all_is_sorted_and_names_nothing_twice() -> None:
    assert sseprog.__all__ == sorted(set(sseprog.__all__))


def test_the_public_names_are_those_of_the_design() -> None:
    assert sseprog.__all__ == [
        "BrokerUnavailable",
        "Hub",
        "Job",
        "JobCancelled",
        "JobEnded",
        "JobFailed",
        "JobNotFound",
        "MissingExtra",
        "PluginError",
        "Progress",
        "SSEProgError",
        "TooManyJobs",
        "hookimpl",
    ]


def public_modules() -> list[str]:
    """Name the modules whose names say that others may use them, and that need no extra."""
    names = ["sseprog"]
    for module in pkgutil.walk_packages(sseprog.__path__, "sseprog."):
        parts = module.name.split(".")[1:]
        if not any(part.startswith("_") or part in PRIVATE_OR_EXTRA for part in parts):
            names.append(module.name)
    return names


def members_of(owner: type, path: str) -> Iterator[tuple[str, object]]:
    """Give a class's own public functions, properties and classes, and those in them."""
    for name, value in vars(owner).items():
        if name.startswith("_"):
            continue
        member = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if inspect.isclass(member):
            yield f"{path}.{name}", member
            yield from members_of(member, f"{path}.{name}")
        elif inspect.isfunction(member) or isinstance(member, property):
            yield f"{path}.{name}", getattr(owner, name)


def public_things() -> list[tuple[str, object]]:
    things: list[tuple[str, object]] = []
    for module_name in public_modules():
        module = importlib.import_module(module_name)
        things.append((module_name, module))
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value):
                things.append((f"{module_name}.{name}", value))
                things.extend(members_of(value, f"{module_name}.{name}"))
            elif inspect.isfunction(value):
                things.append((f"{module_name}.{name}", value))
    return things


def has_docstring(thing: object, path: str) -> bool:
    if inspect.isclass(thing):
        return bool(thing.__doc__)  # not that of a base
    if path.startswith(("sseprog.testing.", "sseprog.brokers.")):
        return True  # a test is named by a sentence; a broker's methods are specified by Broker
    return bool(inspect.getdoc(thing))


@pytest.mark.parametrize(
    ("path", "thing"), [pytest.param(path, thing, id=path) for path, thing in public_things()]
)
def test_all_that_is_public_says_what_it_is(path: str, thing: object) -> None:
    assert has_docstring(thing, path), f"{path} has no docstring"


def test_the_names_in_every_all_are_there() -> None:
    for name in public_modules():
        module = importlib.import_module(name)
        missing = [each for each in getattr(module, "__all__", ()) if not hasattr(module, each)]
        assert not missing, name


def test_an_error_may_be_caught_as_ours_or_as_what_it_is() -> None:
    ours = [value for name in sseprog.__all__ if is_error(value := getattr(sseprog, name))]
    assert all(issubclass(error, sseprog.SSEProgError) for error in ours)
    assert issubclass(sseprog.JobNotFound, LookupError)
    assert issubclass(sseprog.MissingExtra, ImportError)


def is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


# What an import brings with it


def imported_by(program: str) -> set[str]:
    return set(printed(f"{program}\nimport sys, json; print(json.dumps(list(sys.modules)))"))


def under(names: Sequence[str], modules: set[str]) -> list[str]:
    return sorted(
        module
        for module in modules
        for name in names
        if module == name or module.startswith(f"{name}.")
    )


@pytest.mark.parametrize(
    "program",
    [
        "import sseprog",
        "from sseprog import *",
        "from sseprog import Hub, Progress, JobFailed, hookimpl",
    ],
)
def test_an_import_brings_no_framework_no_client_and_no_plugin(program: str) -> None:
    modules = imported_by(program)
    assert under(OPTIONAL, modules) == []
    assert under(OURS_BUT_LATER, modules) == []


def test_a_hub_brings_the_broker_that_it_uses_and_no_emitter() -> None:
    modules = imported_by("import sseprog; sseprog.Hub('memory://')")
    assert under(OPTIONAL, modules) == []
    assert under(OURS_BUT_LATER, modules) == ["sseprog.brokers", "sseprog.brokers.memory"]


def test_the_emitters_bring_what_they_need_only_when_they_run() -> None:
    modules = imported_by("import sseprog; sseprog.Hub().plugins.emitter('ffmpeg')")
    assert under(OPTIONAL, modules) == []
    assert "sseprog.emitters.ffmpeg" in modules


def test_an_import_starts_no_thread_and_takes_no_signal() -> None:
    before, after, threads = printed(
        """
import json, signal, threading
signals = (signal.SIGTERM, signal.SIGINT)
before = [str(signal.getsignal(number)) for number in signals]
import sseprog
sseprog.Hub()
after = [str(signal.getsignal(number)) for number in signals]
print(json.dumps([before, after, threading.active_count()]))
"""
    )
    assert after == before
    assert threads == 1


# An environment without any extra: what a bare "pip install sseprog" gives


NEEDED = ("sseprog", "sseprog_starlette", "msgspec", "pluggy")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of packages with those that sseprog always has, and no other."""
    folder = tmp_path_factory.mktemp("bare")
    for name in NEEDED:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        (folder / name).symlink_to(Path(spec.origin).parent, target_is_directory=True)
    return folder


def run_bare(bare: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run Python where only the standard library and ``bare`` can be imported."""
    return run_python("-S", *arguments, environment={"PYTHONPATH": str(bare), **variables})


CATCH = """
import sseprog
try:
    {}
except sseprog.MissingExtra as error:
    print(error)
"""


def missing_extra(bare: Path, statement: str, **variables: str) -> str:
    """Return the text of the `MissingExtra` that a statement raises."""
    ran = run_bare(bare, "-W", "error", "-c", CATCH.format(statement), **variables)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


def test_nothing_but_the_two_dependencies_is_needed(bare: Path) -> None:
    program = """
import sys
from sseprog import Hub, Progress
def count():
    yield Progress(50)
hub = Hub()
job_id = hub.start(count)
assert b"event: complete" in b"".join(hub.stream(job_id))
hub.close()
print(hub.snapshot(job_id).status)
"""
    ran = run_bare(bare, "-W", "error", "-c", program)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "completed\n", "")


def test_the_adapter_for_starlette_names_its_extra(bare: Path) -> None:
    assert missing_extra(bare, "import sseprog_starlette") == (
        'sseprog_starlette needs Starlette: pip install "sseprog[starlette]"'
    )


START = "sseprog.Hub().start('ffmpeg', source='in.mp4', target='out')"


def test_the_ffmpeg_emitter_names_its_extra(bare: Path) -> None:
    text = missing_extra(bare, START, SSEPROG_FFMPEG=sys.executable)
    assert text == 'The ffmpeg emitter needs ffmpeg-python: pip install "sseprog[ffmpeg]"'


def test_the_ffmpeg_emitter_says_where_an_ffmpeg_may_come_from(bare: Path) -> None:
    text = missing_extra(bare, START, PATH=str(bare))
    assert text.startswith("No ffmpeg was found")
    assert 'pip install "sseprog[ffmpeg]"' in text
    assert "SSEPROG_FFMPEG" in text


def test_no_job_is_left_behind_by_an_emitter_that_lacks_its_extra(bare: Path) -> None:
    program = """
import sseprog
hub = sseprog.Hub()
try:
    hub.start("ffmpeg", job_id="j", source="in.mp4", target="out")
except sseprog.MissingExtra:
    print(hub.create("j"))
"""
    assert run_bare(bare, "-c", program, PATH=str(bare)).stdout == "j\n"


@pytest.mark.parametrize("module", ["starlette", "starlette.requests"])
def test_an_adapter_whose_framework_cannot_be_imported_says_so(bare: Path, module: str) -> None:
    statement = f"import sys; sys.modules[{module!r}] = None; import sseprog_starlette"
    assert 'pip install "sseprog[starlette]"' in missing_extra(bare, statement)


def test_the_demo_names_its_extra_and_exits_with_2(bare: Path) -> None:
    ran = run_bare(bare, "-m", "sseprog.cli", "demo", "--no-browser")
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr == 'sseprog: The demo needs its extra: pip install "sseprog[demo]"\n'


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--version"], 0, f"sseprog {sseprog.__version__}"),
        (["--help"], 0, "demo"),
        (["demo", "--help"], 0, "VIDEO"),
        ([], 2, "COMMAND"),
        (["nope"], 2, "nope"),
        (["demo", "--port", "70000"], 2, "'70000' is not a port"),
        (["demo", "--port", "x"], 2, "--port"),
        (["demo", "--workers", "0"], 2, "'0' is not a whole number from 1 on"),
    ],
    ids=str,
)
def test_the_command_answers_what_it_can_without_its_extra(
    bare: Path, arguments: list[str], code: int, words: str
) -> None:
    ran = run_bare(bare, "-m", "sseprog.cli", *arguments)
    assert ran.returncode == code
    assert words in (ran.stderr if code else ran.stdout)
    assert "Traceback" not in ran.stderr


# What is not known


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("nope://localhost", ValueError, "unknown broker scheme 'nope'; known are memory"),
        ("", ValueError, "broker '' is not a URL such as 'redis://localhost'"),
        ("memory", ValueError, "broker 'memory' is not a URL such as 'redis://localhost'"),
        ("://", ValueError, "unknown broker scheme ''"),
        ("memory://localhost", ValueError, "takes nothing after memory://"),
        (5, TypeError, "broker is a URL such as 'memory://', or a Broker, not 5"),
        (b"memory://", TypeError, "not b'memory://'"),
    ],
)
def test_a_broker_that_cannot_be_is_refused_where_the_hub_is_made(
    url: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as refused:
        sseprog.Hub(url)
    assert words in str(refused.value)


def test_a_broker_that_the_environment_names_is_taken_or_refused_likewise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSEPROG_BROKER", "nope://")
    with pytest.raises(ValueError, match="unknown broker scheme 'nope'"):
        sseprog.Hub()
    sseprog.Hub("memory://").close()
    monkeypatch.setenv("SSEPROG_BROKER", "")
    sseprog.Hub().close()


def test_an_unknown_emitter_is_refused_with_the_built_in_one() -> None:
    hub = sseprog.Hub()
    for call in (hub.start, hub.run):
        with pytest.raises(ValueError, match=r"unknown emitter 'nope'; known are ffmpeg$"):
            call("nope")
    hub.close()
