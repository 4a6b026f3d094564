"""``flask sseprog watch`` and ``flask sseprog jobs``."""

import sys

import click
from flask import current_app
from flask.cli import AppGroup

from sseprog import Hub
from sseprog._watch import list_jobs, watch

__all__ = ["commands"]

commands = AppGroup("sseprog", help="Look at the progress of jobs.")


def _hub() -> Hub:
    hub: Hub = current_app.extensions["sseprog"].hub
    return hub


@commands.command("watch")
@click.argument("job", metavar="JOB_ID|URL")
def watch_job(job: str) -> None:
    """Follow a job until it ends, by its id or by the URL of its stream."""
    sys.exit(watch(job, _hub()))


@commands.command("jobs")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
def show_jobs(limit: int) -> None:
    """List the jobs made last, the newest first."""
    sys.exit(list_jobs(_hub(), limit))
