"""``manage.py sseprog_watch JOB_ID|URL``."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sseprog._watch import watch
from sseprog_django import hub

__all__ = ["Command"]


class Command(BaseCommand):
    """Follow a job in the terminal."""

    help = "Follow a job until it ends, by its id or by the URL of its stream."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to follow."""
        parser.add_argument("job", metavar="JOB_ID|URL")

    def handle(self, *_: Any, job: str, **__: Any) -> None:
        """Exit with 0 for a job that completed, 1 for one that ended otherwise, 2 for none."""
        sys.exit(watch(job, hub))
