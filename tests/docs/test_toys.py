"""The adapter and the broker that documents show pass the suites that they are told to pass."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def files(page: str) -> dict[str, str]:
    """Return the files that a page shows, by the names in their first lines."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    return {match[1]: block for block in blocks if (match := re.match(r"# (\w+\.py)\n", block))}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", ["docs/adapters.md", "docs/brokers.md"])
def test_the_toy_of_the_document_passes_the_contract(page: str, tmp_path: Path) -> None:
    for name, block in files(page).items():
        (tmp_path / name).write_text(block)
    command = [Path(sys.executable).parent / "pytest", "-q", "-W", "error", "--timeout", "60"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) > 50


@pytest.mark.parametrize(
    ("page", "name", "most"),
    [("docs/adapters.md", "aiohttp_adapter.py", 40), ("docs/brokers.md", "shelf.py", 110)],
)
def test_a_toy_is_short(page: str, name: str, most: int) -> None:
    assert len(files(page)[name].splitlines()) <= most
