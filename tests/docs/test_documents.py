"""What the documents show is run: their programs, their commands, their bytes."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sseprog import Hub, hookspecs
from sseprog._settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


PROGRAMS = [
    pytest.param(block, id=f"{page}:{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"))
    # Those are files of applications, which have tests of their own.
    if not re.match(r"# [\w/]+\.py", block)
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_runs(program: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, check=True, timeout=60
    )


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text()):
        assert (folder / target).exists(), target


def test_each_hook_is_documented() -> None:
    table = (ROOT / "docs/emitters.md").read_text()
    hooks = [name for name in vars(hookspecs) if name.startswith("sseprog_")]
    assert hooks
    for name in hooks:
        assert f"`{name}(" in table, name


def test_the_settings_that_the_readme_lists_are_the_hubs() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,.]+|none|cores \+ 4) \|", readme(), re.MULTILINE)
    defaults = Settings()
    assert {name for name, _ in rows} <= set(Settings.__struct_fields__)
    for name, shown in rows:
        value = getattr(defaults, name)
        assert (
            shown in {"none", "cores + 4"}
            if value is None
            else float(shown.replace(",", "")) == (value or 0)
        )


def test_the_extras_that_the_readme_names_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    named = re.findall(r'"(?:sseprog|\.)\[([\w,]+)\]"', readme())
    assert named
    assert {extra for group in named for extra in group.split(",")} <= extras


def test_ci_runs_the_very_test_command_of_the_readme() -> None:
    command = next(block for block in blocks("README.md", "sh") if "tox" in block)
    assert command in (ROOT / ".ci/run").read_text()


def test_the_names_that_the_readme_uses_are_methods_of_the_hub() -> None:
    for name in set(re.findall(r"\bhub\.(\w+)\(", readme())):
        assert callable(getattr(Hub, name)), name


def test_the_attributes_events_variables_and_parts_of_the_element_are_its_own() -> None:
    page = section("## The element")
    script = (ROOT / "sseprog/static/sseprog/sseprog.js").read_text()
    for name in re.findall(r"--sseprog-\w+", page):
        assert f"var({name}," in script, name
    for name in re.findall(r"`job-(\w+)`", page):
        assert f'"{name}"' in script, name
    for name in ("src", "label", "cancellable", "csrf-token", "state"):
        assert f"| `{name}` |" in page
        assert f'"{name}"' in script, name
    parts = page.partition("by the parts")[2].partition(". It is dark")[0]
    for name in re.findall(r"`([a-z]+)`", parts):
        assert f'"{name}"' in script, name


def test_the_attributes_events_variables_and_parts_of_the_list_are_its_own() -> None:
    page = section("## The list")
    script = (ROOT / "sseprog/static/sseprog/job-list.js").read_text()
    for name in re.findall(r"--sseprog-[\w-]+", page):
        assert f"var({name}," in script, name
    attributes = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert set(attributes) == {"jobs", "base", "label", "sort", "cancellable", "csrf-token"}
    for name in attributes:
        # That one is for the style sheet only.
        assert f'"{name}"' in script or f":host(:not([{name}]))" in script, name
    assert "`job-list-change`" in page
    assert '"job-list-change"' in script
    parts = page.partition("The parts of the list are")[2].partition(". A row has")[0]
    named = set(re.findall(r"`([a-z]+)`", parts))
    made = re.findall(r'\b(?:make|part|cell)\("([a-z]+)"', script)
    assert named == {*made, "row"} - {"live", "option"}
    for name in re.findall(r"`?list\.(\w+)\(", page):
        assert re.search(rf"^\t{name}\(", script, re.MULTILINE), name


def test_the_options_and_functions_of_the_notices_are_their_own() -> None:
    page = section("## Notices")
    script = (ROOT / "sseprog/static/sseprog/notices.js").read_text()
    options = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert f"announce = ({{ {', '.join(options)} }} = {{}})" in script
    exported = re.findall(r"^export const (\w+)", script, re.MULTILINE)
    assert exported
    for name in exported:
        assert re.search(rf"\b{name}\b", page), name


def section(title: str) -> str:
    """Return the part of docs/page.md below this heading."""
    page = (ROOT / "docs/page.md").read_text()
    return page.partition(f"\n{title}\n")[2].partition("\n## ")[0]


def readme() -> str:
    return (ROOT / "README.md").read_text()
