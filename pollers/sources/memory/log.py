"""A stream inside the process: partitions of records in Kinesis's shape, and how far each group of readers has come."""

from __future__ import annotations

import asyncio
import hashlib
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from pollers.errors import LostGrant
from pollers.flow.records import Grant, Partition, Position, Progress, Range, Raw, Resume
from pollers.sources.kinesis_shape import KinesisShape

__all__ = ["Bookmark", "MemoryLog", "Shard"]


class Shard:
    """The records of one partition, and who waits for more."""

    def __init__(self) -> None:
        self.records: list[Raw] = []
        self.numbers: list[int] = []  # sequence numbers, ascending
        self.nbytes: list[int] = [0]  # of the first n records in an event, an upper bound
        self.closed = False
        self._waiting: dict[asyncio.Future[None], None] = {}

    async def changed(self) -> None:
        """Return once it has more records, was closed, or changed hands."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            await future
        finally:
            self._waiting.pop(future, None)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


class Bookmark:
    """How far one group has come in one partition, and who holds it for the group."""

    def __init__(self, partition: Partition, shard: Shard, safe: Position | None) -> None:
        self.safe = safe
        self.above: tuple[Range, ...] = ()
        self.state: Mapping[str, Any] | None = None
        self.finished = False
        self.grant: Grant | None = None  # of the owner
        self._partition = partition
        self._shard = shard
        self._generation = 0
        self._lost: Callable[[Grant], None] = _nobody

    @property
    def resume(self) -> Resume:
        """What is settled."""
        return Resume(self.safe, self.above, self.state)

    def take(self, lost: Callable[[Grant], None]) -> Grant:
        """Own the partition until `lost` is called; the owner before loses it."""
        self.drop()
        self._generation += 1
        self._lost = lost
        self.grant = Grant(self._partition, self._generation, self.resume)
        return self.grant

    def drop(self) -> None:
        """The owner, if there is one, loses the partition at once."""
        if self.grant is not None:
            grant, self.grant = self.grant, None
            self._lost(grant)
            self._shard.wake()

    def leave(self, grant: Grant) -> None:
        """The owner gives the partition up; nothing if it is no longer the owner."""
        if self.grant is grant:
            self.grant = None
            self._shard.wake()

    def check(self, grant: Grant) -> None:
        """Raises `LostGrant` unless the grant is the owner's."""
        if self.grant is not grant:
            raise LostGrant(f"{self._partition} was given up or taken over. Read and settle nothing more of it.")

    def settle(self, grant: Grant, progress: Progress) -> None:
        """Keep what the owner has finished. Raises `LostGrant`."""
        self.check(grant)
        if progress.safe is not None:
            self.safe = progress.safe
        self.above = progress.above
        self.state = progress.state
        self.finished = progress.finished


class MemoryLog:
    """Records in partitions, in the order put. Any number of groups read it, each at a position of its own.

    Call it from the thread of the loop that reads it. Records and positions live as long as the log.
    """

    def __init__(self, name: str = "stream", partitions: int = 1, *, wall: Callable[[], float] = time.time) -> None:
        if partitions < 1:
            raise ValueError(f"A log has at least one partition, not {partitions}.")
        self.name = name
        self.arn = f"arn:aws:kinesis:memory:000000000000:stream/{name}"
        self.shape = KinesisShape(self.arn, "memory", "arn:aws:iam::000000000000:role/pollers")
        self._wall = wall  # gives arrival timestamps
        self._shards = {Partition(f"shardId-{number:012d}"): Shard() for number in range(partitions)}
        self._bookmarks: dict[tuple[str, Partition], Bookmark] = {}
        self._last = 0  # the sequence number given last

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Their names, as events have them."""
        return tuple(self._shards)

    def put(self, data: bytes | str, key: str, partition: str | None = None) -> str:
        """Append a record and return its sequence number. Text is stored as UTF-8.

        The partition follows from the key, as in Kinesis, unless it is named. Raises ValueError if it is closed.
        """
        named = self._choose(key) if partition is None else Partition(partition)
        shard = self.shard(named)
        if shard.closed:
            raise ValueError(f"{self.name}: {named} is closed.")
        self._last += 1
        record = {
            "SequenceNumber": str(self._last),
            "ApproximateArrivalTimestamp": round(self._wall(), 3),
            "Data": b64encode(data.encode() if isinstance(data, str) else data).decode("ascii"),
            "PartitionKey": key,
        }
        shard.records.append(record)
        shard.numbers.append(self._last)
        shard.nbytes.append(shard.nbytes[-1] + self.shape.size_bound(record))
        shard.wake()
        return str(self._last)

    def close_partition(self, partition: str) -> None:
        """Let the partition end after its last record, as resharding does."""
        shard = self.shard(partition)
        shard.closed = True
        shard.wake()

    def resume(self, partition: str, group: str = "default") -> Resume:
        """What the group has settled."""
        bookmark = self._settled(partition, group)
        return Resume() if bookmark is None else bookmark.resume

    def finished(self, partition: str, group: str = "default") -> bool:
        """Whether the partition is closed and the group has settled all of it."""
        bookmark = self._settled(partition, group)
        return bookmark is not None and bookmark.finished

    def shard(self, partition: str) -> Shard:
        """The records of a partition. Raises ValueError for a name that no partition has."""
        shard = self._shards.get(Partition(partition))
        if shard is None:
            raise ValueError(f"{self.name} has no partition {partition!r}, only {', '.join(self._shards)}.")
        return shard

    def bookmark(self, partition: str, group: str, *, latest: bool) -> Bookmark:
        """The group's, made when it first starts. Ours (12-19): what LATEST means is decided then, for good."""
        bookmark = self._settled(partition, group)
        if bookmark is None:
            safe = (self._last, 0) if latest and self._last else None
            bookmark = Bookmark(Partition(partition), self.shard(partition), safe)
            self._bookmarks[group, Partition(partition)] = bookmark
        return bookmark

    def _settled(self, partition: str, group: str) -> Bookmark | None:
        self.shard(partition)
        return self._bookmarks.get((group, Partition(partition)))

    def _choose(self, key: str) -> Partition:
        """AWS: by the MD5 of the key, each shard an equal share of its range."""
        digest = int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest(), "big")
        return self.partitions[digest * len(self._shards) >> 128]


def _nobody(grant: Grant) -> None:
    """Told of the loss before there is an owner."""
