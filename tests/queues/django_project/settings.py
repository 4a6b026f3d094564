"""A project whose tasks are run by a worker over its database."""

import os

SECRET_KEY = "of the tests"
INSTALLED_APPS = ["django_tasks_db", "sseprog_django", "sseprog_django.tasks.TasksConfig"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["DATABASE"],
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}
TASKS = {
    "default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []},
    "at_once": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"},
}
try:
    import django.tasks  # noqa: F401
except ModuleNotFoundError:
    INSTALLED_APPS.insert(0, "django_tasks")
else:
    TASKS["at_once"] = {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}
SSEPROG = {"BROKER": os.environ["HUB_URL"], "LEASE": float(os.environ["LEASE"]), "THROTTLE": 0}
ROOT_URLCONF = "urls"
USE_TZ = True
