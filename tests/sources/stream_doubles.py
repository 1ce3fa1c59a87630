"""A stream behind the port of `sources.shards`, as plain as can be: records by shard, and faults on order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from pollers.aws.errors import CallFailed, diagnose
from pollers.flow.lineage import Shard
from pollers.flow.records import Partition
from pollers.sources.kinesis_shape import KinesisShape
from pollers.sources.shards.stream import Answer, Habits, Where

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks"
LIKE_KINESIS = Habits(by_time=True, poll=1.0, interval=0.2, bytes_per_second=2 << 20, page=1_000, far_page=10_000)
LIKE_DYNAMODB = Habits(by_time=False, poll=0.25, interval=0.125, bytes_per_second=None, page=1_000, far_page=1_000)


def refusal(operation: str, code: str) -> CallFailed:
    error = ClientError({"Error": {"Code": code, "Message": "on order"}, "ResponseMetadata": {}}, operation)  # type: ignore[typeddict-item]
    return CallFailed(operation, diagnose(error, service="kinesis", operation=operation, endpoint="here"), code)


def record(sequence: int, *, arrived: float = 0.0, key: str = "k", nbytes: int = 4) -> dict[str, Any]:
    data = "A" * nbytes
    return {
        "SequenceNumber": str(sequence),
        "ApproximateArrivalTimestamp": arrived,
        "Data": data,
        "PartitionKey": key,
    }


class ScriptedStream:
    """Iterators are "shard@index"; `iterators` notes what each was asked for."""

    name = "kinesis"
    arn = ARN

    def __init__(self, habits: Habits = LIKE_KINESIS, *, says_behind: bool = True) -> None:
        self.habits = habits
        self.shape = KinesisShape(ARN, "us-east-1", "role")
        self.retention: float | None = None
        self.origin = "first"
        self.listed: dict[Partition, Shard] = {}
        self.content: dict[Partition, list[Mapping[str, Any]]] = {}
        self.iterators: list[tuple[Partition, Where]] = []
        self.limits: list[int] = []
        self.listings: list[Partition | None] = []
        self.faults: dict[str, deque[str]] = {}  # codes by operation
        self.says_behind = says_behind
        self.says_children = True

    def add(self, shard: str, *sequences: int, parents: tuple[str, ...] = (), closed: bool = False) -> Partition:
        partition = Partition(shard)
        self.listed[partition] = Shard(partition, tuple(map(Partition, parents)), closed)
        self.content[partition] = [record(sequence) for sequence in sequences]
        return partition

    def put(self, shard: Partition, *sequences: int, arrived: float = 0.0) -> None:
        self.content[shard] += [record(sequence, arrived=arrived) for sequence in sequences]

    def close(self, shard: Partition) -> None:
        self.listed[shard] = Shard(shard, self.listed[shard].parents, closed=True)

    def fail(self, operation: str, *codes: str) -> None:
        self.faults.setdefault(operation, deque()).extend(codes)

    def _check(self, operation: str) -> None:
        if self.faults.get(operation):
            raise refusal(operation, self.faults[operation].popleft())

    async def open(self) -> str:
        self._check("open")
        return self.origin

    async def shards(self, after: Partition | None = None) -> list[Shard]:
        self.listings.append(after)
        self._check("shards")
        return [shard for partition, shard in self.listed.items() if after is None or partition > after]

    async def iterator(self, partition: Partition, where: Where) -> str:
        self._check("iterator")
        if partition not in self.content:
            raise refusal("GetShardIterator", "ResourceNotFoundException")
        self.iterators.append((partition, where))
        records = self.content[partition]
        index = 0
        if where.kind == "LATEST":
            index = len(records)
        elif where.kind == "AFTER_SEQUENCE_NUMBER":
            index = sum(1 for one in records if int(one["SequenceNumber"]) <= where.sequence)
        elif where.kind == "AT_SEQUENCE_NUMBER":
            index = sum(1 for one in records if int(one["SequenceNumber"]) < where.sequence)
        elif where.kind == "AT_TIMESTAMP":
            index = sum(1 for one in records if one["ApproximateArrivalTimestamp"] < where.moment)
        return f"{partition}@{index}"

    async def records(self, iterator: str, limit: int) -> Answer:
        self._check("records")
        self.limits.append(limit)
        name, _, start = iterator.partition("@")
        partition, first = Partition(name), int(start)
        content = self.content[partition]
        records = content[first : first + limit]
        stop = first + len(records)
        closed = self.listed[partition].closed and stop == len(content)
        children = [shard for shard in self.listed.values() if partition in shard.parents]
        behind = float(len(content) - stop) if self.says_behind else None
        return Answer(
            records,
            None if closed else f"{partition}@{stop}",
            0,
            behind,
            tuple(children) if closed and self.says_children else (),
        )
