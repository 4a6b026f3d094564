"""The npm package: what is in it, and what its users' compilers make of it."""

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import sseprog

from .conftest import BIN, HERE, REACTS, client, run

MANIFEST = json.loads((client() / "package.json").read_text())
MODULES = {name: ways for name, ways in MANIFEST["exports"].items() if isinstance(ways, dict)}


def test_its_version_is_that_of_the_python_package() -> None:
    assert MANIFEST["version"] == sseprog.__version__


def test_its_licence_is_that_of_the_python_package() -> None:
    assert (client() / "LICENSE").read_text() == (HERE.parents[1] / "LICENSE").read_text()


def test_each_module_is_exported_with_its_types() -> None:
    assert {ways["default"] for ways in MODULES.values()} == {
        f"./{path.name}" for path in client().glob("*.js")
    }
    for ways in MODULES.values():
        assert list(ways) == ["types", "default"]  # in this order
        assert ways["types"] == ways["default"].replace(".js", ".d.ts")
        assert (client() / ways["types"]).is_file()


def test_all_of_it_is_packed_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        packed = {name.removeprefix("package/") for name in archive.getnames()}
    assert packed == {path.name for path in client().iterdir()}


def test_it_needs_nothing() -> None:
    assert "dependencies" not in MANIFEST
    assert "scripts" not in MANIFEST
    assert MANIFEST["peerDependencies"] == {"react": ">=18"}
    assert MANIFEST["peerDependenciesMeta"] == {"react": {"optional": True}}
    imported = set()
    for path in client().glob("*.js"):
        imported |= set(re.findall(r"(?:from|import\() ?[\"']([^\"']+)", path.read_text()))
    assert {name for name in imported if not name.startswith("./")} == {"react"}


def test_publint_finds_nothing(tarball: Path) -> None:
    assert "All good!" in run(BIN / "publint", "--strict", tarball, cwd=tarball.parent)


def test_its_types_are_found_however_it_is_imported(tarball: Path) -> None:
    said = run(BIN / "attw", "--profile", "esm-only", "--format", "json", tarball, cwd=HERE)
    found = json.loads(said)["analysis"]
    assert set(found["entrypoints"]) == set(MANIFEST["exports"])
    # Old resolutions and require() are not for modules.
    for problems in found["problems"], *found.get("entrypointProblems", ()):
        assert {problem["resolutionKind"] for problem in problems} <= {"node10", "node16-cjs"}


STRICT = {
    "compilerOptions": {
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "noUncheckedIndexedAccess": True,
        "noImplicitOverride": True,
        "noImplicitReturns": True,
        "verbatimModuleSyntax": True,
        "isolatedModules": True,
        "skipLibCheck": False,
        "noEmit": True,
        "target": "es2023",
        "lib": ["es2023", "dom", "dom.iterable"],
        "jsx": "react-jsx",
        "types": [],
    },
    "files": ["uses.tsx"],
}


@pytest.mark.parametrize(
    ("module", "resolution"), [("nodenext", "nodenext"), ("esnext", "bundler")]
)
@pytest.mark.parametrize("react", REACTS)
def test_right_uses_compile_and_wrong_ones_do_not(
    react: str, module: str, resolution: str, project: Callable[[str], Path]
) -> None:
    folder = project(react)
    (folder / "uses.tsx").write_text((HERE / "uses.tsx").read_text())
    config = json.loads(json.dumps(STRICT))
    config["compilerOptions"] |= {"module": module, "moduleResolution": resolution}
    (folder / "tsconfig.json").write_text(json.dumps(config))
    run(BIN / "tsc", "--project", folder, cwd=folder)


@pytest.mark.parametrize("module", MODULES)
def test_each_export_is_used_above(module: str) -> None:
    types = (client() / MODULES[module]["types"]).read_text()
    exported = set(re.findall(r"^export (?:declare )?\w+ (\w+)", types, re.MULTILINE))
    for names in re.findall(r"^export (?:type )?\{([^}]+)\}", types, re.MULTILINE):
        exported |= set(re.findall(r"\w+", names))
    exported -= {"type"}
    assert exported
    uses = (HERE / "uses.tsx").read_text()
    for name in exported:
        assert re.search(rf"\b{name}\b", uses), name


@pytest.mark.parametrize("module", MODULES)
def test_a_server_may_import_it_and_comes_to_an_end(
    module: str, project: Callable[[str], Path]
) -> None:
    name = f"sseprog{module.removeprefix('.')}"
    calls = "shareTabs?.(); announce?.({ title: true, toast: true })(); tell?.({ job_id: 'a' });"
    script = f"import('{name}').then(({{ shareTabs, announce, tell }}) => {{ {calls} }})"
    run("node", "-e", script, cwd=project("react19"))
