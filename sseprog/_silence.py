"""What is said of a job whose holder says nothing."""

from typing import Literal

import msgspec

from ._ending import LOST, ended_state
from .progress import Progress
from .store import Line

__all__ = ["silent"]


def silent(state: Progress, status: Literal["stalled", "lost"]) -> Line:
    """Say of a job that its holder is silent, or lost."""
    if status == "stalled":
        return Line("p", msgspec.structs.replace(state, status=status, eta=None).to_json())
    return Line("e", ended_state(state, LOST).to_json())
