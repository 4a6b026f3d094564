"""How a job ends: what its last state says, by the exception that left its block."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from .errors import JobCancelled, JobFailed
from .progress import Progress, Status, check_details, clean_text

__all__ = ["INTERRUPTED", "LOST", "Ending", "ended_state", "ending_by", "fitting"]

logger = logging.getLogger("sseprog")

_LONGEST_CODE: Final = 128  # characters: a code is for programs


class Ending(NamedTuple):
    """A terminal status; ``message`` is ``None`` where the job's own stays."""

    status: Status
    message: str | None
    details: Mapping[str, Any]


COMPLETED: Final = Ending("completed", None, {})
CANCELLED: Final = Ending("cancelled", "The job was cancelled.", {"code": "cancelled"})
INTERRUPTED: Final = Ending(
    "failed", "The job was interrupted: its process was stopped.", {"code": "interrupted"}
)
LOST: Final = Ending("lost", "The job was lost: its process has died.", {"code": "lost"})
FAILED: Final = "The job failed."


def ending_by(job_id: str, error: BaseException | None, *, interrupted: bool) -> Ending:
    """Return how a job ends whose block was left with ``error``; log it where nobody else would.

    ``interrupted``: the process asked the job to stop, and no person did.
    """
    if error is None:
        return COMPLETED
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return INTERRUPTED
    if isinstance(error, (JobCancelled, asyncio.CancelledError, GeneratorExit)):
        return INTERRUPTED if interrupted else CANCELLED
    if isinstance(error, JobFailed):
        try:
            return _failed(error)
        except Exception:  # a class of the application's own, or details with a mind of theirs
            logger.exception("job %s: its JobFailed can't be shown", job_id)
    reference = secrets.token_hex(4)
    logger.error("job %s failed; reference %s", job_id, reference, exc_info=error)
    return Ending("failed", FAILED, {"code": "unexpected", "reference": reference})


def _failed(error: JobFailed) -> Ending:
    code = {"code": clean_text(str(error.code))[:_LONGEST_CODE]}
    message = clean_text(str(error.message)) or FAILED
    return Ending("failed", message, fitting({**error.details, **code}, code))


def fitting(*choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first of ``choices`` that can be details; the last of them must."""
    for choice in choices[:-1]:
        try:
            return check_details(choice)
        except (TypeError, ValueError) as error:
            logger.warning("details were left out of a job's end: %s", error)
    return check_details(choices[-1])


def ended_state(before: Progress, ending: Ending) -> Progress:
    """Return the last state of a job that is ended by others than its own code.

    ``before`` is its newest, or ``Progress(job_id=...)`` if nobody has worked on it yet.
    """
    return msgspec.structs.replace(
        before,
        status=ending.status,
        eta=None,
        message=ending.message or "",
        details=fitting({**before.details, **ending.details}, ending.details),
        updated_at=datetime.now(UTC),
    )
