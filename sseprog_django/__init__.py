"""Mount the progress of jobs in a Django project.

    INSTALLED_APPS += ["sseprog_django"]  # settings.py

    urlpatterns += [path("jobs/", include("sseprog_django.urls"))]  # urls.py

    from sseprog_django import hub  # wherever there is work

    {% load sseprog %}{% job_progress job_id %}  {# in a page #}

``SSEPROG = {"BROKER": ..., "HEARTBEAT": ...}`` in the settings has what `sseprog.Hub` takes, in
upper case, and ``AUTHORIZE``. Under ASGI, `sseprog_django.asgi.with_streams` saves a thread per
stream.
"""

from sseprog.errors import MissingExtra

try:
    from ._hub import Authorize, hub
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"django", "asgiref"}:
        raise
    raise MissingExtra('sseprog_django needs Django: pip install "sseprog[django]"') from error

__all__ = ["Authorize", "hub"]
