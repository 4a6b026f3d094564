"""The settings: a project's usual ones, and what a test asks for in its environment."""

import json
import os
from pathlib import Path
from typing import Any

SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "under_test.urls"
USE_TZ = True
STATIC_URL = "static/"
LOGIN_URL = "/login/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "sseprog_django",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "under_test.middleware.added_headers",
]

_GZIP = "django.middleware.gzip.GZipMiddleware"
if os.environ.get("UNDER_TEST_GZIP") == "first":
    MIDDLEWARE.insert(0, _GZIP)
elif os.environ.get("UNDER_TEST_GZIP") == "last":
    MIDDLEWARE.append(_GZIP)

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

_MEMORY = (
    '{"ENGINE": "django.db.backends.sqlite3", "NAME": "file:under_test?mode=memory&cache=shared"}'
)
DATABASES = {"default": json.loads(os.environ.get("UNDER_TEST_DATABASE", _MEMORY))}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick

# Each answer writes to the database, after the view has returned.
SESSION_SAVE_EVERY_REQUEST = True

SSEPROG: dict[str, Any] = {"THROTTLE": 0}
