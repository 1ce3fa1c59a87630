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
        self.own: Row | None = None  # the mapping's own row, once loaded
        self._origin = ""  # of the rows, where they say one
        self._store = store
        self._mapping = mapping
        self.owner = owner  # our name among those who share the mapping

    async def load(self) -> list[Row]:
        """The rows of the shards that the mapping knows."""
        rows = await self._store.load(self._mapping)
        self.own = next((row for row in rows if row.partition == OWN), None)
        self._origin = next((row.origin for row in rows if row.origin), "")
        return [row for row in rows if row.partition != OWN]

    async def begin(self, own: Row, rows: Sequence[Row]) -> None:
        """Write the rows of the first discovery, all or none. A row of the mapping that is there already stays."""
        await self._store.create(self._mapping, [own, *rows])
        self.own, self._origin = self.own or own, own.origin

    async def add(self, rows: Sequence[Row]) -> None:
        """Write the rows of shards that nobody knew."""
        await self._store.create(self._mapping, rows)

    async def take(self, rows: Sequence[Row]) -> list[tuple[Grant, Row]]:
        """Own these shards from now on: a grant for each that nobody was quicker to take, and its row."""
        taken = await self._store.take(self._mapping, rows, self.owner)
        return [(Grant(row.partition, row.tenure, Resume(row.safe, row.above, row.state)), row) for row in taken]

    async def renew(self, grants: Sequence[Grant]) -> dict[Partition, Row]:
        """Say that these are in use. Returns the rows of those that are still ours."""
        return {row.partition: row for row in await self._store.renew(self._mapping, _rows(grants))}

    async def ask(self, rows: Sequence[Row]) -> None:
        """Ask the owners of these for them."""
        await self._store.ask(self._mapping, rows, self.owner)

    async def leave(self, grants: Sequence[Grant]) -> None:
        """Give these up."""
        await self._store.leave(self._mapping, _rows(grants))

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

    def check_origin(self, stream: str, origin: str) -> None:
        """Raises `SourceError` where the positions are those of an earlier stream of this name (fault: made anew)."""
        if self._origin in ("", origin):
            return
        raise SourceError(
            stream,
            f"the positions of {self._mapping} belong to an earlier stream of this name, which was deleted",
            f"Start anew with 'pollers seek FILE {self._mapping} --to TRIM_HORIZON', or give the mapping another name.",
        )


def _rows(grants: Sequence[Grant]) -> list[Row]:
    return [Row(grant.partition, tenure=grant.generation) for grant in grants]
