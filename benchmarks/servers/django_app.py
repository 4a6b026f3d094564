"""sseprog in Django under ASGI: ``uvicorn benchmarks.servers.django_app:application``."""

import asyncio
import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import include, path

from .publisher import publish_on_time

jobs = {}


def publish(job, message):
    if job not in jobs:
        jobs[job] = hub.job(f"job-{job}").__enter__()
    jobs[job].update(50, stage="importing", message=message)


async def start(request):
    loop = asyncio.get_running_loop()
    query = request.GET.dict()
    publish_on_time(lambda *event: loop.call_soon_threadsafe(publish, *event), query)
    return HttpResponse(status=204)


urlpatterns = [path("start", start), path("jobs/", include("sseprog_django.urls"))]

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["sseprog_django"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for benchmarks",
    SSEPROG={"THROTTLE": 0, "CONFLATE_AFTER": 0, "MAX_STREAM_AGE": 0, "MAX_JOBS": 0},
)
django = get_asgi_application()

from sseprog_django import hub  # noqa: E402 - it needs the settings
from sseprog_django.asgi import with_streams  # noqa: E402

application = with_streams(django)
for number in range(int(os.environ.get("JOBS", "1"))):
    hub.create(f"job-{number}")
