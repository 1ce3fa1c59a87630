"""Mappings over the models of Kinesis and DynamoDB Streams, in virtual time and without a wire."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, TypeVar

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.sources.dynamodb import DynamoDbSource
from pollers.sources.kinesis import KinesisSource
from pollers.spi import Source, Store
from pollers.stores.memory import MemoryStore
from pollers.telemetry import Event
from pollers.testing.dynamodb import DynamoDbModel
from pollers.testing.functions import ScriptedFunction
from pollers.testing.kinesis import KinesisLimits, KinesisModel, Stream
from pollers.testing.kinesis.aggregates import aggregate
from pollers.testing.loop import VirtualLoop, clock
from pollers.testing.wireless import Wireless

E = TypeVar("E", bound=Event)


class Notes:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class Stage:
    """A stream and a table, a store that outlives mappings, and what was noticed."""

    def __init__(self, shards: int = 1, **limits: Any) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.kinesis = KinesisModel(loop.wall, limits=KinesisLimits(writes_per_second=None, **limits))
        self.dynamodb = DynamoDbModel(loop.wall)
        self.wireless = Wireless({"kinesis": self.kinesis, "dynamodbstreams": self.dynamodb.streams})
        self.store: Store = MemoryStore(loop.wall)
        self.notes = Notes()
        self.make(shards)
        self.dynamodb.create_table("items", shards=shards)
        self.table = self.dynamodb.table("items")

    def make(self, shards: int = 1) -> Stream:
        self.kinesis.call("CreateStream", {"StreamName": "clicks", "ShardCount": shards})
        self.stream = self.kinesis.stream("clicks")
        return self.stream

    def clicks(self, *texts: str, key: str = "key") -> None:
        for text in texts:
            self.stream.put(key, text.encode())

    def aggregated(self, *texts: str, key: str = "key") -> str:
        """One record that holds these; returns its sequence number."""
        return self.stream.put(key, aggregate((key, text.encode()) for text in texts))[1]

    def consumer(self, name: str = "mine") -> str:
        """The ARN of a consumer of the stream, registered where it was not."""
        request = {"StreamARN": self.stream.arn, "ConsumerName": name}
        if name not in self.stream.consumers:
            self.kinesis.call("RegisterStreamConsumer", request)
        answer = self.kinesis.call("DescribeStreamConsumer", request)
        return str(answer["ConsumerDescription"]["ConsumerARN"])

    def change(self, item: str, *values: str) -> None:
        for value in values:
            self.table.put({"id": {"S": item}, "value": {"S": value}})

    def kinesis_source(self, stream: str = "", **options: Any) -> KinesisSource:
        options = {"store": self.store, "clients": self.wireless, "clock": clock(), **options}
        return KinesisSource(stream or self.stream.arn, **options)

    def pushed_source(self, consumer: str = "", **options: Any) -> KinesisSource:
        return self.kinesis_source(consumer or self.consumer(), **options)

    def dynamodb_source(self, **options: Any) -> DynamoDbSource:
        options = {"store": self.store, "clients": self.wireless, "clock": clock(), **options}
        return DynamoDbSource(self.table.stream_arn, **options)

    def run(self, source: Source, function: ScriptedFunction, name: str = "mapping", **options: Any) -> Pollers:
        mapping = EventSourceMapping(source, function, name=name, **options)
        return Pollers([mapping], observers=[self.notes], clock=clock())

    async def read_for(self, seconds: float, source: Source, **options: Any) -> ScriptedFunction:
        """Run a mapping for so long; what its function was given."""
        function = ScriptedFunction()
        async with self.run(source, function, **options):
            await asyncio.sleep(seconds)
        return function


def texts(function: ScriptedFunction) -> list[str]:
    return [base64.b64decode(record["kinesis"]["data"]).decode() for record in records(function)]


def values(function: ScriptedFunction) -> list[str]:
    return [record["dynamodb"]["NewImage"]["value"]["S"] for record in records(function)]


def records(function: ScriptedFunction) -> Sequence[dict[str, Any]]:
    return [record for call in function.calls for record in call.event["Records"]]
