"""What tasks that know nothing of sseprog store about themselves, as it is read."""

from decimal import Decimal
from typing import Any

import pytest

from sseprog import Hub
from sseprog._meta import reading, report


@pytest.mark.parametrize(
    ("meta", "values"),
    [
        ({"current": 3, "total": 10}, {"progress": 30, "details": {"current": 3, "total": 10}}),
        ({"done": 1, "total": 3}, {"progress": 100 / 3, "details": {"done": 1, "total": 3}}),
        ({"progress": 1, "total": 4}, {"progress": 25, "details": {"progress": 1, "total": 4}}),
        ({"percent": Decimal("12.5")}, {"progress": 12.5}),
        ({"progress": 70, "status": "Reading"}, {"progress": 70, "message": "Reading"}),
        ({"percent": 130}, {"progress": 100}),
        ({"percent": -1}, {"progress": 0}),
        ({"percent": True}, {}),
        ({"percent": "12"}, {}),
        ({"percent": float("nan")}, {}),
        ({"percent": 10**400}, {}),
        ({"current": 1, "total": 0}, {"details": {"current": 1, "total": 0}}),
        ({"current": 1, "total": None}, {"details": {"current": 1, "total": None}}),
        ({"stage": "cutting", "message": ""}, {"stage": "cutting", "details": {"message": ""}}),
        ({"message": "a\x00b"}, {"message": "a\N{REPLACEMENT CHARACTER}b"}),
        ({"description": "row 3", "status": 200}, {"message": "row 3", "details": {"status": 200}}),
        ({"rows": [1, 2], "file": object()}, {"details": {"rows": [1, 2]}}),
        ({"big": "x" * 20_000, "small": 1}, {"details": {"small": 1}}),
        ({1: 2, "a": 1}, {"details": {"a": 1}}),
        ({}, {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_meta_is_read_in_the_shapes_in_wide_use(meta: Any, values: dict[str, Any]) -> None:
    assert reading(meta) == values


class Spiteful(dict[str, Any]):
    def get(self, *_: object) -> Any:
        raise ZeroDivisionError


@pytest.mark.parametrize("meta", [None, "text", 3, [1], ValueError("x"), Spiteful(percent=1)])
def test_what_cannot_be_read_harms_nobody(meta: object) -> None:
    hub = Hub("memory://")
    with hub.job("one") as job:
        report(job, meta)
    assert hub.snapshot("one").status == "completed"
    hub.close()
