"""What each worker takes and asks for, tried with many of them that see the same rows and act in turn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollers.flow.leases import Lease, Leases, Plan
from pollers.flow.records import Partition

DURATION = 10.0
A, B, C, D = (Partition(name) for name in "abcd")


def lease(partition: Partition, owner: str = "", heir: str = "", tenure: int = 0, counter: int = 0) -> Lease:
    return Lease(partition, owner, heir, tenure, counter)


def test_the_only_worker_takes_everything_that_is_free() -> None:
    leases = Leases("me", DURATION)
    assert leases.plan([lease(A), lease(B), lease(C)], (), 0.0) == Plan([A, B, C], [])


def test_what_is_ours_by_name_and_not_held_is_taken_at_once() -> None:
    """A worker that crashed and came back finds its own leases."""
    leases = Leases("me", DURATION)
    assert leases.plan([lease(A, "me"), lease(B, "other")], (), 0.0).take == [A]


def test_an_owner_whose_counter_grows_keeps_its_lease() -> None:
    leases = Leases("me", DURATION)
    for beat in range(10):
        assert leases.plan([lease(A, "other", counter=beat)], (), beat * 9.0).take == []


def test_an_owner_that_shows_no_sign_of_life_for_a_lease_loses_it() -> None:
    leases = Leases("me", DURATION)
    assert leases.plan([lease(A, "other")], (), 100.0).take == []
    assert leases.plan([lease(A, "other")], (), 100.0 + DURATION).take == []
    assert leases.plan([lease(A, "other")], (), 100.1 + DURATION).take == [A]


def test_a_lease_that_is_seen_for_the_first_time_counts_as_just_renewed() -> None:
    leases = Leases("me", DURATION)
    leases.plan([lease(A, "other")], (), 0.0)
    assert leases.plan([lease(A, "other"), lease(B, "other")], (), 50.0).take == [A]


def test_whoever_has_two_more_is_asked_for_one() -> None:
    leases = Leases("me", DURATION)
    plan = leases.plan([lease(A, "other"), lease(B, "other")], (), 0.0)
    assert (plan.take, len(plan.ask)) == ([], 1)


def test_a_difference_of_one_stays() -> None:
    leases = Leases("me", DURATION)
    assert leases.plan([lease(A, "other"), lease(B, "me"), lease(C, "other")], [B], 0.0) == Plan([], [])


def test_nobody_is_asked_while_enough_is_free() -> None:
    leases = Leases("me", DURATION)
    plan = leases.plan([lease(A, "other"), lease(B, "other"), lease(C)], (), 0.0)
    assert plan == Plan([C], [])


def test_what_was_asked_for_counts_as_the_heirs() -> None:
    leases = Leases("me", DURATION)
    plan = leases.plan([lease(A, "other", "me"), lease(B, "other")], (), 0.0)
    assert plan == Plan([], [])


def test_what_nobody_takes_is_taken_beyond_the_share() -> None:
    leases = Leases("me", DURATION)
    rows = [lease(A, "me"), lease(B, "idle"), lease(C), lease(D, "me")]
    found = []
    for second in range(40):
        rows[1] = lease(B, "idle", counter=second)  # lives, and takes nothing
        found.append(leases.plan(rows, [A, D], float(second)).take)
    assert found[:30] == [[]] * 30
    assert found[31] == [C]


@dataclass
class Fleet:
    """Rows and workers, as a store and processes would have them."""

    rows: dict[Partition, Lease]
    workers: dict[str, Leases] = field(default_factory=dict)
    held: dict[str, set[Partition]] = field(default_factory=dict)
    now: float = 0.0
    moves: int = 0

    def join(self, name: str) -> None:
        self.workers[name] = Leases(name, DURATION)
        self.held[name] = set()

    def kill(self, name: str) -> None:
        del self.workers[name], self.held[name]

    def scan(self, name: str) -> None:
        """One worker looks at all rows and does what it planned."""
        held = self.held[name]
        plan = self.workers[name].plan([self.rows[one] for one in sorted(self.rows)], held, self.now)
        for partition in plan.ask:
            row = self.rows[partition]
            assert row.owner != name, "nobody steals from itself"
            if not row.heir:
                self.rows[partition] = row._replace(heir=name)
        for partition in plan.take:
            row = self.rows[partition]
            assert all(partition not in other for one, other in self.held.items() if one != name), "owned twice"
            self.rows[partition] = Lease(partition, name, "", row.tenure + 1, row.counter + 1)
            held.add(partition)
            self.moves += 1

    def beat(self) -> None:
        """Every living worker renews, and passes on what it was asked for."""
        for held in self.held.values():
            for partition in sorted(held):
                row = self.rows[partition]
                self.rows[partition] = row._replace(counter=row.counter + 1)
                if row.heir:
                    held.discard(partition)
                    self.rows[partition] = row._replace(owner=row.heir, heir="", counter=row.counter + 1)

    def second(self) -> None:
        for name in sorted(self.workers):
            self.scan(name)
        self.beat()
        self.now += 1.0

    def counts(self) -> list[int]:
        return sorted(len(held) for held in self.held.values())


@given(shards=st.integers(1, 40), workers=st.integers(1, 12), killed=st.data())
@settings(max_examples=60)
def test_shares_come_within_one_of_each_other_and_stay_there(shards: int, workers: int, killed: st.DataObject) -> None:
    fleet = Fleet({one: lease(one) for one in (Partition(f"shard-{n:03}") for n in range(shards))})
    for number in range(workers):
        fleet.join(f"worker-{number}")
        for _ in range(killed.draw(st.integers(0, 3))):
            fleet.second()
    for _ in range(12):
        fleet.second()
    assert sum(fleet.counts()) == shards
    assert fleet.counts()[-1] - fleet.counts()[0] <= 1
    settled = fleet.moves
    for _ in range(30):
        fleet.second()
    assert fleet.moves == settled, "leases wander"
    for number in killed.draw(st.sets(st.integers(0, workers - 1), max_size=workers - 1)):
        fleet.kill(f"worker-{number}")
    for _ in range(40):
        fleet.second()
    assert sum(fleet.counts()) == shards
    assert fleet.counts()[-1] - fleet.counts()[0] <= 1


@pytest.mark.parametrize(("joining", "shards"), [(2, 100), (10, 100), (50, 200)])
def test_as_few_leases_move_as_must(joining: int, shards: int) -> None:
    fleet = Fleet({one: lease(one) for one in (Partition(f"shard-{n:03}") for n in range(shards))})
    fleet.join("worker-00")
    fleet.second()
    for number in range(1, joining):
        fleet.join(f"worker-{number:02}")
    before = fleet.moves
    for _ in range(8):
        fleet.second()
    assert fleet.counts()[-1] - fleet.counts()[0] <= 1
    ideal = shards - max(fleet.counts())
    assert fleet.moves - before <= ideal + joining
    assert Counter(row.owner for row in fleet.rows.values()).total() == shards
