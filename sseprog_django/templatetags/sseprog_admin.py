"""The styles and scripts of the admin's pages, under the nonce of a policy that wants one."""

from typing import Final

from django import template
from django.template import Context
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from sseprog_django._static import nonce_of

__all__ = ["module", "register", "stylesheet"]

register = template.Library()

_SCRIPT: Final = '<script type="module" src="{}"{}></script>'
_STYLE: Final = '<link rel="stylesheet" href="{}"{}>'


@register.simple_tag(takes_context=True)
def module(context: Context, name: str) -> SafeString:
    """Return the line that loads a static file, or a URL, as a script."""
    return _tag(_SCRIPT, context, name if name.startswith("/") else static(name))


@register.simple_tag(takes_context=True)
def stylesheet(context: Context, name: str) -> SafeString:
    """Return the line that loads a static file as a style sheet."""
    return _tag(_STYLE, context, static(name))


def _tag(line: str, context: Context, url: str) -> SafeString:
    nonce = nonce_of(context, context.get("request"))
    written = [] if nonce is None else [(nonce,)]
    return format_html(line, url, format_html_join("", ' nonce="{}"', written))
