"""What the admin lists: the newest jobs, by status and by a part of their ids."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, get_args

from django.contrib.admin.utils import quote
from django.http import QueryDict

from sseprog import BrokerUnavailable, Hub, JobNotFound, Progress
from sseprog.progress import Status

__all__ = ["Listing", "Row", "owner_of"]

_MOST: Final = 100


class Row(NamedTuple):
    """A job in the table."""

    job: Progress
    owner: str
    quoted: str
    """Its id as the admin puts ids into URLs."""

    @property
    def percent(self) -> int | None:
        """How far it is, rounded down, so that 100 is for the end."""
        return None if self.job.progress is None else int(self.job.progress)


class Choice(NamedTuple):
    """A status to filter by, or ``""`` for all."""

    status: str
    jobs: int
    query: str
    selected: bool


class Listing:
    """The table as a query string asks for it: ``?status=running&q=import``."""

    def __init__(self, hub: Hub, query: QueryDict) -> None:
        self.text = query.get("q", "").strip()
        self.status = query.get("status", "")
        self.shared = hub.broker.shared
        self.most = _MOST
        self._hub = hub
        found: list[tuple[Progress, str]] = []
        self.away = False
        try:
            found = self._find()
        except BrokerUnavailable:
            self.away = True
        self._counts = Counter(job.status for job, _ in found)
        self._jobs = [(job, owner) for job, owner in found if self.status in {"", job.status}]

    @property
    def rows(self) -> list[Row]:
        """The jobs, the newest first."""
        return [Row(job, owner, quote(job.job_id)) for job, owner in self._jobs]

    def _find(self) -> list[tuple[Progress, str]]:
        newest = self._hub.broker.recent(_MOST)
        jobs = [(Progress.from_json(entry.data), owner or "") for owner, entry in newest]
        found = [(job, owner) for job, owner in jobs if self.text in job.job_id]
        if self.text not in {"", *(job.job_id for job, _ in found)}:  # perhaps an older one's
            found += [
                (job, owner_of(self._hub, job.job_id)) for job in _by_id(self._hub, self.text)
            ]
        return found

    @property
    def choices(self) -> list[Choice]:
        """The statuses, and how many jobs there are of each."""
        everything = Choice("", self._counts.total(), self._query(""), not self.status)
        return [
            everything,
            *(
                Choice(status, self._counts[status], self._query(status), status == self.status)
                for status in get_args(Status)
            ),
        ]

    @property
    def query(self) -> str:
        """The query string of this very listing."""
        return self._query(self.status)

    def _query(self, status: str) -> str:
        asked = QueryDict(mutable=True)
        asked.update({name: value for name, value in self._terms(status) if value})
        return f"?{asked.urlencode()}"

    def _terms(self, status: str) -> Iterator[tuple[str, Any]]:
        yield "status", status
        yield "q", self.text


def owner_of(hub: Hub, job_id: str) -> str:
    """Return whom a job is for, ``""`` for whoever knows its id."""
    try:
        return hub.broker.owner(job_id) or ""
    except JobNotFound:  # its time to live has ended just now
        return ""


def _by_id(hub: Hub, job_id: str) -> list[Progress]:
    try:
        return [hub.snapshot(job_id)]
    except JobNotFound:
        return []
