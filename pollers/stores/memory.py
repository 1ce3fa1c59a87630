"""Positions in memory: for tests, and for programs that keep nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pollers.errors import LostGrant
from pollers.flow.records import Partition
from pollers.spi import Row

__all__ = ["MemoryStore"]


class MemoryStore:
    """A `Store` that ends with the process."""

    url = "memory:"

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._rows: dict[str, dict[Partition, Row]] = {}

    async def open(self) -> None:
        """There is nothing to open."""

    async def load(self, mapping: str) -> Sequence[Row]:
        rows = self._rows.get(mapping, {})
        return [rows[partition] for partition in sorted(rows)]

    async def create(self, mapping: str, rows: Sequence[Row]) -> None:
        known = self._rows.setdefault(mapping, {})
        for row in rows:
            known.setdefault(row.partition, replace(row, saved=self._wall()))

    async def take(self, mapping: str, partitions: Sequence[Partition], owner: str) -> Sequence[Row]:
        rows = self._rows.get(mapping, {})
        taken = [
            replace(rows[partition], owner=owner, tenure=rows[partition].tenure + 1)
            for partition in partitions
            if partition in rows
        ]
        rows.update((row.partition, row) for row in taken)
        return taken

    async def save(self, mapping: str, row: Row) -> None:
        rows = self._rows.get(mapping, {})
        known = rows.get(row.partition)
        if known is None or known.tenure != row.tenure:
            raise LostGrant(f"{row.partition} of {mapping} belongs to somebody else by now.")
        rows[row.partition] = replace(
            known, safe=row.safe, above=row.above, state=row.state, finished=row.finished, saved=self._wall()
        )

    async def remove(self, mapping: str, partitions: Sequence[Partition]) -> None:
        rows = self._rows.get(mapping, {})
        for partition in partitions:
            rows.pop(partition, None)

    async def close(self) -> None:
        """There is nothing to close."""
