"""DynamoDB Streams: DescribeStream, GetShardIterator, GetRecords. Order, lineage and positions are those of
`sources.shards`; `dynamodb_shape` knows the event.

A stream has hundreds of quiet shards, each closed and replaced by a child about every four hours (8-5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal

from pollers.aws.arn import Arn
from pollers.aws.client import Client, Clients
from pollers.aws.errors import CallFailed
from pollers.clock import Clock
from pollers.errors import ConfigurationError, Problem
from pollers.flow.lineage import Shard
from pollers.flow.records import Partition
from pollers.sources.dynamodb_shape import DynamoDbShape
from pollers.sources.shards.discovery import LATEST
from pollers.sources.shards.pace import Pace, Paces
from pollers.sources.shards.source import Lanes, ShardSource
from pollers.sources.shards.stream import Answer, Habits, Where
from pollers.spi import Store

__all__ = ["DynamoDbSource"]

# AWS: about four reads a second of a shard (3.2-8), by at most two readers (8-7), up to 1,000 records of one read.
_HABITS: Final = Habits(by_time=False, poll=0.25, interval=0.125, bytes_per_second=None, page=1_000, far_page=1_000)
_READERS: Final = 2


class DynamoDbSource(ShardSource):
    """Changes of one table's items, shard by shard.

    - `stream` is the ARN of the table's stream; region, endpoint and credentials come from where botocore's users keep
      them.
    - `starting_position`: where a mapping begins that never read the stream: "TRIM_HORIZON" (the oldest change, at most
      a day old) or "LATEST" (what comes from now on).
    - `parallelization_factor`: 1 to 10 batches of a shard at once, changes of one item in order.
    - `lanes`, `idle_poll`, `store`, `clients` and `paces`: as for `KinesisSource`.
    """

    def __init__(
        self,
        stream: str,
        *,
        store: Store,
        region: str | None = None,
        starting_position: Literal["TRIM_HORIZON", "LATEST"] = "TRIM_HORIZON",
        parallelization_factor: int = 1,
        lanes: Lanes = "shard",
        idle_poll: float = 5.0,
        clients: Clients | None = None,
        paces: Paces | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Raises ConfigurationError where `stream` names none."""
        shared = clients or Clients()
        port = _DynamoDbStream(stream, region, shared)
        super().__init__(
            port,
            port.requests,
            start=LATEST if starting_position == "LATEST" else None,
            parallelization_factor=parallelization_factor,
            lanes=lanes,
            idle_poll=idle_poll,
            store=store,
            clients=shared,
            owns_clients=clients is None,
            paces=paces or Paces(),
            clock=clock or Clock(),
        )

    def _warnings(self, pace: Pace) -> list[str]:
        warnings = super()._warnings(pace)
        if pace.readers > _READERS:
            # AWS: more than two readers of a shard may be throttled (8-7). Here they share one pace.
            warnings.append(
                f"{pace.readers} mappings of this process read the stream; its shards serve two at full speed, "
                "so they take turns"
            )
        return warnings


class _DynamoDbStream:
    """The calls of one stream."""

    name = "dynamodb"
    habits = _HABITS
    retention: float | None = None  # the service itself says that a position was trimmed

    def __init__(self, stream: str, region: str | None, clients: Clients) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.arn = stream
        region = _region(stream, region)
        self._client: Client = clients.get("dynamodbstreams", region)
        self._read: Client = clients.get("dynamodbstreams", region, "read")
        self.shape = DynamoDbShape(stream, region)

    async def open(self) -> str:
        answer = await self._ask(self._client, "DescribeStream", StreamArn=self.arn, Limit=1)
        return str(answer["StreamDescription"]["StreamLabel"])

    async def shards(self, after: Partition | None = None) -> list[Shard]:
        which = {} if after is None else {"ExclusiveStartShardId": str(after)}
        shards: list[Shard] = []
        while True:
            answer = await self._ask(self._client, "DescribeStream", StreamArn=self.arn, **which)
            description = answer["StreamDescription"]
            shards += map(_shard, description.get("Shards", ()))
            last = description.get("LastEvaluatedShardId")
            if not last:
                return shards
            which = {"ExclusiveStartShardId": last}

    async def iterator(self, partition: Partition, where: Where) -> str:
        which: dict[str, Any] = {"ShardId": partition, "ShardIteratorType": where.kind}
        if where.kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            which["SequenceNumber"] = str(where.sequence)
        answer = await self._ask(self._read, "GetShardIterator", StreamArn=self.arn, **which)
        return str(answer["ShardIterator"])

    async def records(self, iterator: str, limit: int) -> Answer:
        answer = await self._ask(self._read, "GetRecords", ShardIterator=iterator, Limit=limit)
        return Answer(
            answer["Records"],
            answer.get("NextShardIterator"),
            int(answer["ResponseMetadata"]["HTTPHeaders"].get("content-length", 0)),
        )

    async def _ask(self, client: Client, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            answer = await client.call(operation, **parameters)
        except CallFailed as failure:
            self.requests[operation, failure.outcome] += 1
            raise
        self.requests[operation, "ok"] += 1
        return answer


def _region(stream: str, region: str | None) -> str:
    """The stream's region. Raises ConfigurationError for what is no stream's ARN."""
    remedy = "The ARN of a table's stream ends in :table/NAME/stream/LABEL; DescribeTable shows it as LatestStreamArn."
    try:
        arn = Arn.parse(stream)
    except ValueError as error:
        raise ConfigurationError([Problem("stream", f"{error}.", remedy)]) from None
    parts = arn.resource.split("/")
    if arn.service != "dynamodb" or len(parts) != 4 or (parts[0], parts[2]) != ("table", "stream"):
        raise ConfigurationError([Problem("stream", f"{stream} is not the ARN of a DynamoDB stream.", remedy)])
    if region and region != arn.region:
        message = f"{stream} is in {arn.region}, and the region given is {region}."
        raise ConfigurationError([Problem("region", message, "Leave the region out.")])
    return arn.region


def _shard(listed: Mapping[str, Any]) -> Shard:
    parent = listed.get("ParentShardId")
    closed = bool(listed.get("SequenceNumberRange", {}).get("EndingSequenceNumber"))
    return Shard(Partition(listed["ShardId"]), (Partition(parent),) if parent else (), closed)
