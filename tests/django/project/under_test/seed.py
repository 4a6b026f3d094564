"""``python -m under_test.seed``: make the tables, and the people."""

import os

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "under_test.settings")


def seed() -> None:
    from django.contrib.auth.models import Permission, User

    call_command("migrate", verbosity=0)
    for name in ("alice", "bob"):
        User.objects.create_user(name, password=name)
    User.objects.create_superuser("chief", password="chief")
    viewer = User.objects.create_user("viewer", password="viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_job"))
    User.objects.create_user("clerk", password="clerk", is_staff=True)


if __name__ == "__main__":
    django.setup()
    seed()
