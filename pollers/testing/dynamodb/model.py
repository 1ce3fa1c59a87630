"""DynamoDB's tables and their streams without I/O, on any clock: a request in, an answer or a fault out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pollers.clock import request_ids
from pollers.testing.dynamodb import administration, items, reading
from pollers.testing.dynamodb.account import Account
from pollers.testing.dynamodb.endpoint import Action, Endpoint, stream_resource, table_resource
from pollers.testing.dynamodb.errors import NAMESPACE
from pollers.testing.dynamodb.limits import ROLL_EVERY, StreamLimits
from pollers.testing.dynamodb.schema import KeyAttribute, Schema
from pollers.testing.dynamodb.stream import Sharding
from pollers.testing.dynamodb.table import Table
from pollers.testing.trouble import Trouble

__all__ = ["DynamoDbModel"]

_TABLES: Mapping[str, Action] = {
    "BatchWriteItem": items.batch_write_item,
    "CreateTable": administration.create_table,
    "DeleteItem": items.delete_item,
    "DeleteTable": administration.delete_table,
    "DescribeTable": administration.describe_table,
    "DescribeTimeToLive": administration.describe_time_to_live,
    "GetItem": items.get_item,
    "ListTables": administration.list_tables,
    "PutItem": items.put_item,
    "Scan": items.scan,
    "UpdateTable": administration.update_table,
    "UpdateTimeToLive": administration.update_time_to_live,
}
_STREAMS: Mapping[str, Action] = {
    "DescribeStream": reading.describe_stream,
    "GetRecords": reading.get_records,
    "GetShardIterator": reading.get_shard_iterator,
    "ListStreams": reading.list_streams,
}


class DynamoDbModel:
    """DynamoDB of one account in one region: the services `tables` and `streams`, each with a journal and trouble.

    `clock` gives wall time in seconds; the model never sleeps and needs no ticking: time acts when a call comes.
    Capacity is not modeled: what CreateTable asks for is shown and not enforced.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        region: str = "us-east-1",
        account: str = "123456789012",
        ids: Callable[[], str] | None = None,
        limits: StreamLimits | None = None,
    ) -> None:
        self.now = clock
        self._account = Account(region, account, clock, ids or request_ids(), limits or StreamLimits())
        self.tables = Endpoint(
            "DynamoDB_20120810", _TABLES, table_resource, self._account, clock, self._account.trouble
        )
        self.streams = Endpoint(
            "DynamoDBStreams_20120810", _STREAMS, stream_resource, self._account, clock, Trouble(NAMESPACE)
        )

    @property
    def region(self) -> str:
        return self._account.region

    @property
    def limits(self) -> StreamLimits:
        """They may be set at any time."""
        return self._account.limits

    @limits.setter
    def limits(self, limits: StreamLimits) -> None:
        self._account.limits = limits

    def create_table(
        self,
        name: str,
        *,
        partition_key: str = "id",
        sort_key: str | None = None,
        types: Mapping[str, str] | None = None,
        view: str | None = "NEW_AND_OLD_IMAGES",
        shards: int = 1,
        roll_every: float | None = ROLL_EVERY,
    ) -> Table:
        """A table, as CreateTable makes it, with what AWS lets nobody choose: `shards` a stream begins with, and the
        seconds after which an open shard is replaced (None: only by `Table.roll`).

        `types` are those of key attributes that are no "S"; `view` None is no stream.
        """
        if shards < 1 or (roll_every is not None and roll_every <= 0):
            raise ValueError("A stream has at least one shard, and shards stay open for more than no time.")
        kinds = types or {}
        keys = [KeyAttribute(key, kinds.get(key, "S")) for key in (partition_key, sort_key) if key is not None]
        administration.check_table_name(name)
        table = self._account.create(name, Schema(*keys), Sharding(shards, roll_every))
        if view is not None:
            self._account.enable_stream(table, view)
        return table

    def table(self, name: str) -> Table:
        """The table, to write to and to look into. Raises Fault when there is none."""
        return self._account.table(name)
