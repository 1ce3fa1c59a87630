"""Finds a stream's shards and says which of them may be read: listings, lineage and rows brought together.

Shards are listed at the start, again when one has ended and its children are not known, and rarely besides. The
decisions are `flow.lineage`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pollers.aws.errors import CallFailed, Kind
from pollers.flow.lineage import Lineage, Shard
from pollers.flow.records import Partition
from pollers.sources.shards.positions import OWN, Positions
from pollers.sources.shards.stream import Stream, Where
from pollers.spi import Row

__all__ = ["LATEST", "Discovery"]

LATEST: Final = -1.0  # as a starting position: the moment of the first discovery
AUDIT: Final = 60.0  # seconds between two full listings without a reason
AGAIN: Final = 0.5, 10.0  # seconds between listings for children that do not show, and at most


class Discovery:
    """The shards of one stream for one mapping."""

    def __init__(
        self,
        stream: Stream,
        positions: Positions,
        start: float | None,
        time: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """`start`: a moment to begin at, LATEST, or None for the oldest record of each shard."""
        self.fresh = False  # this run made the mapping's first discovery
        self._stream = stream
        self._positions = positions
        self._start = start
        self._time = time
        self._wall = wall
        self._lineage = Lineage()
        self._childless: dict[Partition, int] = {}  # ended, children not known yet: listings made for them
        self._listed_at = 0.0
        self._due = 0.0  # monotonic: the next listing

    async def begin(self, origin: str) -> None:
        """Learn what the store and the stream have. Raises `CallFailed` and what the store raises."""
        self.fresh = False
        self._lineage = Lineage()
        self._childless.clear()
        rows: Sequence[Row] = await self._positions.load()
        self._positions.check_origin(self._stream.arn, origin)
        listed = await self._stream.shards()
        begun = [row.partition for row in rows if _begun(row)]
        if not rows:
            rows = await self._first(origin, listed)
        for row in rows:
            self._lineage.add(row.partition, row.parents, finished=row.finished)
        self._lineage.pass_over(begun, listed)
        await self._learn(listed)
        self._listed()

    async def _first(self, origin: str, listed: Sequence[Shard]) -> list[Row]:
        """The only discovery that knows the starting position. AWS: it matters while there is no checkpoint (8-1, 8-3).

        With LATEST a shard that is closed already holds nothing that came later.
        """
        own = self._positions.own
        start = own.start if own is not None else self._start
        latest = start == LATEST
        if latest:
            start = self._wall()
        self.fresh = latest
        rows = [
            Row(shard.partition, start=start, finished=latest and shard.closed, parents=shard.parents, origin=origin)
            for shard in listed
        ]
        await self._positions.begin(Row(OWN, start=start, origin=origin), rows)
        return rows

    # Later

    def due(self) -> float:
        """Monotonic: when to look again."""
        return self._due

    def ended(self, partition: Partition, children: Iterable[Shard]) -> list[Shard]:
        """A shard was read to its end. Returns the children that were not known; `learn` takes them in."""
        new = self._lineage.unknown(children)
        if not new and self._lineage.expecting(partition):
            self._childless.setdefault(partition, 0)
            self._due = min(self._due, self._time())
        return new

    async def learn(self, shards: Sequence[Shard]) -> None:
        """Take in shards that the service named."""
        await self._learn(shards)
        self._settle_childless()

    async def look(self) -> None:
        """List again, where that is due: what is new first, everything when that does not help."""
        now = self._time()
        if now < self._due:
            return
        # Ids grow with time, so that what is new stands behind the newest.
        full = now - self._listed_at >= AUDIT or any(times % 3 == 2 for times in self._childless.values())
        listed = await self._stream.shards(None if full else self._lineage.newest())
        await self._learn(listed)
        if full:
            await self._forget(listed)
            self._listed()
        self._settle_childless()

    async def _learn(self, shards: Sequence[Shard]) -> None:
        """Rows for shards that nobody knew, from their beginning (8-4); and what became of parents nobody has."""
        new = self._lineage.unknown(shards)
        await self._add(new)
        for parent in self._lineage.missing():
            if await self._exists(parent):
                await self._add([Shard(parent)])  # a listing that was not complete
            else:
                self._lineage.gone(parent)

    async def _add(self, shards: Sequence[Shard]) -> None:
        if not shards:
            return
        await self._positions.add([Row(shard.partition, parents=shard.parents) for shard in shards])
        for shard in shards:
            self._lineage.add(shard.partition, shard.parents)

    async def _exists(self, partition: Partition) -> bool:
        """Whether the stream still has a shard that it did not list."""
        try:
            await self._stream.iterator(partition, Where("TRIM_HORIZON"))
        except CallFailed as failure:
            if failure.kind is Kind.MISSING:
                return False
            raise
        return True

    async def _forget(self, listed: Iterable[Shard]) -> None:
        old = self._lineage.forgettable({shard.partition for shard in listed})
        if old:
            await self._positions.forget(old)
            self._lineage.forget(old)

    def _listed(self) -> None:
        self._listed_at = self._time()
        self._due = self._listed_at + AUDIT

    def _settle_childless(self) -> None:
        """When to list again for those whose children did not show. A stream that is disabled has none to show."""
        waiting = {one: times + 1 for one, times in self._childless.items() if self._lineage.expecting(one)}
        self._childless = waiting
        self._due = self._listed_at + AUDIT
        if waiting:
            first, most = AGAIN
            pause = min(first * 2.0 ** min(min(waiting.values()) - 1, 20), most)
            self._due = min(self._due, self._time() + pause)

    # Which may be read

    def see(self, rows: Iterable[Row]) -> None:
        """Take in what others found and finished, as the store has it."""
        for row in rows:
            if row.partition == OWN:
                continue
            self._lineage.add(row.partition, row.parents)
            if row.finished and not self._lineage.is_finished(row.partition):
                self._lineage.finish(row.partition)
                self.ended(row.partition, ())

    def lacks(self, rows: Iterable[Row]) -> bool:
        """Whether the store has lost shards that are still to be read: a mapping was set back as a whole."""
        return self._lineage.unfinished() - {row.partition for row in rows} != set()

    def ready(self, rows: Iterable[Row]) -> list[Row]:
        """Those of these rows whose shards may be read now, by whomever."""
        return [row for row in rows if row.partition != OWN and self._lineage.ready(row.partition)]

    def startable(self) -> list[Partition]:
        """Shards that may be read from now on and are not."""
        return self._lineage.startable()

    def started(self, partition: Partition) -> str:
        """It is being read. Returns what there is to know about its parents."""
        self._lineage.start(partition)
        gone = self._lineage.orphaned(partition)
        if not gone:
            return ""
        return f"{' and '.join(gone)}, from which it came, had left the stream before; what it held cannot be read"

    def stopped(self, partition: Partition) -> None:
        """It is not read any more, and may be again."""
        self._lineage.stop(partition)

    def finished(self, partition: Partition) -> bool:
        """Everything in it is processed; whether children may start now."""
        return bool(self._lineage.finish(partition))


def _begun(row: Row) -> bool:
    """Whether somebody has read of a shard, or has chosen a moment in it: where we did, its parents have rows."""
    progress = row.finished or row.safe is not None or bool(row.above)
    return progress or (row.start is not None and not row.saved)
