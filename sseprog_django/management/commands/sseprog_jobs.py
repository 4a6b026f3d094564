"""``manage.py sseprog_jobs``."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sseprog._watch import list_jobs
from sseprog_django import hub

__all__ = ["Command"]


class Command(BaseCommand):
    """List the jobs in the terminal."""

    help = "List the jobs made last, the newest first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how many."""
        parser.add_argument("--limit", type=int, default=20, help="how many (default: 20)")

    def handle(self, *_: Any, limit: int, **__: Any) -> None:
        """Print a line for each."""
        if limit < 1:
            raise CommandError("--limit is 1 at least")
        if code := list_jobs(hub, limit):
            sys.exit(code)
