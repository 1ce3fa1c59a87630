"""Positions in memory: for tests, and for programs that keep nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pollers.flow.records import Partition
from pollers.spi import Row
from pollers.stores.fence import lost

__all__ = ["MemoryStore"]


class MemoryStore:
    """A `Store` that ends with the process. Closed and opened again it still has its rows."""

    url = "memory:"

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """`wall`: the time of day that rows are marked with, seconds since the epoch."""
        self._wall = wall
        self._rows: dict[str, dict[Partition, Row]] = {}
        self._floors: dict[str, int] = {}  # by mapping: the highest tenure of a row that was removed

    async def open(self) -> None:
        """There is nothing to open."""

    async def load(self, mapping: str) -> Sequence[Row]:
        """Every row of a mapping, ordered by partition."""
        rows = self._rows.get(mapping, {})
        return [rows[partition] for partition in sorted(rows)]

    async def create(self, mapping: str, rows: Sequence[Row]) -> None:
        """Add rows. A partition that has one keeps it; one that had one goes on above its tenure."""
        known, floor, now = self._rows.setdefault(mapping, {}), self._floors.get(mapping, 0), self._wall()
        for row in rows:
            known.setdefault(row.partition, replace(row, tenure=max(row.tenure, floor), saved=now))

    async def take(self, mapping: str, partitions: Sequence[Partition], owner: str) -> Sequence[Row]:
        """Own these from now on. `saved` stays: it is about the position."""
        rows, taken = self._rows.get(mapping, {}), []
        for partition in partitions:
            row = rows.get(partition)
            if row is not None:
                rows[partition] = replace(row, owner=owner, tenure=row.tenure + 1)
                taken.append(rows[partition])
        return taken

    async def save(self, mapping: str, row: Row) -> None:
        """Write how far a row has come. Raises `LostGrant` when it was taken since, or is gone."""
        rows, now = self._rows.get(mapping, {}), self._wall()
        known = rows.get(row.partition)
        if known is None or known.tenure != row.tenure:
            raise lost(mapping, row.partition, None if known is None else known.owner)
        rows[row.partition] = replace(
            known, safe=row.safe, above=row.above, state=row.state, finished=row.finished, saved=now
        )

    async def remove(self, mapping: str, partitions: Sequence[Partition]) -> None:
        """Forget these rows, but not that whoever took them has no say any more."""
        rows = self._rows.get(mapping, {})
        for partition in partitions:
            row = rows.pop(partition, None)
            if row is not None:
                self._floors[mapping] = max(self._floors.get(mapping, 0), row.tenure)

    async def close(self) -> None:
        """There is nothing to close."""
