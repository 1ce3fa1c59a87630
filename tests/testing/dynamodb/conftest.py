"""The model of DynamoDB and its streams on a clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pollers.testing.dynamodb import DynamoDbModel, StreamLimits


class Dynamo:
    """The model in virtual time. Members of requests are keyword arguments, spelled as the API has them."""

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self.time = 1_700_000_000.0
        self.model = DynamoDbModel(lambda: self.time, region="eu-west-1", limits=limits)

    def tables(self, action: str, **members: Any) -> dict[str, Any]:
        return self.model.tables.call(action, members)

    def streams(self, action: str, **members: Any) -> dict[str, Any]:
        return self.model.streams.call(action, members)

    def create(self, name: str = "orders", **options: Any) -> Any:
        return self.model.create_table(name, **options)

    def describe(self, arn: str, **members: Any) -> dict[str, Any]:
        return dict(self.streams("DescribeStream", StreamArn=arn, **members)["StreamDescription"])

    def iterator(self, arn: str, shard: str, kind: str = "TRIM_HORIZON", number: str | None = None) -> str:
        members = {} if number is None else {"SequenceNumber": number}
        answer = self.streams("GetShardIterator", StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **members)
        return str(answer["ShardIterator"])

    def read(self, arn: str, shard: str, kind: str = "TRIM_HORIZON", number: str | None = None) -> list[dict[str, Any]]:
        """One page."""
        iterator = self.iterator(arn, shard, kind, number)
        return list(self.streams("GetRecords", ShardIterator=iterator)["Records"])

    def records(self, table: Any) -> list[dict[str, Any]]:
        """All of an unsplit and unrolled stream."""
        (shard,) = table.shards
        return self.read(table.stream_arn, shard.id)


@pytest.fixture
def dynamo() -> Dynamo:
    return Dynamo()


@pytest.fixture(scope="session")
def dynamo_with() -> Callable[[StreamLimits], Dynamo]:
    return Dynamo
