"""Which partitions a worker should have: what is free, what is its own, what others have too many of.

Workers see the same rows and decide alone, each for itself; nobody leads. It must not know stores, clocks or tasks: it
is handed rows as they were read, and monotonic moments. A wrong guess costs nothing but a write that is refused.

An owner lives as long as the counters of its leases grow. They are watched on the observer's own clock, so that no two
machines need to agree on the time. After the Kinesis Client Library 2: expired leases first, then an even share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from zlib import crc32

from pollers.flow.records import Partition

__all__ = ["Lease", "Leases", "Plan"]

OLD: Final = 3.0  # durations after which a lease that nobody takes is taken beyond one's share. As in the KCL


class Lease(NamedTuple):
    """Whose a partition is, as it was read."""

    partition: Partition
    owner: str  # "": free
    heir: str  # who asked for it: its owner is about to pass it on
    tenure: int
    counter: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about the leases that were seen."""

    take: Sequence[Partition] = ()
    ask: Sequence[Partition] = ()  # of those who have more than their share


class _Seen(NamedTuple):
    tenure: int
    counter: int
    since: float  # monotonic: when these were seen first


class Leases:
    """What one worker knows of a mapping's leases."""

    def __init__(self, worker: str, duration: float) -> None:
        """`duration`: seconds without a sign of life after which an owner has none."""
        self._worker = worker
        self._duration = duration
        self._seen: dict[Partition, _Seen] = {}

    def plan(self, leases: Sequence[Lease], held: Collection[Partition], now: float) -> Plan:
        """What to take and to ask for. `leases`: of every partition that may be read now; `held`: those we read."""
        expired = self._watch(leases, now)
        loads = self._loads(leases, held, expired)
        share = -(-len(leases) // len(loads))
        wanted = max(0, share - loads[self._worker])
        free = self._preferred([one for one in leases if not one.owner or one.partition in expired])
        take = {one.partition for one in leases if one.owner == self._worker and one.partition not in held}
        take.update(one.partition for one in free[:wanted])
        # Whoever should have taken the others has not: better too many here than records that nobody reads.
        take.update(one.partition for one in free[wanted:] if self._old(one, now))
        if not free and not loads[self._worker]:
            wanted = min(wanted, 1)  # nobody knows of us yet, nor we of those who came with us: one lease shows it
        loads[self._worker] += min(wanted, len(free))
        ask = self._ask(leases, held, expired, loads, wanted - len(free))
        return Plan([one.partition for one in leases if one.partition in take], ask)

    def _watch(self, leases: Sequence[Lease], now: float) -> set[Partition]:
        """Remember when each counter moved; returns those whose owners show no sign of life.

        A lease that is seen for the first time counts as renewed just now.
        """
        before, seen, expired = self._seen, {}, set()
        for one in leases:
            known = before.get(one.partition)
            if known is None or (known.tenure, known.counter) != (one.tenure, one.counter):
                known = _Seen(one.tenure, one.counter, now)
            seen[one.partition] = known
            if one.owner not in ("", self._worker) and now - known.since > self._duration:
                expired.add(one.partition)
        self._seen = seen
        return expired

    def _old(self, one: Lease, now: float) -> bool:
        return now - self._seen[one.partition].since > OLD * self._duration

    def _loads(self, leases: Sequence[Lease], held: Collection[Partition], expired: set[Partition]) -> Counter[str]:
        """How many each living worker has, once those that were asked for are passed on."""
        loads: Counter[str] = Counter({self._worker: 0})
        for one in leases:
            if one.partition in held:
                loads[one.heir or self._worker] += 1
            elif one.owner and one.partition not in expired:
                loads[one.heir or one.owner] += 1
        return loads

    def _ask(
        self,
        leases: Sequence[Lease],
        held: Collection[Partition],
        expired: set[Partition],
        loads: Counter[str],
        wanted: int,
    ) -> list[Partition]:
        """Up to `wanted` leases of those who have the most, as long as that brings us closer together.

        A difference of one stays: it could not get smaller, and leases would wander for ever.
        """
        asked: list[Partition] = []
        if wanted <= 0:
            return asked
        theirs: dict[str, list[Lease]] = {}
        for one in leases:
            busy = one.owner not in ("", self._worker) and one.partition not in expired and one.partition not in held
            if busy and not one.heir:
                theirs.setdefault(one.owner, []).append(one)
        offers = {owner: self._preferred(some) for owner, some in theirs.items()}
        while offers and len(asked) < wanted:
            most = max(offers, key=lambda owner: (loads[owner], owner))
            if loads[most] - loads[self._worker] < 2:
                break
            asked.append(offers[most].pop(0).partition)
            loads[most] -= 1
            loads[self._worker] += 1
            if not offers[most]:
                del offers[most]
        return asked

    def _preferred(self, leases: Sequence[Lease]) -> list[Lease]:
        """In an order that differs from worker to worker, so that two seldom reach for the same."""
        return sorted(leases, key=lambda one: (crc32(f"{self._worker} {one.partition}".encode()), one.partition))
