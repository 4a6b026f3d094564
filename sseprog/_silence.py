"""What is said of a job whose holder says nothing."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from ._ending import fitting
from .progress import Progress, Status
from .store import Line

__all__ = ["silent"]

_LOST: Final = "The job was lost: its process has died."


def silent(state: Progress, status: Status) -> Line:
    """Say of a job that its holder is silent, or lost."""
    if status == "stalled":
        state = msgspec.structs.replace(state, status=status, eta=None)
        return Line("p", state.to_json())
    code = {"code": "lost"}
    state = msgspec.structs.replace(
        state,
        status=status,
        eta=None,
        message=_LOST,
        details=fitting({**state.details, **code}, code),
        updated_at=datetime.now(UTC),
    )
    return Line("e", state.to_json())
