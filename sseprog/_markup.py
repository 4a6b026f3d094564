"""The two lines of HTML that show a job, for template engines."""

from collections.abc import Mapping
from html import escape

from .progress import check_job_id

__all__ = ["element", "script"]

Attribute = str | int | float | bool | None


def script(src: str, nonce: str | None = None) -> str:
    """Return the line that loads the client, safe to be put into a page."""
    return f"<script{_attributes({'type': 'module', 'src': src, 'nonce': nonce})}></script>"


def element(job_id: str, src: str, attributes: Mapping[str, Attribute]) -> str:
    """Return the element of one job, safe to be put into a page.

    Attributes are named as in Python: ``csrf_token`` is ``csrf-token``. ``True`` is one without a
    value; ``False`` and ``None`` leave it out. Raises `ValueError` for a bad id or name.
    """
    check_job_id(job_id)
    named = {name.replace("_", "-").strip("-"): value for name, value in attributes.items()}
    for name in named:
        if not name.replace("-", "").isalnum() or not name.isascii():
            raise ValueError(f"{name!r} is not the name of an attribute")
    return f"<job-progress{_attributes({'src': src, **named})}></job-progress>"


def _attributes(values: Mapping[str, Attribute]) -> str:
    written = []
    for name, value in values.items():
        if value is True:
            written.append(f" {name}")
        elif value is not None and value is not False:
            written.append(f' {name}="{escape(str(value))}"')
    return "".join(written)
