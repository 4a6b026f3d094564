"""``{% job_progress %}``: what it writes into a page, and where the client is."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import django
import pytest
from django.core.management import call_command
from django.http import HttpRequest
from django.template import Context, Engine, RequestContext, Template
from django.test import Client, RequestFactory, override_settings

from sseprog import __version__

SCRIPT = f'<script type="module" src="/jobs/static/sseprog.js?v={__version__}"></script>\n'


def rendered(template: str, request: HttpRequest | None = None, **values: Any) -> str:
    context = Context(values) if request is None else RequestContext(request, values)
    return Template("{% load sseprog %}" + template).render(context)


@pytest.fixture
def request_(rf: RequestFactory) -> HttpRequest:
    return rf.get("/")


@pytest.fixture
def rf() -> RequestFactory:
    return RequestFactory()


@pytest.mark.parametrize(
    ("arguments", "attributes"),
    [
        ("id", ""),
        ("id label='a.mov'", ' label="a.mov"'),
        ("id label=''", ' label=""'),
        ("id cancellable=True", " cancellable"),
        ("id cancellable=False hidden=False title=None", ""),
        ("id class='wide' data_kind='x' hidden=True", ' class="wide" data-kind="x" hidden'),
        ("id label=bad", ' label="&lt;b&gt;&quot;&amp;&#x27;"'),
        ("id label=safe", ' label="&lt;b&gt;"'),
        ("id tabindex=3", ' tabindex="3"'),
    ],
)
def test_a_template_shows_a_job(arguments: str, attributes: str) -> None:
    from django.utils.safestring import mark_safe

    element = f'<job-progress src="/jobs/job-1/stream"{attributes}></job-progress>'
    values = {"id": "job-1", "bad": "<b>\"&'", "safe": mark_safe("<b>")}
    assert rendered(f"{{% job_progress {arguments} %}}", **values) == SCRIPT + element


@pytest.mark.parametrize("job_id", ["", "a/b", '"><script>', "..", "stream", None, 7])
def test_what_is_no_id_is_refused(job_id: object) -> None:
    with pytest.raises((ValueError, TypeError), match="job id"):
        rendered("{% job_progress id %}", id=job_id)


def test_a_variable_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="job id ''"):
        rendered("{% job_progress missing %}")


def test_what_is_no_attribute_is_refused() -> None:
    with pytest.raises(ValueError, match="is not the name of an attribute"):
        rendered("{% job_progress 'j' ä='x' %}")


def test_a_page_has_the_script_once(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text("{% block a %}{% endblock %}{% block b %}{% endblock %}")
    tag = "{% load sseprog %}{% job_progress id %}"
    (tmp_path / "part.html").write_text(tag)
    (tmp_path / "page.html").write_text(
        "{% extends 'base.html' %}"
        "{% block a %}{% include 'part.html' %}{% include 'part.html' only %}{% endblock %}"
        "{% block b %}{% load sseprog %}{% for n in '123' %}{% job_progress n %}{% endfor %}"
        "{% include 'part.html' %}{% endblock %}".replace("only", "with id='x' only")
    )
    engine = Engine([str(tmp_path)], libraries={"sseprog": "sseprog_django.templatetags.sseprog"})
    page = engine.get_template("page.html")
    context = Context({"id": "j"})
    for _ in range(2):  # the second page has it too, though its context is the same
        html = page.render(context)
        assert html.count("<job-progress") == 6
        assert html.count("<script") == 1
        assert html.index("<script") < html.index("<job-progress")


def test_only_who_may_cancel_needs_the_token(request_: HttpRequest) -> None:
    assert "csrf" not in rendered("{% job_progress 'j' %}", request_)
    assert "CSRF_COOKIE" not in request_.META, "the page can be cached"
    html = rendered("{% job_progress 'j' cancellable=True %}", request_)
    token = html.partition('csrf-token="')[2].partition('"')[0]
    assert len(token) == 64
    assert "csrf" not in rendered("{% job_progress 'j' cancellable=True %}")


def test_there_is_no_nonce_where_nobody_set_one(request_: HttpRequest) -> None:
    assert "nonce" not in rendered("{% job_progress 'j' %}", request_)


def test_the_script_has_the_nonce_of_django_csp(request_: HttpRequest) -> None:
    request_.csp_nonce = "n0nce"  # type: ignore[attr-defined]
    assert ' nonce="n0nce"></script>' in rendered("{% job_progress 'j' %}", request_)


def test_the_script_has_the_nonce_of_the_context() -> None:
    assert ' nonce="n0nce"></script>' in rendered("{% job_progress 'j' %}", csp_nonce="n0nce")


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django has a policy of its own since 6.0")
def test_the_script_has_the_nonce_of_django_s_policy(request_: HttpRequest) -> None:
    from django.http import HttpResponse
    from django.middleware.csp import ContentSecurityPolicyMiddleware
    from django.utils.csp import CSP

    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(rendered("{% job_progress 'j' %}", request))

    with override_settings(SECURE_CSP={"script-src": [CSP.NONCE]}):
        response = ContentSecurityPolicyMiddleware(page)(request_)
    nonce = response.content.decode().partition(' nonce="')[2].partition('"')[0]
    assert nonce
    assert response.headers["Content-Security-Policy"] == f"script-src 'nonce-{nonce}'"


def test_the_script_is_beside_those_that_it_imports(tmp_path: Path) -> None:
    html = rendered("{% job_progress 'j' %}")
    url = html.partition('src="')[2].partition('"')[0]
    assert url.startswith("/jobs/static/sseprog.js?v=")
    imported = re.findall(r'from "(\./[^"]+)"', Client().get(url).getvalue().decode())
    assert imported
    for name in imported:
        assert Client().get(urljoin(url, name)).status_code == 200
    with override_settings(STATIC_ROOT=tmp_path):
        call_command("collectstatic", interactive=False, verbosity=0)
        assert rendered("{% job_progress 'j' %}") == html
    assert (tmp_path / "sseprog_admin" / "jobs.css").exists()
