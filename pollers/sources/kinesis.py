"""Kinesis Data Streams on shared throughput: ListShards, GetShardIterator, GetRecords. Order, lineage and positions are
those of `sources.shards`; `kinesis_shape` knows the event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from pollers.aws.arn import Arn, partition_of
from pollers.aws.client import Client, Clients
from pollers.aws.errors import CallFailed
from pollers.clock import Clock
from pollers.errors import ConfigurationError, Problem
from pollers.flow.lineage import Shard
from pollers.flow.records import Partition
from pollers.sources.kinesis_shape import KinesisShape
from pollers.sources.shards.discovery import LATEST
from pollers.sources.shards.pace import Paces
from pollers.sources.shards.source import Lanes, ShardSource
from pollers.sources.shards.stream import Answer, Habits, Where
from pollers.spi import Store

__all__ = ["KinesisSource"]

Start: TypeAlias = Literal["TRIM_HORIZON", "LATEST"] | datetime

# AWS: 5 reads and 2 MB a second of one shard, 10,000 records of one read (8-6); about one read a second (3.2-8). A
# little slower than 5 here: reads arrive less evenly than they are sent.
_HABITS: Final = Habits(by_time=True, poll=1.0, interval=0.22, bytes_per_second=2 << 20, page=1_000, far_page=10_000)
_LISTED: Final = 1_000  # shards of one answer


class KinesisSource(ShardSource):
    """Records of one stream, shard by shard.

    - `stream` is its ARN or its name; region, endpoint and credentials come from where botocore's users keep them.
    - `store`: where positions are kept: `SqliteStore(path)`, or `MemoryStore()` to keep none beyond the process.
    - `starting_position`: where a mapping begins that never read the stream: "TRIM_HORIZON" (the oldest record),
      "LATEST" (what comes from now on), or a moment.
    - `parallelization_factor`: 1 to 10 batches of a shard at once, records of one partition key in order.
    - `lanes`: what is kept in order: the "shard" (as above), each "key" by itself, or "none".
    - `idle_poll`: seconds between two reads of a quiet shard at most.
    - `clients` and `paces` are shared by the sources of a process; without them the source has its own.
    """

    def __init__(
        self,
        stream: str,
        *,
        store: Store,
        region: str | None = None,
        starting_position: Start = "TRIM_HORIZON",
        parallelization_factor: int = 1,
        lanes: Lanes = "shard",
        idle_poll: float = 5.0,
        clients: Clients | None = None,
        paces: Paces | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Raises ConfigurationError where `stream` names none."""
        shared = clients or Clients()
        port = _KinesisStream(stream, region, shared)
        super().__init__(
            port,
            port.requests,
            start=_start(starting_position),
            parallelization_factor=parallelization_factor,
            lanes=lanes,
            idle_poll=idle_poll,
            store=store,
            clients=shared,
            owns_clients=clients is None,
            paces=paces or Paces(),
            clock=clock or Clock(),
        )


def _start(position: Start) -> float | None:
    if isinstance(position, datetime):
        return (position if position.tzinfo else position.replace(tzinfo=UTC)).timestamp()
    return LATEST if position == "LATEST" else None


