"""What servers import."""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "under_test.settings")

from sseprog_django.asgi import with_streams

wsgi = get_wsgi_application()
asgi = get_asgi_application()
streaming = with_streams(asgi)
