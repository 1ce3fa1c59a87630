"""Records of a stream once more, from one sequence number to another: iterators, pages, throttles, and what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from pollers.aws.arn import Arn
from pollers.aws.client import Client, Clients
from pollers.aws.errors import CallFailed, Kind
from pollers.config.kinds import DYNAMODB
from pollers.flow.records import Partition, Raw, Shape
from pollers.sources.kinesis_aggregates import one_by_one
from pollers.sources.kinesis_fanout import is_consumer

__all__ = ["Gone", "Rereading"]

_PAUSE: Final = 0.25  # seconds between two reads of a shard, which may have other readers (8-6, 8-7)
_THROTTLED: Final = 0.5, 8.0  # seconds after the first throttle, and at most
_PATIENCE: Final = 12  # throttles in a row before the stream counts as unusable
_EMPTY: Final = 20  # reads in a row without records, where the service does not say how far behind they are
_LIMIT: Final = 1_000  # records of one read
# AWS: of DynamoDB Streams; and how both refuse a sequence number that the shard of that name never had.
_GONE: Final = ("TrimmedDataAccessException", "InvalidArgumentException", "ValidationException")


class Gone(Exception):
    """The stream no longer has the records. `str()` says why."""


@dataclass(frozen=True, slots=True)
class _Wire:
    """How a service spells its calls."""

    service: str
    stream: dict[str, str]  # names the stream where an iterator is made
    reading: dict[str, str]  # and where records are read
    sequence: str  # the member for a sequence number
    records: Callable[[Sequence[Raw]], Sequence[Raw]] = list  # those of an answer as functions are given them


class Rereading:
    """Reads ranges of one stream's shards."""

    def __init__(self, kind: str, arn: str, shape: Shape, clients: Clients) -> None:
        """`kind` is the mapping's: "Kinesis" or "DynamoDB Streams"."""
        self._arn = arn
        self._shape = shape
        self._wire = _wire(kind, arn)
        self._client: Client = clients.get(self._wire.service, Arn.parse(arn).region, "read")

    async def records(self, shard: Partition, start: int, end: int) -> list[Raw]:
        """All records of a shard from `start` to `end`, both included. Raises `Gone`, and `SourceError`."""
        found: list[Raw] = []
        async with aclosing(self._pages(shard, start)) as pages:
            async for page in pages:
                found += page
                if found and self._sequence(found[-1]) >= end:
                    break
        if not found:
            raise Gone("the stream has nothing there")
        if self._sequence(found[0]) != start:
            raise Gone(f"the oldest record left there has sequence number {self._sequence(found[0])}")
        return [raw for raw in found if self._sequence(raw) <= end]

    async def _pages(self, shard: Partition, start: int) -> AsyncGenerator[Sequence[Raw], None]:
        """The shard from a sequence number on, as far as it goes now."""
        where = {"ShardId": shard, "ShardIteratorType": "AT_SEQUENCE_NUMBER", self._wire.sequence: str(start)}
        iterator = (await self._ask("GetShardIterator", **self._wire.stream, **where))["ShardIterator"]
        empty = 0  # reads in a row
        while iterator is not None and empty < _EMPTY:
            answer = await self._ask("GetRecords", ShardIterator=iterator, Limit=_LIMIT, **self._wire.reading)
            yield self._wire.records(answer["Records"])
            behind = answer.get("MillisBehindLatest")
            if behind == 0:
                return
            # Kinesis may pass over hours without a record, one empty page after the other.
            empty = 0 if answer["Records"] or behind else empty + 1
            iterator = answer.get("NextShardIterator")
            await asyncio.sleep(_PAUSE)

    def _sequence(self, raw: Raw) -> int:
        position = self._shape.position(raw)
        assert position is not None, "records of streams have positions"
        return position[0]

    async def _ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        pause, most = _THROTTLED
        for throttles in range(_PATIENCE + 1):
            try:
                return await self._client.call(operation, **parameters)
            except CallFailed as failure:
                if failure.kind is Kind.MISSING or failure.code.rpartition(".")[2] in _GONE:
                    raise Gone(failure.diagnosis.cause) from failure
                if failure.kind is not Kind.THROTTLED or throttles == _PATIENCE:
                    raise failure.about(self._arn) from failure.__cause__
            await asyncio.sleep(pause)
            pause = min(2 * pause, most)
        raise AssertionError("the last throttle is raised")


def _wire(kind: str, arn: str) -> _Wire:
    if kind == DYNAMODB:
        return _Wire("dynamodbstreams", {"StreamArn": arn}, {}, "SequenceNumber")
    named = {"StreamARN": arn.partition("/consumer/")[0]}
    return _Wire("kinesis", named, named, "StartingSequenceNumber", one_by_one if is_consumer(arn) else list)
