"""A stream of the embedded Kinesis, from any thread."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pollers.testing.front import EmbeddedAws
    from pollers.testing.kinesis import Stream

__all__ = ["EmbeddedStream"]


class EmbeddedStream:
    """A handle: what a producer and an operator do to a stream, and a look at what it holds."""

    def __init__(self, aws: EmbeddedAws, name: str) -> None:
        """Raises Fault when there is no such stream."""
        self.name = name
        self._aws = aws
        self._stream: Stream = aws.run(lambda: aws.kinesis.stream(name))
        self.arn = self._stream.arn

    @classmethod
    def create(cls, aws: EmbeddedAws, name: str, shards: int = 1) -> EmbeddedStream:
        """A new stream of so many shards."""
        aws.run(lambda: aws.kinesis.call("CreateStream", {"StreamName": name, "ShardCount": shards}))
        return cls(aws, name)

    def put(self, data: str | bytes, key: str = "key") -> tuple[str, str]:
        """Write a record under a partition key; returns its shard's id and its sequence number."""
        raw = data.encode() if isinstance(data, str) else data
        return self._aws.run(lambda: self._stream.put(key, raw))

    def put_aggregated(self, data: Sequence[str | bytes], key: str = "key") -> tuple[str, str]:
        """Write one record that holds these, as the Kinesis Producer Library does; returns its shard and number."""
        from pollers.testing.kinesis.aggregates import aggregate

        raw = aggregate((key, one.encode() if isinstance(one, str) else one) for one in data)
        return self.put(raw, key)

    def consumer(self, name: str) -> str:
        """Register a consumer with throughput of its own; returns its ARN, which `KinesisSource` reads by."""
        request = {"StreamARN": self.arn, "ConsumerName": name}
        answer = self._aws.run(lambda: self._aws.kinesis.call("RegisterStreamConsumer", request))
        return str(answer["Consumer"]["ConsumerARN"])

    def open_shards(self) -> list[str]:
        """Their ids, by hash range."""
        return self._aws.run(lambda: [shard.id for shard in self._stream.open_shards()])

    def split(self, shard: str) -> tuple[str, str]:
        """Close a shard and open two in its place; returns their ids."""
        return self._aws.run(lambda: self._stream.split(shard))

    def merge(self, shard: str, adjacent: str) -> str:
        """Close two neighbors and open one in their place; returns its id."""
        return self._aws.run(lambda: self._stream.merge(shard, adjacent))

    def records(self) -> list[bytes]:
        """The data of every record that is left, shard by shard."""

        def look() -> list[bytes]:
            return [b64decode(record["Data"]) for shard in self._stream.shards for record in shard.records]

        return self._aws.run(look)
