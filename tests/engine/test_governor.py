"""The governor's promises: every limit kept exactly, permits never lost, free ones shared by weight."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollers.engine.governor import CEILING, START, Governor, Share


def nobody() -> None:
    """A mapping that does not mind being woken."""


def share(
    governor: Governor,
    function: str = "f",
    wake: Callable[[], None] = nobody,
    *,
    reserved: int | None = None,
    maximum: int | None = None,
    weight: float = 1.0,
    ramps: bool = False,
) -> Share:
    return governor.share(function, wake, 0.0, reserved=reserved, maximum=maximum, weight=weight, ramps=ramps)


def take_all(one: Share, now: float = 0.0) -> int:
    """Take permits until none is given; how many."""
    taken = 0
    while one.take(now):
        taken += 1
    return taken


def test_account_function_and_mapping_limits_each_hold() -> None:
    governor = Governor(concurrency=10)
    assert take_all(share(governor, "a", maximum=3)) == 3
    assert take_all(share(governor, "b", reserved=2)) == 2
    assert take_all(share(governor, "c")) == 5, "what is left of the account"
    assert governor.account.used == 10


def test_mappings_of_one_function_share_its_reserved_concurrency() -> None:
    governor = Governor()
    first, second = share(governor, reserved=4), share(governor, reserved=4)
    assert take_all(first) == 4
    assert not second.take(0.0)
    first.give()
    assert second.take(0.0)


@pytest.mark.rule("9-3")
def test_maximum_concurrency_is_per_mapping() -> None:
    governor = Governor()
    first, second = share(governor, maximum=2), share(governor, maximum=3)
    assert (take_all(first), take_all(second)) == (2, 3)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=200))
def test_permits_are_exact_whatever_happens(steps: list[tuple[int, bool]]) -> None:
    governor = Governor(concurrency=7)
    shares = [share(governor, "a"), share(governor, "a", reserved=4), share(governor, "b", maximum=2), share(governor)]
    held = [0, 0, 0, 0]
    for index, takes in steps:
        if takes:
            held[index] += shares[index].take(0.0)
        elif held[index]:
            shares[index].give()
            held[index] -= 1
        assert [one.used for one in shares] == held
        assert governor.account.used == sum(held) <= 7
        assert held[0] + held[1] <= 4
        assert held[2] <= 2
    for index, count in enumerate(held):
        for _ in range(count):
            shares[index].give()
    assert governor.account.used == 0


def shares_of_two(weights: tuple[float, float], permits: int, rounds: int = 20_000) -> tuple[int, int]:
    """Batches that two mappings start when both always have work and one permit after the other comes back."""
    governor = Governor(concurrency=permits)
    chance = random.Random(7)
    both = [share(governor, "a", weight=weights[0]), share(governor, "b", weight=weights[1])]
    started = [0, 0]
    running: list[int] = []
    for _ in range(rounds):
        # The flooded one asks first, every time.
        for index in (0, 1):
            while both[index].take(0.0):
                started[index] += 1
                running.append(index)
        both[running.pop(chance.randrange(len(running)))].give()
    return started[0], started[1]


@pytest.mark.parametrize("permits", [1, 2, 3, 10, 64])
def test_a_flooded_mapping_leaves_the_other_its_share(permits: int) -> None:
    flooded, other = shares_of_two((1.0, 1.0), permits)
    assert abs(other / (flooded + other) - 0.5) < 0.05


def test_permits_follow_weights() -> None:
    heavy, light = shares_of_two((3.0, 1.0), 40)
    assert abs(heavy / (heavy + light) - 0.75) < 0.05


def test_a_mapping_that_waits_is_woken_by_a_returned_permit() -> None:
    woken: list[str] = []
    governor = Governor(concurrency=1)
    first = share(governor, "a", lambda: woken.append("first"))
    second = share(governor, "b", lambda: woken.append("second"))
    assert first.take(0.0)
    assert not second.take(0.0)
    first.give()
    assert woken == ["second"]
    assert not first.take(0.0), "the permit is for the one that waits"
    assert second.take(0.0)


def test_a_mapping_that_no_longer_waits_does_not_keep_permits_from_others() -> None:
    governor = Governor(concurrency=1)
    first, second = share(governor, "a"), share(governor, "b")
    assert first.take(0.0)
    assert not second.take(0.0)
    second.rest()
    first.give()
    assert first.take(0.0)


@pytest.mark.rule("9-1")
def test_a_standard_queue_starts_with_five_and_gains_three_hundred_a_minute() -> None:
    governor = Governor(concurrency=5_000)
    queue = share(governor, ramps=True)
    assert take_all(queue) == START
    now, counts = 0.0, []
    for _ in range(60):
        now += 1.0
        take_all(queue, now)
        counts.append(queue.used)
    assert counts[-1] == START + 300
    assert counts[29] == START + 150
    for _ in range(600):
        now += 1.0
        take_all(queue, now)
    assert queue.used == CEILING


@pytest.mark.rule("9-1")
def test_a_queue_that_was_quiet_ramps_up_anew() -> None:
    governor = Governor(concurrency=5_000)
    queue = share(governor, ramps=True)
    now = 0.0
    for _ in range(60):
        take_all(queue, now)
        now += 1.0
    while queue.used:
        queue.give()
    assert queue.limit(now + 1) > START
    for _ in range(130):
        now += 1.0
        queue.limit(now)
    assert queue.limit(now) == START


def test_a_ramp_says_when_it_rises() -> None:
    queue = share(Governor(), ramps=True)
    take_all(queue, 0.0)
    rise = queue.rises_at(0.0)
    assert rise is not None
    assert rise == pytest.approx(0.2, abs=0.01)
    assert not queue.take(rise - 0.05)
    assert queue.take(rise)


def test_reads_of_a_function_never_outnumber_its_free_permits() -> None:
    governor = Governor()
    first, second = share(governor, reserved=3), share(governor, reserved=3)
    first.take(0.0)
    reads = 0
    for one in (first, second, first, second):
        if one.may_read(0.0):
            one.begin_read()
            reads += 1
    assert reads == 2


def test_a_mapping_that_could_not_read_is_woken_when_it_may() -> None:
    woken: list[str] = []
    governor = Governor(concurrency=1)
    first = share(governor, "a")
    second = share(governor, "b", lambda: woken.append("second"))
    first.take(0.0)
    assert not second.may_read(0.0)
    first.give()
    assert woken == ["second"]


def test_bytes_are_bounded_and_nobody_is_shut_out_by_another() -> None:
    governor = Governor(max_bytes=1_000)
    hog, small = share(governor, "a"), share(governor, "b")
    assert hog.may_hold()
    hog.weigh(2_000)
    assert not hog.may_hold()
    assert small.may_hold(), "below its equal part"
    small.weigh(600)
    assert not small.may_hold()
    hog.weigh(100)
    assert hog.may_hold()


def test_a_mapping_over_its_bytes_is_woken_when_they_are_freed() -> None:
    woken: list[str] = []
    governor = Governor(max_bytes=1_000)
    one = share(governor, "a", lambda: woken.append("one"))
    one.weigh(2_000)
    assert not one.may_hold()
    one.weigh(10)
    assert woken == ["one"]


@pytest.mark.rule("13-9")
def test_limits_belong_to_one_set_of_mappings_and_nothing_is_shared_beyond_it() -> None:
    one, other = Governor(concurrency=1), Governor(concurrency=1)
    first = one.share("function", lambda: None, 0.0)
    second = other.share("function", lambda: None, 0.0)
    assert first.take(0.0)
    assert second.take(0.0)
    assert not first.take(0.0)
