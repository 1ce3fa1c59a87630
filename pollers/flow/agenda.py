"""What can start and what becomes due: the order of work of one flow. It decides nothing about records."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import TypeAlias

from pollers.flow.batches import Claim, State
from pollers.flow.lanes import Hold, Pool
from pollers.flow.records import Instant
from pollers.flow.windows import Window

__all__ = ["Agenda"]

Timed: TypeAlias = Pool | Claim | Hold | Window


def _still_due(item: Timed, when: float) -> bool:
    """Whether a timer was not overtaken: a pool was emptied, a claim resolved, a partition taken away."""
    if isinstance(item, Claim):
        return item.state is State.WAITING and item.batches[0].due == when
    return item.due == when


class Agenda:
    """Startable pools and claims in turn, batches for the destination, and one heap of timers."""

    __slots__ = ("_numbers", "discards", "ready", "timers")

    def __init__(self) -> None:
        self.ready: deque[Pool | Claim] = deque()  # could be invoked, given a permit
        self.discards: deque[Claim] = deque()  # their first batch is for the destination
        self.timers: list[tuple[float, int, Timed]] = []
        self._numbers = count()

    def at(self, when: float, item: Timed) -> None:
        """Bring `item` back at that monotonic time. A pool's and a partition's own `due` says which timer counts."""
        heappush(self.timers, (when, next(self._numbers), item))

    def ripen(self, now: Instant, ripe: Callable[[Timed, Instant], None]) -> None:
        """Hand over everything that is due."""
        timers = self.timers
        while timers and timers[0][0] <= now.monotonic:
            when, _, item = heappop(timers)
            if _still_due(item, when):
                ripe(item, now)

    def next(self) -> float | None:
        """The next monotonic time at which something becomes due."""
        timers = self.timers
        while timers and not _still_due(timers[0][2], timers[0][0]):
            heappop(timers)
        return timers[0][0] if timers else None

    def prune(self) -> None:
        """Forget what was taken away: emptied pools, claims that are over or stand elsewhere by now."""
        self.discards = deque(claim for claim in self.discards if claim.state is State.DISCARDED)
        kept: deque[Pool | Claim] = deque()
        for item in self.ready:
            if isinstance(item, Claim):
                if item.state is State.READY:
                    kept.append(item)
            elif item.count:
                kept.append(item)
            else:
                item.queued = False
        self.ready = kept
