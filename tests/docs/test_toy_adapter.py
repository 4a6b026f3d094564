"""The adapter that docs/adapters.md shows passes the suite that it is told to pass."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```",
    (ROOT / "docs/adapters.md").read_text(),
    re.MULTILINE | re.DOTALL,
)
NAMED = {match[1]: block for block in BLOCKS if (match := re.match(r"# (\w+\.py)\n", block))}


@pytest.mark.timeout(180)
def test_the_adapter_of_the_document_passes_the_contract(tmp_path: Path) -> None:
    for name, block in NAMED.items():
        (tmp_path / name).write_text(block)
    command = [Path(sys.executable).parent / "pytest", "-q", "-W", "error", "--timeout", "60"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) > 50
    assert "skipped" not in ran.stdout


def test_that_adapter_is_short() -> None:
    assert len(NAMED["aiohttp_adapter.py"].splitlines()) <= 40
