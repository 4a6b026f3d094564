"""Show the progress of long jobs, live, in any Python web app, over Server-Sent Events."""

from .errors import (
    BrokerUnavailable,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobNotFound,
    MissingExtra,
    PluginError,
    SSEProgError,
    TooManyJobs,
)
from .hookspecs import hookimpl
from .hub import Hub
from .job import Job
from .progress import Progress

__version__ = "0.1.0"

__all__ = [
    "BrokerUnavailable",
    "Hub",
    "Job",
    "JobCancelled",
    "JobEnded",
    "JobFailed",
    "JobNotFound",
    "MissingExtra",
    "PluginError",
    "Progress",
    "SSEProgError",
    "TooManyJobs",
    "hookimpl",
]
