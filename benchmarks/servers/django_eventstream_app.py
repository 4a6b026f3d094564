"""django-eventstream without storage, as its README sets it up, under uvicorn."""

import logging

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import include, path

from .publisher import publish_on_time, state


def publish(job, message):
    from django_eventstream import send_event  # it needs the settings

    send_event(f"job-{job}", "progress", state(job, message))


async def start(request):
    publish_on_time(publish, request.GET.dict())
    return HttpResponse(status=204)


settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django_eventstream"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for benchmarks",
)
logging.getLogger("django_eventstream").setLevel(logging.WARNING)
application = get_asgi_application()

urlpatterns = [
    path("start", start),
    path("jobs/<int:job>", include("django_eventstream.urls"), {"format-channels": ["job-{job}"]}),
]
