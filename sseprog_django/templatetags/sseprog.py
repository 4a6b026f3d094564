"""``{% load sseprog %}{% job_progress job_id %}``: a job's bar in a page."""

from typing import Final

from django import template
from django.middleware.csrf import get_token
from django.template import Context
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from sseprog._markup import Attribute, element, script
from sseprog.progress import check_job_id
from sseprog_django._static import client_url, nonce_of

__all__ = ["job_progress", "register"]

register = template.Library()

_WRITTEN: Final = "sseprog: the script is written"


@register.simple_tag(takes_context=True)
def job_progress(
    context: Context, job_id: str, *, cancellable: bool = False, **attributes: Attribute
) -> SafeString:
    """Return the element that shows a job, and the script that brings it to life, once a page.

    ``label="holiday.mov"`` says what the job is about; with ``cancellable=True`` there is a
    button, which sends the request's CSRF token. Any other attribute is HTML's own. Raises
    `ValueError` for what is no job's id.
    """
    request = context.get("request")
    token = get_token(request) if cancellable and request is not None else None
    source = reverse("sseprog:stream", kwargs={"job_id": check_job_id(job_id)})
    cancelling: dict[str, Attribute] = {"cancellable": cancellable, "csrf_token": token}
    lines = [element(job_id, source, {**cancelling, **attributes})]
    # What is rendered outermost, since included templates have a scope of their own.
    page = context.render_context.dicts[1]
    if _WRITTEN not in page:
        page[_WRITTEN] = source
        lines.insert(0, script(client_url(), nonce_of(context, request)))
    return mark_safe("\n".join(lines))  # noqa: S308 - both functions escape what they are given
