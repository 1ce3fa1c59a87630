"""The judge itself: each kind of wrong is found, and nothing that AWS's rules allow is called wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pollers.testing.audit import Call, History, Sent, check


def call(
    begun: float, *records: str, answer: Literal["ok", "error"] | tuple[str, ...] = "ok", ended: bool = True
) -> Call:
    return Call("m", records, begun, begun + 1 if ended else None, answer)


def queue(*records: str, key: str | None = None) -> list[Sent]:
    return [Sent("m", record, key) for record in records]


def test_a_clean_run_is_sound() -> None:
    report = check(History(queue("a", "b", key="k"), [call(1, "a"), call(3, "b")]))
    assert report.sound
    assert (report.sent, report.delivered, report.retried) == (2, 2, 0)


def test_a_record_that_nobody_processed_is_lost() -> None:
    assert len(check(History(queue("a", "b"), [call(1, "a")])).lost) == 1
    assert len(check(History(queue("a"), [call(1, "a", answer="error")])).lost) == 1
    assert len(check(History(queue("a"), [call(1, "a", ended=False)])).lost) == 1


def test_a_dead_lettered_or_filtered_record_is_not_lost() -> None:
    sent = [*queue("a"), Sent("m", "b", filtered=True)]
    assert check(History(sent, [call(1, "a", answer="error")], dead=frozenset({("m", "a")}))).sound


def test_a_record_that_was_answered_for_good_must_not_come_again() -> None:
    assert len(check(History(queue("a"), [call(1, "a"), call(3, "a")])).duplicates) == 1


def test_a_record_that_failed_may_come_again() -> None:
    report = check(History(queue("a", "b"), [call(1, "a", "b", answer=("a",)), call(3, "a")]))
    assert report.sound
    assert report.retried == 1


def test_in_a_log_what_follows_the_first_failure_is_not_answered() -> None:
    calls = [call(1, "a", "b", "c", answer=("b",)), call(3, "b", "c")]
    log = History(queue("a", "b", "c", key="k"), calls, logs=frozenset({"m"}))
    assert check(log).sound
    assert len(check(replace(log, logs=frozenset())).duplicates) == 1, "in a queue c was done with"


def test_an_answer_that_names_a_stranger_answers_nothing() -> None:
    assert len(check(History(queue("a"), [call(1, "a", answer=("x",))])).lost) == 1


def test_a_kill_explains_what_had_not_been_deleted_and_nothing_else() -> None:
    history = History(queue("a"), [call(1, "a"), call(5, "a")], kills=[3.0])
    assert check(history).explained == 1
    assert check(history).sound
    assert not check(replace(history, deleted={("m", "a"): 2.5})).sound, "its delete had arrived"
    assert not check(replace(history, kills=[0.5])).sound, "killed before the answer"
    assert not check(replace(history, kills=[6.0])).sound, "killed after it came again"


def test_a_kill_explains_what_the_killed_process_did_where_that_is_known() -> None:
    first = replace(call(1, "a"), process=7)
    history = History(queue("a"), [first, call(5, "a")], kills=[3.0], killed=frozenset({7}))
    assert check(history).explained == 1
    assert not check(replace(history, killed=frozenset({8}))).sound, "another process was killed"


def test_a_later_record_of_a_key_must_wait_for_the_earlier_one() -> None:
    sent = queue("a", "b", key="k")
    assert len(check(History(sent, [call(1, "b"), call(3, "a")])).disordered) == 1
    assert len(check(History(sent, [call(1, "a"), call(1.5, "b")])).disordered) == 1, "side by side"
    assert len(check(History(sent, [call(1, "b", "a")])).disordered) == 1, "the wrong way round in one event"
    assert check(History(queue("a") + queue("b"), [call(1, "b"), call(3, "a")])).sound, "without a key"


def test_a_key_goes_on_after_a_record_was_given_up() -> None:
    history = History(
        queue("a", "b", key="k"), [call(1, "a", answer="error"), call(3, "b")], dead=frozenset({("m", "a")})
    )
    assert check(history).sound


def test_a_filtered_or_unknown_record_that_is_delivered_is_strange() -> None:
    assert len(check(History([Sent("m", "a", filtered=True)], [call(1, "a")])).strange) == 1
    assert len(check(History([], [call(1, "a")])).strange) == 1
