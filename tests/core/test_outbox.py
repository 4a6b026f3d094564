"""What waits for a store keeps its order, is merged where that is right, and is never lost."""

from collections.abc import Iterable

import pytest

from sseprog._outbox import Holding, Outbox, Reply, Sending
from sseprog.store import Answer, Cancel, Line, Renew


def held(job_id: str = "j") -> Holding:
    return Holding(job_id, f"token of {job_id}")


def report(outbox: Outbox, holding: Holding, *kinds: str) -> None:
    """Report events whose data are their numbers."""
    for kind in kinds:
        line = Line(kind, b"%d" % (holding.number + 1))  # type: ignore[arg-type]
        outbox.report(holding, line)


def waiting(sendings: Iterable[Sending]) -> list[tuple[str, bytes, int]]:
    return [
        (sending.line.kind, sending.line.data, sending.number)
        for sending in sendings
        if sending.line is not None
    ]


def test_events_are_sent_in_order_and_numbered() -> None:
    outbox, one, two = Outbox(256), held("one"), held("two")
    report(outbox, one, "s", "p")
    report(outbox, two, "s")
    report(outbox, one, "c")
    assert waiting(outbox.take(9)) == [
        ("s", b"1", 1),
        ("p", b"2", 2),
        ("s", b"1", 1),
        ("c", b"3", 3),
    ]
    assert len(outbox) == 0


def test_while_the_store_is_away_the_newest_progress_of_a_stage_takes_the_place_of_the_last() -> (
    None
):
    outbox, holding = Outbox(256), held()
    outbox.is_away = True
    report(outbox, holding, "s", "p", "p", "p", "s", "p", "p", "c")
    assert waiting(outbox.take(99)) == [
        ("s", b"1", 1),
        ("p", b"4", 4),
        ("s", b"5", 5),
        ("p", b"7", 7),
        ("c", b"8", 8),
    ]


def test_what_waits_for_a_store_that_is_there_is_merged_beyond_the_limit_only() -> None:
    outbox, holding = Outbox(3), held()
    report(outbox, holding, "s", "p", "p", "p", "p")
    assert waiting(outbox.take(99)) == [("s", b"1", 1), ("p", b"2", 2), ("p", b"5", 5)]


def test_without_a_limit_nothing_is_merged() -> None:
    outbox, holding = Outbox(None), held()
    report(outbox, holding, *("p" for _ in range(1_000)))
    assert len(outbox) == 1_000


def test_of_too_many_stages_the_oldest_are_forgotten_as_the_log_would_and_never_the_end() -> None:
    outbox, holding = Outbox(3), held()
    report(outbox, holding, "s", "s", "s", "s", "c")
    assert waiting(outbox.take(99)) == [("s", b"3", 3), ("s", b"4", 4), ("c", b"5", 5)]
    assert holding.unsent == 3  # until they have arrived


def test_an_end_is_kept_though_all_before_it_is_on_its_way() -> None:
    outbox, holding = Outbox(2), held()
    report(outbox, holding, "s", "s")
    outbox.take(99)
    report(outbox, holding, "c")
    assert waiting(outbox.take(99)) == [("c", b"3", 3)]


def test_what_could_not_be_sent_is_sent_again_before_all_else_and_with_its_numbers() -> None:
    outbox, holding = Outbox(256), held()
    report(outbox, holding, "s", "p")
    taken = outbox.take(99)
    report(outbox, holding, "c")
    outbox.put_back(taken)
    assert waiting(outbox.take(99)) == [("s", b"1", 1), ("p", b"2", 2), ("c", b"3", 3)]


def test_what_was_put_back_is_merged_with_what_comes() -> None:
    outbox, holding = Outbox(256), held()
    report(outbox, holding, "s", "p")
    outbox.put_back(outbox.take(99))
    outbox.is_away = True
    report(outbox, holding, "p")
    assert waiting(outbox.take(99)) == [("s", b"1", 1), ("p", b"3", 3)]


def test_two_holders_of_a_job_do_not_share_a_batch() -> None:
    outbox, old, new = Outbox(256), held(), Holding("j", "another token")
    report(outbox, old, "s")
    report(outbox, new, "s")
    report(outbox, held("k"), "s")
    assert [len(outbox.take(99)) for _ in range(3)] == [1, 2, 0]


def test_what_waits_for_a_job_that_accepts_no_more_is_dropped() -> None:
    outbox, one, two = Outbox(256), held("one"), held("two")
    report(outbox, one, "s", "p")
    report(outbox, two, "s")
    outbox.drop(one)
    assert (one.unsent, waiting(outbox.take(99))) == (0, [("s", b"1", 1)])


def test_a_cancelling_whose_caller_has_given_up_is_not_sent() -> None:
    outbox, early, late = Outbox(256), Reply(), Reply()
    for reply in (early, late):
        outbox.add(Sending(Cancel("j", Line("e", b"{}")), reply=reply))
    outbox.add(Sending(Renew("j", "t")))
    assert early.wait(0) is None
    outbox.withdraw(early)
    taken = outbox.take(99)
    assert len(taken) == 2
    assert late.wait(0) is None
    outbox.put_back(taken)
    assert [type(sending.write) for sending in outbox.take(99)] == [Renew]


@pytest.mark.parametrize("given_first", [True, False])
def test_a_reply_tells_its_giver_whether_anybody_waits(given_first: bool) -> None:
    reply, answer = Reply(), Answer("ok")
    if given_first:
        assert reply.give(answer)
        assert reply.wait(5) == answer
    else:
        assert reply.wait(0) is None
        assert not reply.give(answer)
