"""A table of the embedded DynamoDB as a test sees it: write, and direct its stream, without a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from pollers.testing.dynamodb.shard import Shard
    from pollers.testing.dynamodb.table import Table
    from pollers.testing.front import EmbeddedAws

__all__ = ["EmbeddedTable", "StreamShard"]

T = TypeVar("T")
Item: TypeAlias = Mapping[str, Any]  # in DynamoDB's JSON: {"id": {"S": "1"}}


class StreamShard(NamedTuple):
    """A shard of the table's stream, as it was when it was asked for."""

    id: str
    parent: str | None  # its id; None: the stream began with this shard
    open: bool
    sequences: list[str]  # of the records that can be read, in order


class EmbeddedTable:
    """A handle on one table, for any thread but that of the loop which serves the embedded services."""

    def __init__(self, aws: EmbeddedAws, name: str) -> None:
        self.name = name
        self.arn = aws.run(lambda: aws.dynamodb.table(name).arn)
        self._aws = aws

    @property
    def stream_arn(self) -> str:
        """Of the latest stream. Raises Fault where there never was one."""
        return self._do(lambda table: table.stream_arn)

    def put(self, item: Item) -> None:
        """Write the item, in place of the one with its key."""
        self._do(lambda table: table.put(item))

    def delete(self, key: Item) -> None:
        """Delete the item with this key, if there is one."""
        self._do(lambda table: table.delete(key))

    def expire(self, key: Item) -> None:
        """Delete the item as DynamoDB does when its time to live is over."""
        self._do(lambda table: table.expire(key))

    def items(self) -> list[Item]:
        """All items, in the order of scans."""
        return self._do(lambda table: list(table.items))

    def shards(self) -> list[StreamShard]:
        """Those of the latest stream that are not forgotten, by id."""
        return self._do(lambda table: list(map(_seen, table.shards)))

    def roll(self) -> None:
        """Close each open shard; one child follows each."""
        self._do(lambda table: table.roll())

    def split(self, shard_id: str) -> None:
        """Close the shard; two children follow it. Raises ValueError when it is closed."""
        self._do(lambda table: table.split(shard_id))

    def trim(self, shard_id: str, upto_sequence: str) -> None:
        """Forget the shard's records up to this sequence number, and itself."""
        self._do(lambda table: table.trim(shard_id, upto_sequence))

    def _do(self, action: Callable[[Table], T]) -> T:
        return self._aws.run(lambda: action(self._aws.dynamodb.table(self.name)))


def _seen(shard: Shard) -> StreamShard:
    sequences = [record["dynamodb"]["SequenceNumber"] for record in shard.records]
    return StreamShard(shard.id, shard.parent, shard.open, sequences)
