"""The calls of a Kinesis stream: DescribeStreamSummary, ListShards, GetShardIterator, GetRecords."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from pollers.aws.arn import Arn, partition_of
from pollers.aws.client import Client, Clients
from pollers.aws.errors import CallFailed
from pollers.errors import ConfigurationError, Problem
from pollers.flow.lineage import Shard
from pollers.flow.records import Partition
from pollers.sources.kinesis_shape import KinesisShape
from pollers.sources.shards.stream import Answer, Habits, Where

__all__ = ["KinesisStream", "child_shard", "role_of"]

T = TypeVar("T")

# AWS: 5 reads and 2 MB a second of one shard, 10,000 records of one read (8-6); about one read a second (3.2-8). A
# little slower than 5 here: reads arrive less evenly than they are sent.
_HABITS: Final = Habits(by_time=True, poll=1.0, interval=0.22, bytes_per_second=2 << 20, page=1_000, far_page=10_000)
_LISTED: Final = 1_000  # shards of one answer


class KinesisStream:
    """The calls of one stream."""

    name = "kinesis"
    habits = _HABITS

    def __init__(self, stream: str, region: str | None, clients: Clients) -> None:
        """`stream`: its ARN or its name. Raises ConfigurationError."""
        self.requests: Counter[tuple[str, str]] = Counter()
        named = _parse(stream, region)
        region = named.region if named is not None else region
        self.arn = stream
        self.retention: float | None = None
        self._named: dict[str, str] = {"StreamARN": stream} if named is not None else {"StreamName": stream}
        self._read: Client = clients.get("kinesis", region, "read")
        self._call: Client = clients.get("kinesis", region)
        self.shape = KinesisShape(stream, region or "", role_of(named, region or ""))

    async def open(self) -> str:
        answer = await self._ask(self._call, "DescribeStreamSummary", **self._named)
        summary = answer["StreamDescriptionSummary"]
        self.retention = summary.get("RetentionPeriodHours", 24) * 3_600.0
        self._know(Arn.parse(summary["StreamARN"]))
        created = summary.get("StreamCreationTimestamp")
        return "" if created is None else str(_seconds(created))

    def _know(self, stream: Arn) -> None:
        """The stream's ARN is known."""
        self.arn = str(stream)
        self.shape = KinesisShape(self.arn, self._call.region, role_of(stream, self._call.region))

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
        if where.kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            which["StartingSequenceNumber"] = str(where.sequence)
        elif where.kind == "AT_TIMESTAMP":
            which["Timestamp"] = where.moment
        answer = await self._ask(self._read, "GetShardIterator", **self._named, **which)
        return str(answer["ShardIterator"])

    async def records(self, iterator: str, limit: int) -> Answer:
        named = self._named if "StreamARN" in self._named else {}
        answer = await self._ask(self._read, "GetRecords", ShardIterator=iterator, Limit=limit, **named)
        behind = answer.get("MillisBehindLatest")
        children = answer.get("ChildShards")
        return Answer(
            answer["Records"],
            answer.get("NextShardIterator"),
            int(answer["ResponseMetadata"]["HTTPHeaders"].get("content-length", 0)),
            None if behind is None else behind / 1_000,
            tuple(map(child_shard, children)) if children else (),
        )

    async def _ask(self, client: Client, operation: str, **parameters: Any) -> dict[str, Any]:
        return await self._count(operation, client.call(operation, **parameters))

    async def _count(self, operation: str, call: Awaitable[T]) -> T:
        try:
            answer = await call
        except CallFailed as failure:
            self.requests[operation, failure.outcome] += 1
            raise
        self.requests[operation, "ok"] += 1
        return answer


def role_of(arn: Arn | None, region: str) -> str:
    """The event names the role of a Lambda function; outside Lambda there is none."""
    partition, account = (arn.partition, arn.account) if arn is not None else (partition_of(region), "")
    return f"arn:{partition}:iam::{account or '000000000000'}:role/pollers"


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
        remedy = "One ends in :stream/NAME, that of a consumer of one in :stream/NAME/consumer/NAME:TIMESTAMP."
        raise ConfigurationError([Problem("stream", message, remedy)])
    if region and region != arn.region:
        message = f"{stream} is in {arn.region}, and the region given is {region}."
        raise ConfigurationError([Problem("region", message, "Leave the region out.")])
    return arn


def _shard(listed: Mapping[str, Any]) -> Shard:
    parents = (listed.get("ParentShardId"), listed.get("AdjacentParentShardId"))
    closed = "EndingSequenceNumber" in listed["SequenceNumberRange"]
    return Shard(Partition(listed["ShardId"]), tuple(Partition(one) for one in parents if one), closed)


def child_shard(named: Mapping[str, Any]) -> Shard:
    return Shard(Partition(named["ShardId"]), tuple(map(Partition, named["ParentShards"])))


def _seconds(moment: datetime | float) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)
