"""Reads a log in memory as Kinesis is read, and hands its partitions over when a test wants that."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from pollers.flow.records import Delivery, Grant, Page, Partition, Progress, Shape
from pollers.sources.memory.announcements import Announcements
from pollers.sources.memory.log import Bookmark, MemoryLog
from pollers.spi import Change, Granted, Lost, Revoked

__all__ = ["MemoryLogSource"]

Lanes: TypeAlias = Literal["shard", "key", "none"]


class MemoryLogSource:
    """Reads a `MemoryLog` as Kinesis is read.

    - `parallelization_factor`: 1 to 10 lanes per partition, by hash of the key; a single one is the partition itself.
    - `lanes`: what is kept in order: the "shard" (as above), each "key" by itself, or "none".
    - `starting_position`: where a group begins that never read before: "TRIM_HORIZON" or "LATEST".
    - `group`: under which name positions are kept. A source takes partitions over from others of its group.
    - `partitions`: the ones to take at first; by default all. `take`, `revoke` and `lose` move them afterwards.
    - `page`: records of one read at most; `settle_every`: seconds between two settlements of a partition.
    """

    name = "kinesis"

    def __init__(
        self,
        log: MemoryLog,
        *,
        parallelization_factor: int = 1,
        lanes: Lanes = "shard",
        starting_position: Literal["TRIM_HORIZON", "LATEST"] = "TRIM_HORIZON",
        group: str = "default",
        partitions: Iterable[str] | None = None,
        page: int = 1_000,
        settle_every: float = 1.0,
    ) -> None:
        self.log = log
        self.arn = log.arn
        self.shape: Shape = log.shape
        self.delivery = _log_delivery(lanes, parallelization_factor, page, settle_every)
        self.warnings: Sequence[str] = ()
        self.ours_until = math.inf
        self._requests: Counter[tuple[str, str]] = Counter()
        self.requests: Mapping[tuple[str, str], int] = self._requests
        self._latest = starting_position == "LATEST"
        self._group = group
        wanted = log.partitions if partitions is None else map(Partition, partitions)
        self._wanted: dict[Partition, None] = dict.fromkeys(wanted)
        self._next: dict[Grant, int] = {}  # index of the record to read next, of each grant that is ours
        self._changes = Announcements()

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        """A log in memory is read alike, whatever the mapping asks for."""

    async def open(self) -> None:
        """Fix where the group starts, if it never did."""
        for partition in self._wanted:
            self._bookmark(partition)

    async def changes(self) -> AsyncIterator[Change]:
        """The partitions taken; later what `take`, `revoke` and `lose` did, and what other sources took over."""
        changes = self._changes.begin()
        for partition in list(self._wanted):
            self._grant(partition)
        while (change := await changes.get()) is not None:
            yield change

    def stop(self) -> None:
        """No partitions come by themselves."""

    async def read(self, grant: Grant, limit: int) -> Page:
        """The next records, at most `limit` and a page; waits for one, or for the partition's end.

        Raises `LostGrant` when the partition is no longer ours.
        """
        bookmark, shard = self._bookmark(grant.partition), self.log.shard(grant.partition)
        bookmark.check(grant)
        start = self._next[grant]
        while start == len(shard.records) and not shard.closed:
            await shard.changed()
            bookmark.check(grant)
        stop = min(start + limit, start + self.delivery.page, len(shard.records))
        self._next[grant] = stop
        self._requests["GetRecords", "ok"] += 1
        records = shard.records[start:stop]
        arrived = self.shape.arrived
        return Page(
            records,
            nbytes=shard.nbytes[stop] - shard.nbytes[start],
            position=(shard.numbers[stop - 1], 0) if records else None,
            behind=arrived(shard.records[-1]) - arrived(records[-1]) if records else 0.0,
            end=shard.closed and stop == len(shard.records),
        )

    async def settle(self, grant: Grant, progress: Progress) -> None:
        """Keep the position for the group. Raises `LostGrant` when the partition is no longer ours."""
        self._bookmark(grant.partition).settle(grant, progress)

    async def keep(self, grant: Grant) -> None:
        """Nothing of a log in memory runs out."""

    async def release(self, grant: Grant) -> None:
        """Give the partition up; another source of the group may take it."""
        self._next.pop(grant, None)
        self._bookmark(grant.partition).leave(grant)

    async def close(self) -> None:
        """Give everything up."""
        for grant in list(self._next):
            await self.release(grant)
        self._changes.close()

    # Hand-over, for tests of it

    def take(self, partition: str) -> None:
        """Own the partition from now on: it is granted here, and lost to the source that had it."""
        named = Partition(partition)
        self._bookmark(named)
        self._wanted[named] = None
        if self._changes.heard:
            self._grant(named)

    def revoke(self, partition: str, deadline: float) -> None:
        """Ask for the partition back until `deadline` (loop time); it is free once it was released."""
        grant = self._own(partition)
        if grant is not None:
            self._changes.tell(Revoked(grant, deadline))

    def lose(self, partition: str) -> None:
        """Lose the partition at once, as to a new owner: nothing of it can be settled here any more."""
        if self._own(partition) is not None:
            self._bookmark(partition).drop()

    def _own(self, partition: str) -> Grant | None:
        """The grant of a partition that is about to go, if it is ours."""
        self._wanted.pop(Partition(partition), None)
        grant = self._bookmark(partition).grant
        return grant if grant in self._next else None

    def _bookmark(self, partition: str) -> Bookmark:
        return self.log.bookmark(partition, self._group, latest=self._latest)

    def _grant(self, partition: Partition) -> None:
        bookmark = self._bookmark(partition)
        if bookmark.finished:
            return
        grant = bookmark.take(self._lost)
        self._wanted[partition] = None  # the owner that lost it may have been this source
        safe = grant.resume.safe
        self._next[grant] = 0 if safe is None else bisect_right(self.log.shard(partition).numbers, safe[0])
        self._changes.tell(Granted(grant))

    def _lost(self, grant: Grant) -> None:
        self._wanted.pop(grant.partition, None)
        self._next.pop(grant, None)
        self._changes.tell(Lost(grant))


def _log_delivery(lanes: Lanes, factor: int, page: int, settle_every: float) -> Delivery:
    """Kinesis's row of the table of sources."""
    if not 1 <= factor <= 10:
        raise ValueError(f"parallelization_factor is {factor}; it is 1 to 10.")
    if factor > 1 and lanes != "shard":
        raise ValueError(f'parallelization_factor divides shards; with lanes="{lanes}" leave it out.')
    lane: Literal["partition", "hash", "key", "none"] = "partition"
    if lanes != "shard":
        lane = lanes
    elif factor > 1:
        lane = "hash"
    return Delivery(
        lane=lane,
        slots=factor if lanes == "shard" else None,
        mixed=lanes != "shard",
        spans=False,
        redelivers=False,
        page=page,
        oversize="attempt",
        settle_every=settle_every,
    )
