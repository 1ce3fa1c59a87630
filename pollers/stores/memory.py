"""Positions in memory: for tests, and for programs that keep nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pollers.flow.records import Partition
from pollers.spi import Row
from pollers.stores.fence import lost

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Kept:
    """The rows of one mapping."""

    rows: dict[Partition, Row] = field(default_factory=dict)
    floor: int = 0  # the highest tenure of a row that was removed

    def still(self, row: Row) -> Row | None:
        """What the row is now, if it has not been taken since."""
        known = self.rows.get(row.partition)
        return known if known is not None and known.tenure == row.tenure else None


class MemoryStore:
    """A `Store` that ends with the process. Closed and opened again it still has its rows."""

    url = "memory:"
    worker = ""

    def __init__(self, wall: Callable[[], float] = time.time, *, lease: float = math.inf) -> None:
        """`wall`: the time of day that rows are marked with, seconds since the epoch.

        `lease`: seconds that a row is kept for an owner who shows no sign of life. Several sources of one program may
        share the rows: each has its leases, as processes have.
        """
        self.lease = lease
        self._wall = wall
        self._kept: dict[str, _Kept] = {}

    async def open(self) -> None:
        """There is nothing to open."""

    async def load(self, mapping: str) -> Sequence[Row]:
        """Every row of a mapping, ordered by partition."""
        rows = self._of(mapping).rows
        return [rows[partition] for partition in sorted(rows)]

    async def create(self, mapping: str, rows: Sequence[Row]) -> None:
        """Add rows. A partition that has one keeps it; one that had one goes on above its tenure."""
        kept, now = self._of(mapping), self._wall()
        for row in rows:
            kept.rows.setdefault(row.partition, replace(row, tenure=max(row.tenure, kept.floor), saved=now))

    async def take(self, mapping: str, rows: Sequence[Row], owner: str) -> Sequence[Row]:
        """Own these from now on, if they are as they were seen. `saved` stays: it is about the position."""
        kept, taken = self._of(mapping), []
        for row in rows:
            known = kept.still(row)
            if known is not None and known.counter == row.counter:
                known = replace(known, owner=owner, heir="", tenure=known.tenure + 1, counter=known.counter + 1)
                kept.rows[row.partition] = known
                taken.append(known)
        return taken

    async def renew(self, mapping: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Show that these are in use; those that are not the caller's any more are left out."""
        kept, renewed = self._of(mapping), []
        for row in rows:
            if (known := kept.still(row)) is not None:
                kept.rows[row.partition] = known = replace(known, counter=known.counter + 1)
                renewed.append(replace(row, owner=known.owner, heir=known.heir, counter=known.counter))
        return renewed

    async def ask(self, mapping: str, rows: Sequence[Row], heir: str) -> None:
        """Ask the owners for these, where nobody did before."""
        kept = self._of(mapping)
        for row in rows:
            known = kept.still(row)
            if known is not None and known.owner == row.owner and not known.heir:
                kept.rows[row.partition] = replace(known, heir=heir)

    async def save(self, mapping: str, row: Row) -> None:
        """Write how far a row has come. Raises `LostGrant` when it was taken since, or is gone."""
        kept, now = self._of(mapping), self._wall()
        known = kept.still(row)
        if known is None:
            other = kept.rows.get(row.partition)
            raise lost(mapping, row.partition, None if other is None else other.owner)
        kept.rows[row.partition] = replace(
            known, safe=row.safe, above=row.above, state=row.state, finished=row.finished, saved=now
        )

    async def leave(self, mapping: str, rows: Sequence[Row]) -> None:
        """Give these up, to their heirs where they have any."""
        kept = self._of(mapping)
        for row in rows:
            if (known := kept.still(row)) is not None:
                kept.rows[row.partition] = replace(known, owner=known.heir, heir="", counter=known.counter + 1)

    async def remove(self, mapping: str, partitions: Sequence[Partition]) -> None:
        """Forget these rows, but not that whoever took them has no say any more."""
        kept = self._of(mapping)
        for partition in partitions:
            row = kept.rows.pop(partition, None)
            if row is not None:
                kept.floor = max(kept.floor, row.tenure)

    async def close(self) -> None:
        """There is nothing to close."""

    def _of(self, mapping: str) -> _Kept:
        return self._kept.setdefault(mapping, _Kept())
