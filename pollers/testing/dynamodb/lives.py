"""Times to live: which items of a table are over by now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from pollers.testing.dynamodb.schema import Key
from pollers.testing.dynamodb.values import Item

__all__ = ["Lives"]

_TOO_OLD = 5 * 365 * 86_400.0  # AWS: an item that was over this many seconds ago is left alone


class Lives:
    """The items that end by `attribute`: a Number, the second since the epoch at which they are over."""

    def __init__(self, attribute: str, items: Iterable[tuple[Key, Item]]) -> None:
        self.attribute = attribute
        self._ends: list[tuple[float, Key]] = []  # a heap; an item that was written again has several
        for key, item in items:
            self.add(key, item)

    def add(self, key: Key, item: Item) -> None:
        end = self._end(item)
        if end is not None:
            heappush(self._ends, (end, key))

    def due(self, find: Callable[[Key], Item | None], now: float) -> list[Key]:
        """The keys of the items that are over, each once. `find` gives the item as it is now."""
        over: list[Key] = []
        while self._ends and self._ends[0][0] <= now:
            end, key = heappop(self._ends)
            item = find(key)
            if item is not None and self._end(item) == end and end > now - _TOO_OLD and key not in over[-1:]:
                over.append(key)
        return over

    def _end(self, item: Item) -> float | None:
        text = item.get(self.attribute, {}).get("N")
        return float(text) if text is not None else None