class _KinesisStream:
    """The calls of one stream."""

    name = "kinesis"
    habits = _HABITS

    def __init__(self, stream: str, region: str | None, clients: Clients) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        named = _parse(stream, region)
        region = named.region if named is not None else region
        self.arn = stream
        self.retention: float | None = None
        self._named: dict[str, str] = {"StreamARN": stream} if named is not None else {"StreamName": stream}
        self._read: Client = clients.get("kinesis", region, "read")
        self._call: Client = clients.get("kinesis", region)
        self.shape = self._shape_of(named, region or "")

    def _shape_of(self, arn: Arn | None, region: str) -> KinesisShape:
        partition, account = (arn.partition, arn.account) if arn is not None else (partition_of(region), "")
        # The event names the role of a Lambda function; outside Lambda there is none.
        return KinesisShape(self.arn, region, f"arn:{partition}:iam::{account or '000000000000'}:role/pollers")

    async def open(self) -> str:
        answer = await self._ask(self._call, "DescribeStreamSummary", **self._named)
        summary = answer["StreamDescriptionSummary"]
        self.arn = summary["StreamARN"]
        self.retention = summary.get("RetentionPeriodHours", 24) * 3_600.0
        self.shape = self._shape_of(Arn.parse(self.arn), self._call.region)
        created = summary.get("StreamCreationTimestamp")
        return "" if created is None else str(_seconds(created))

    async def shards(self, after: Partition | None = None) -> list[Shard]:
        which: dict[str, Any] = dict(self._named)
        if after is not None:
            which["ShardFilter"] = {"Type": "AFTER_SHARD_ID", "ShardId": after}
        shards: list[Shard] = []
        while True:
            answer = await self._ask(self._call, "ListShards", MaxResults=_LISTED, **which)
            shards += map(_shard, answer["Shards"])
            token = answer.get("NextToken")
            if not token:
                return shards
            which = {"NextToken": token}  # AWS: the token knows the stream, which must not be named besides

    async def iterator(self, partition: Partition, where: Where) -> str:
        which: dict[str, Any] = {"ShardId": partition, "ShardIteratorType": where.kind}
        if where.kind == "AFTER_SEQUENCE_NUMBER":
            which["StartingSequenceNumber"] = str(where.sequence)
        elif where.kind == "AT_TIMESTAMP":
            which["Timestamp"] = where.moment
        answer = await self._ask(self._read, "GetShardIterator", **self._named, **which)
        return str(answer["ShardIterator"])

    async def records(self, iterator: str, limit: int) -> Answer:
        named = {"StreamARN": self.arn} if "StreamARN" in self._named else {}
        answer = await self._ask(self._read, "GetRecords", ShardIterator=iterator, Limit=limit, **named)
        behind = answer.get("MillisBehindLatest")
        children = answer.get("ChildShards")
        return Answer(
            answer["Records"],
            answer.get("NextShardIterator"),
            int(answer["ResponseMetadata"]["HTTPHeaders"].get("content-length", 0)),
            None if behind is None else behind / 1_000,
            tuple(map(_child, children)) if children else (),
        )

    async def _ask(self, client: Client, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            answer = await client.call(operation, **parameters)
        except CallFailed as failure:
            self.requests[operation, failure.outcome] += 1
            raise
        self.requests[operation, "ok"] += 1
        return answer


def _parse(stream: str, region: str | None) -> Arn | None:
    """The stream's ARN; None for a bare name."""
    if not stream.startswith("arn:"):
        return None
    try:
        arn = Arn.parse(stream)
    except ValueError as error:
        raise ConfigurationError([Problem("stream", f"{error}.")]) from None
    kind, _, name = arn.resource.partition("/")
    if arn.service != "kinesis" or kind != "stream" or not name or "/" in name:
        message = f"{stream} is not the ARN of a Kinesis stream."
        raise ConfigurationError([Problem("stream", message, "One ends in :stream/NAME.")])
    if region and region != arn.region:
        message = f"{stream} is in {arn.region}, and the region given is {region}."
        raise ConfigurationError([Problem("region", message, "Leave the region out.")])
    return arn


def _shard(listed: Mapping[str, Any]) -> Shard:
    parents = (listed.get("ParentShardId"), listed.get("AdjacentParentShardId"))
    closed = "EndingSequenceNumber" in listed["SequenceNumberRange"]
    return Shard(Partition(listed["ShardId"]), tuple(Partition(one) for one in parents if one), closed)


def _child(named: Mapping[str, Any]) -> Shard:
    return Shard(Partition(named["ShardId"]), tuple(map(Partition, named["ParentShards"])))


def _seconds(moment: datetime | float) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)
