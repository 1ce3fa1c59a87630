"""What DynamoDB Streams do, seen by ordinary clients, and the source on them: the embedded server, and moto."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.sources.dynamodb import DynamoDbSource
from pollers.stores.sqlite import SqliteStore

OPTIONS = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
_names = itertools.count(1)


@dataclass
class Table:
    tables: Any  # a client
    streams: Any
    name: str
    arn: str = ""

    async def create(self, view: str = "NEW_AND_OLD_IMAGES") -> None:
        await self.tables.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
        )
        described = await self.tables.describe_table(TableName=self.name)
        self.arn = described["Table"]["LatestStreamArn"]

    async def put(self, key: str, value: str) -> None:
        await self.tables.put_item(TableName=self.name, Item={"id": {"S": key}, "value": {"S": value}})

    async def delete(self, key: str) -> None:
        await self.tables.delete_item(TableName=self.name, Key={"id": {"S": key}})

    async def shard(self) -> str:
        answer = await self.streams.describe_stream(StreamArn=self.arn)
        (shard,) = answer["StreamDescription"]["Shards"]
        return str(shard["ShardId"])

    async def read(self, kind: str = "TRIM_HORIZON", **where: str) -> list[dict[str, Any]]:
        answer = await self.streams.get_shard_iterator(
            StreamArn=self.arn, ShardId=await self.shard(), ShardIteratorType=kind, **where
        )
        answer = await self.streams.get_records(ShardIterator=answer["ShardIterator"])
        records: list[dict[str, Any]] = answer["Records"]
        return records


@pytest.fixture
async def table(dynamodb_server: str) -> AsyncIterator[Table]:
    session = get_session()
    async with (
        session.create_client("dynamodb", endpoint_url=dynamodb_server, **OPTIONS) as tables,
        session.create_client("dynamodbstreams", endpoint_url=dynamodb_server, **OPTIONS) as streams,
    ):
        yield Table(tables, streams, f"table-{next(_names)}")


@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("KEYS_ONLY", [set(), set(), set()]),
        ("NEW_IMAGE", [{"NewImage"}, {"NewImage"}, set()]),
        ("OLD_IMAGE", [set(), {"OldImage"}, {"OldImage"}]),
        ("NEW_AND_OLD_IMAGES", [{"NewImage"}, {"NewImage", "OldImage"}, {"OldImage"}]),
    ],
)
async def test_the_view_type_says_which_images_a_change_has(table: Table, view: str, images: list[set[str]]) -> None:
    await table.create(view)
    await table.put("1", "a")
    await table.put("1", "b")
    await table.delete("1")
    records = await table.read()
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert [set(record["dynamodb"]) & {"NewImage", "OldImage"} for record in records] == images
    assert all(record["dynamodb"]["Keys"] == {"id": {"S": "1"}} for record in records)
    assert all(record["dynamodb"]["StreamViewType"] == view for record in records)


async def test_iterators_begin_where_they_say(table: Table) -> None:
    await table.create()
    for value in ("a", "b", "c"):
        await table.put("1", value)
    numbers = [record["dynamodb"]["SequenceNumber"] for record in await table.read()]
    assert sorted(map(int, numbers)) == list(map(int, numbers))
    at = await table.read("AT_SEQUENCE_NUMBER", SequenceNumber=numbers[1])
    after = await table.read("AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[1])
    assert [record["dynamodb"]["SequenceNumber"] for record in at] == numbers[1:]
    assert [record["dynamodb"]["SequenceNumber"] for record in after] == numbers[2:]
    assert await table.read("LATEST") == []


async def test_the_source_delivers_every_change_in_order_and_goes_on_where_it_was(
    table: Table, dynamodb_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": dynamodb_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    await table.create()
    seen: list[str] = []

    async def handle(event: dict[str, Any], context: object) -> None:
        seen.extend(record["dynamodb"]["NewImage"]["value"]["S"] for record in event["Records"])

    for run in range(2):
        for number in range(20):
            await table.put("1", f"{run}-{number}")
        store = SqliteStore(tmp_path / "state.db")
        source = DynamoDbSource(table.arn, store=store, idle_poll=0.2)
        async with Pollers([EventSourceMapping(source, handle, name="changes")]), asyncio.timeout(30):
            while len(seen) < 20 * (run + 1):
                await asyncio.sleep(0.05)
        await store.close()
    assert seen == [f"{run}-{number}" for run in range(2) for number in range(20)]
