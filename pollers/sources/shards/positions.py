"""Where a mapping stands in a stream, as its store keeps it: a row for each shard, and one for the mapping itself.

The row without a partition is the mapping's own: it says where a first discovery of shards begins, and which stream
of its name the positions belong to. It is written together with the first shards, so that a mapping that is stopped
before its first record goes on from the moment of its first start (12-19).
"""

from __future__ import annotations

from collections.abc import Sequence

from pollers.errors import SourceError
from pollers.flow.records import Grant, Partition, Progress, Resume
from pollers.spi import Row, Store

__all__ = ["OWN", "Positions"]

OWN = Partition("")  # the partition of the mapping's own row


class Positions:
    """The rows of one mapping."""

    def __init__(self, store: Store, mapping: str, owner: str) -> None:
        self.own: Row | None = None  # the mapping's own row
        self.rows: dict[Partition, Row] = {}  # as they were loaded or created: what they resume from, never newer
        self._store = store
        self._mapping = mapping
        self._owner = owner

    async def load(self) -> None:
        """Read every row anew."""
        rows = {row.partition: row for row in await self._store.load(self._mapping)}
        self.own = rows.pop(OWN, None)
        self.rows = rows

    async def begin(self, own: Row, rows: Sequence[Row]) -> None:
        """Write the rows of the first discovery, all or none. A row of the mapping that is there already stays."""
        await self.add([own, *rows])
        self.own = self.own or own

    async def add(self, rows: Sequence[Row]) -> None:
        """Write the rows of shards that nobody knew."""
        await self._store.create(self._mapping, rows)
        self.rows.update((row.partition, row) for row in rows if row.partition != OWN)

    async def take(self, partitions: Sequence[Partition]) -> list[Grant]:
        """Own these shards from now on: a grant for each, with where to go on."""
        rows = await self._store.take(self._mapping, partitions, self._owner)
        self.rows.update((row.partition, row) for row in rows)
        return [Grant(row.partition, row.tenure, Resume(row.safe, row.above, row.state)) for row in rows]

    async def save(self, grant: Grant, progress: Progress) -> None:
        """Write how far a shard is. Raises `LostGrant` when it was taken by somebody else."""
        row = Row(
            grant.partition,
            safe=progress.safe,
            above=progress.above,
            state=progress.state,
            finished=progress.finished,
            tenure=grant.generation,
        )
        await self._store.save(self._mapping, row)

    async def forget(self, partitions: Sequence[Partition]) -> None:
        """These shards are no more."""
        await self._store.remove(self._mapping, partitions)
        for partition in partitions:
            self.rows.pop(partition, None)

    def check_origin(self, stream: str, origin: str) -> None:
        """Raises `SourceError` where the positions are those of an earlier stream of this name (fault: made anew)."""
        known = {row.origin for row in (self.own, *self.rows.values()) if row is not None and row.origin}
        if not known or origin in known:
            return
        raise SourceError(
            stream,
            f"the positions of {self._mapping} belong to an earlier stream of this name, which was deleted",
            f"Start anew with 'pollers seek FILE {self._mapping} --to TRIM_HORIZON', or give the mapping another name.",
        )
