"""The errors that sseprog raises, and the two that an emitter may raise to end its job."""

from collections.abc import Mapping
from typing import Any

__all__ = [
    "BrokerUnavailable",
    "JobCancelled",
    "JobEnded",
    "JobFailed",
    "JobNotFound",
    "MissingExtra",
    "PluginError",
    "SSEProgError",
    "TooManyJobs",
]


class SSEProgError(Exception):
    """The base of every error of sseprog that is not a plain ``ValueError`` or ``TypeError``."""


class JobFailed(SSEProgError):
    """End the job with a text that is meant for the people who watch it.

    ``message`` is shown as it is. ``code`` becomes ``details.code``, a short word that a program
    can act on; ``details`` are merged into the job's. The text of any other exception is never
    shown, since it may hold a path or a secret.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "failed",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = dict(details or {})


class JobCancelled(SSEProgError):
    """Raised by `Job.update` after somebody has cancelled the job; let it pass to end the work."""


class JobEnded(SSEProgError):
    """The job has ended, or has been taken over: what was to be reported can't be."""


class JobNotFound(SSEProgError, LookupError):
    """There is no such job: it was never created, or its time to live is over."""


class BrokerUnavailable(SSEProgError):
    """The broker can't be reached, or doesn't answer in time; what was asked may work later."""


class TooManyJobs(SSEProgError):
    """``max_jobs`` jobs are pending or running, so that none can make room for another."""


class PluginError(SSEProgError):
    """A plugin can't be imported, or failed while it registered; the text names it."""


class MissingExtra(SSEProgError, ImportError):
    """A part of sseprog needs packages that are not installed; the text names the cure."""
