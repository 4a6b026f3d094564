"""What a thread does while its store can't be reached."""

from pathlib import Path

from sseprog._away import Away
from sseprog._settings import Settings
from sseprog.brokers.sqlite import SQLiteStore
from sseprog.errors import BrokerUnavailable


def test_pauses_grow_to_a_second_and_go_on_for_ever(tmp_path: Path) -> None:
    store = SQLiteStore(f"sqlite:///{tmp_path}/jobs.db", Settings())
    away = Away(store, "nothing is done", lambda: False)
    pauses = [away.pause(BrokerUnavailable("it is away")) for _ in range(3_000)]
    assert pauses[0] <= 0.1
    assert all(0.5 <= pause <= 1.0 for pause in pauses[10:])
    assert away.over() > 0
