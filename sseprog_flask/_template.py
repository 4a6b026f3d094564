"""``{{ job_progress(job_id) }}``: a job's bar in a page."""

from flask import current_app, g, url_for
from markupsafe import Markup

from sseprog import __version__
from sseprog._markup import Attribute, element, script

__all__ = ["job_progress"]


def job_progress(job_id: str, *, cancellable: bool = False, **attributes: Attribute) -> Markup:
    """Return the element that shows a job, and the script that brings it to life, once a page.

    ``label="holiday.mov"`` says what the job is about; with ``cancellable`` there is a button,
    which sends Flask-WTF's CSRF token where that is in use. Any other attribute is HTML's own.
    """
    lines = []
    if not g.get("_sseprog_script"):
        g._sseprog_script = True
        source = url_for("sseprog.static", name="sseprog.js", v=__version__)
        lines.append(script(source, _called("csp_nonce")))
    token = _called("csrf_token") if cancellable else None
    source = url_for("sseprog.stream", job_id=job_id)
    lines.append(
        element(job_id, source, {"cancellable": cancellable, "csrf_token": token, **attributes})
    )
    return Markup("\n".join(lines))  # noqa: S704 - both functions escape what they are given


def _called(name: str) -> str | None:
    """Call what an extension gave to templates: ``csp_nonce`` of Flask-Talisman, for instance."""
    function = current_app.jinja_env.globals.get(name)
    return str(function()) if callable(function) else None
