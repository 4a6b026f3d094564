"""What every suite shares: the check that it tests the sseprog that it is meant to test."""

import importlib.util
import os
from pathlib import Path

import pytest


def imported_from() -> Path:
    """Return the folder that ``import sseprog`` would read, without importing it."""
    spec = importlib.util.find_spec("sseprog")
    if spec is None or spec.origin is None:
        raise pytest.UsageError("sseprog is not installed: run tox, or pip install -e .")
    return Path(spec.origin).parent


def pytest_report_header() -> str:
    return f"sseprog: {imported_from()}"


def pytest_configure(config: pytest.Config) -> None:
    """Refuse the source tree where the wheel is promised, which is under tox."""
    if "TOX_ENV_NAME" in os.environ and imported_from().parent == config.rootpath:
        raise pytest.UsageError("sseprog was imported from the source tree, not from the wheel")
