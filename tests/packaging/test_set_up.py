"""The set-up that the README promises, and the programs that it may have to install."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_PACKAGES = ROOT / "tests" / "system_packages.py"


def ask_for(*programs: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Ask for programs on a machine whose PATH is the folder ``path`` alone."""
    return subprocess.run(
        [sys.executable, str(SYSTEM_PACKAGES), *programs],
        env={**os.environ, "PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def add_program(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_ci_runs_the_command_that_the_readme_gives() -> None:
    *_, command = (ROOT / ".ci" / "run").read_text().strip().splitlines()
    assert command.endswith("tox")
    assert command in (ROOT / "README.md").read_text().splitlines()


def test_a_program_that_is_there_is_left_alone(tmp_path: Path) -> None:
    add_program(tmp_path, "ffmpeg", "exit 0")
    add_program(tmp_path, "apt-get", "exit 1")
    assert ask_for("ffmpeg", path=tmp_path).returncode == 0


def test_a_missing_program_that_may_not_be_installed_fails_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    add_program(tmp_path, "ffmpeg", "exit 0")
    asked = ask_for("ffmpeg", "chromium", "node", path=tmp_path)
    assert asked.returncode == 1
    assert "apt-get install --no-install-recommends chromium nodejs\n" in asked.stderr


def test_a_missing_program_is_installed_after_the_lists_are_brought_up_to_date(
    tmp_path: Path,
) -> None:
    calls = tmp_path / "calls"
    add_program(tmp_path, "apt-get", f'echo "$@" >> {calls}')
    add_program(tmp_path, "sudo", 'shift; exec "$@"')
    add_program(tmp_path, "env", 'shift; exec "$@"')
    add_program(tmp_path, "true", "exit 0")
    assert ask_for("chromium", "npm", path=tmp_path).returncode == 0
    update, install = calls.read_text().splitlines()
    assert update.endswith(" --yes update")
    assert install.endswith(" --yes install --no-install-recommends chromium npm")


def test_a_failed_installation_is_a_failure(tmp_path: Path) -> None:
    add_program(tmp_path, "apt-get", "exit 100")
    add_program(tmp_path, "sudo", 'shift; exec "$@"')
    add_program(tmp_path, "env", 'shift; exec "$@"')
    add_program(tmp_path, "true", "exit 0")
    asked = ask_for("ffmpeg", path=tmp_path)
    assert asked.returncode == 1
    assert "Could not install ffmpeg" in asked.stderr


def test_an_unknown_program_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    asked = ask_for("netscape", path=tmp_path)
    assert asked.returncode == 2
    assert "netscape" in asked.stderr
    assert "chromium" in asked.stderr
