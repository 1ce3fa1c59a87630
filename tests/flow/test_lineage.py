"""Parents before children, nothing twice, nothing skipped: whatever splits, merges, ages out or is listed badly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollers.flow.lineage import AGREEING, Lineage, Shard
from pollers.flow.records import Partition

A, B, C, D, E = map(Partition, "abcde")


def lineage(*shards: Shard, finished: tuple[Partition, ...] = ()) -> Lineage:
    made = Lineage()
    for shard in shards:
        made.add(shard.partition, shard.parents, finished=shard.partition in finished)
    return made


@pytest.mark.rule("8-5")
def test_children_of_a_split_start_once_their_parent_is_finished() -> None:
    family = lineage(Shard(A), Shard(B, (A,)), Shard(C, (A,)))
    assert family.startable() == [A]
    family.start(A)
    assert family.startable() == []
    assert family.finish(A) == [B, C]


@pytest.mark.rule("8-5")
def test_a_merged_child_waits_for_both_parents() -> None:
    family = lineage(Shard(A), Shard(B), Shard(C, (A, B)))
    for parent in (A, B):
        family.start(parent)
    assert family.finish(B) == []
    assert family.finish(A) == [C]


def test_a_parent_that_nobody_has_must_be_asked_for_before_its_child_starts() -> None:
    family = lineage(Shard(B, (A,)))
    assert family.startable() == []
    assert family.missing() == [A]
    family.gone(A)
    assert family.missing() == []
    assert family.startable() == [B]
    assert family.orphaned(B) == [A]


def test_ancestors_of_what_others_have_begun_are_not_read_again() -> None:
    """A is split into B and C, C into D and E; the library keeps nothing but what is read: B, D and E."""
    listed = [Shard(A, closed=True), Shard(B, (A,)), Shard(C, (A,), closed=True), Shard(D, (C,)), Shard(E, (C,))]
    family = lineage(Shard(B, (A,)), Shard(D, (C,)), Shard(E, (C,)))
    family.pass_over([D], listed)
    assert family.unknown(listed) == []
    assert family.missing() == []
    assert family.startable() == [B, D, E]
    assert [family.orphaned(one) for one in (B, D, E)] == [[], [], []]


def test_ancestors_of_what_nobody_has_begun_are_read_first() -> None:
    listed = [Shard(A, closed=True), Shard(B, (A,)), Shard(C, (A,))]
    family = lineage(Shard(B, (A,)), Shard(D))
    family.pass_over([D], listed)
    assert family.unknown(listed) == [Shard(A, closed=True), Shard(C, (A,))]
    assert family.missing() == [A]
    assert family.startable() == [D]


def test_a_finished_child_asks_for_no_parent() -> None:
    assert lineage(Shard(B, (A,)), finished=(B,)).missing() == []


def test_a_shard_that_is_stopped_may_start_again_and_a_finished_one_may_not() -> None:
    family = lineage(Shard(A), Shard(B))
    for shard in (A, B):
        family.start(shard)
    family.stop(A)
    family.finish(B)
    assert family.startable() == [A]


def test_a_shard_that_ended_expects_children_until_one_is_known() -> None:
    family = lineage(Shard(A))
    assert family.expecting(A)
    family.add(B, (A,))
    assert not family.expecting(A)


def test_what_is_known_of_a_shard_stays_when_it_is_listed_again() -> None:
    family = lineage(Shard(A), finished=(A,))
    family.add(A, ())
    assert family.startable() == []
    assert family.unknown([Shard(A), Shard(B)]) == [Shard(B)]


def test_a_finished_shard_is_forgotten_only_after_several_listings_agree() -> None:
    family = lineage(Shard(A), Shard(B, (A,)), finished=(A,))
    for _ in range(AGREEING - 1):
        assert family.forgettable({B}) == []
    assert family.forgettable({A, B}) == []  # it is back: the count begins anew
    for _ in range(AGREEING - 1):
        assert family.forgettable({B}) == []
    assert family.forgettable({B}) == [A]
    family.forget([A])
    assert A not in family
    assert family.startable() == [B]


def test_an_unfinished_shard_is_never_forgotten() -> None:
    family = lineage(Shard(A))
    for _ in range(2 * AGREEING):
        assert family.forgettable(()) == []


@st.composite
def forests(draw: st.DrawFn) -> list[Shard]:
    """Streams of up to 12 shards whose parents are older than they."""
    shards: list[Shard] = []
    for number in range(draw(st.integers(1, 12))):
        older = [shard.partition for shard in shards]
        parents = draw(st.lists(st.sampled_from(older), max_size=2, unique=True)) if older else []
        shards.append(Shard(Partition(f"shard-{number:02}"), tuple(parents)))
    return shards


@given(forests(), st.data())
def test_every_shard_is_read_once_and_after_its_parents_in_whatever_order_they_are_found(
    shards: list[Shard], data: st.DataObject
) -> None:
    family = Lineage()
    hidden = data.draw(st.permutations(shards))
    read: list[Partition] = []
    running: list[Partition] = []
    parents = {shard.partition: shard.parents for shard in shards}
    while hidden or running or family.startable():
        for shard in family.startable():
            assert all(parent in read for parent in parents[shard])
            family.start(shard)
            running.append(shard)
        if hidden and (not running or data.draw(st.booleans())):
            shown = hidden.pop()
            family.add(shown.partition, shown.parents)
        elif running:
            done = running.pop(data.draw(st.integers(0, len(running) - 1)))
            family.finish(done)
            read.append(done)
    assert sorted(read) == sorted(parents)
