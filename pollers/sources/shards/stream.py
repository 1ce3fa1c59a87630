"""What Kinesis and DynamoDB Streams do differently, as one port: the calls, and the habits of reading as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pollers.flow.lineage import Shard
from pollers.flow.records import Partition, Raw, Shape

__all__ = ["Answer", "Habits", "Stream", "StreamShape", "Where"]


class StreamShape(Shape, Protocol):
    """How a stream's records look; in addition how much larger an event's record is than the wire's."""

    frame: int  # bytes that a record takes in an event beyond what it took on the wire, at most


@dataclass(frozen=True, slots=True)
class Where:
    """From where an iterator reads."""

    kind: Literal["TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP"]
    sequence: int = 0  # the record with which, or after which, reading begins
    moment: float = 0.0  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Answer:
    """What one GetRecords brought."""

    records: Sequence[Raw]
    following: str | None  # the iterator to go on with; None: the shard is closed and was read to its end
    nbytes: int  # of the answer on the wire
    behind: float | None = None  # seconds behind the newest record; None where the service does not say
    children: tuple[Shard, ...] = ()  # at the end, where the service names them


@dataclass(frozen=True, slots=True)
class Habits:
    """How a service wants to be read."""

    by_time: bool  # iterators can begin at a moment
    poll: float  # seconds between two reads of a shard that has caught up. AWS: 3.2-8
    interval: float  # seconds between any two reads of a shard, by whoever reads it in this process
    bytes_per_second: int | None  # of one shard; None: no limit is known
    page: int  # records of one read, ordinarily
    far_page: int  # while far behind


class Stream(Protocol):
    """One stream of a service. Every call raises `CallFailed`."""

    name: str  # "kinesis"
    arn: str  # known once opened
    habits: Habits
    retention: float | None  # seconds; None: the service says by itself that a position was trimmed

    @property
    def shape(self) -> StreamShape:
        """How its records look; final once opened."""

    async def open(self) -> str:
        """Check that the stream can be read. Returns what tells it from an earlier stream of its name.

        May be called again, to see whether the stream is still there and still the same.
        """

    async def shards(self, after: Partition | None = None) -> list[Shard]:
        """Every shard that it has, closed ones included; with `after` at least those that were made after that one."""

    async def iterator(self, partition: Partition, where: Where) -> str:
        """An iterator for a shard."""

    async def records(self, iterator: str, limit: int) -> Answer:
        """Up to `limit` records."""
