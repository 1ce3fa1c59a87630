"""Things by the instant at which something happens to them, without searching and without removing from the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

__all__ = ["Schedule"]

T = TypeVar("T")


class Schedule(Generic[T]):
    """A heap of (instant, item). `instant(item)` is the truth: an entry that disagrees with it is void.

    Void entries are dropped when they surface, and all at once when they may outnumber the others: the cost per item
    stays flat, the memory within twice what is scheduled.
    """

    __slots__ = ("_heap", "_instant", "_limit", "_numbers")

    def __init__(self, instant: Callable[[T], float | None]) -> None:
        self._instant = instant
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = count()  # equal instants keep the order of `push`
        self._limit = 64

    def push(self, item: T) -> None:
        """Schedule the item at its instant. Needed again each time the instant changes."""
        at = self._instant(item)
        if at is None:
            return
        heappush(self._heap, (at, next(self._numbers), item))
        if len(self._heap) > self._limit:
            self._compact()

    def due(self, now: float) -> Iterator[T]:
        """Removes and returns, one by one, what is due, earliest first."""
        heap = self._heap
        while heap:
            at, _, item = heap[0]
            if self._instant(item) != at:
                heappop(heap)
            elif at <= now:
                heappop(heap)
                yield item
            else:
                return

    def next_at(self) -> float | None:
        """The earliest instant."""
        heap = self._heap
        while heap and self._instant(heap[0][2]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def clear(self) -> None:
        self._heap.clear()

    def __len__(self) -> int:
        """Entries kept, void ones included."""
        return len(self._heap)

    def _compact(self) -> None:
        kept: dict[int, tuple[float, int, T]] = {}  # one per item: it may have come back to an earlier instant
        for entry in self._heap:
            if self._instant(entry[2]) == entry[0]:
                kept.setdefault(id(entry[2]), entry)
        self._heap[:] = kept.values()
        heapify(self._heap)
        self._limit = max(64, 2 * len(self._heap))
