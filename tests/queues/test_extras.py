"""What a bridge says whose queue is not installed."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
import sseprog
try:
    import {module}
except sseprog.MissingExtra as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        ("sseprog.celery", ["celery"]),
        ("sseprog.rq", ["rq"]),
        ("sseprog.dramatiq", ["dramatiq"]),
    ],
)
def test_a_bridge_whose_queue_is_missing_names_the_cure(module: str, missing: list[str]) -> None:
    program = PROGRAM.format(module=module, missing=missing)
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert f'pip install "sseprog[{missing[0]}]"' in said


def test_the_bridge_of_django_without_tasks_names_the_cure() -> None:
    program = """
import sys
sys.modules["django_tasks"] = sys.modules["django.tasks"] = None
from django.conf import settings
settings.configure()
import sseprog
from sseprog_django.tasks import install
try:
    install()
except sseprog.MissingExtra as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "pip install django-tasks" in said


def test_the_core_imports_no_queue() -> None:
    program = "import sys, sseprog; print({'celery', 'rq', 'dramatiq', 'django'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"
