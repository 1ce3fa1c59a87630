"""The embedded DynamoDB as AWS's own clients see it."""

from __future__ import annotations

import os

import boto3
import pytest
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from pollers.testing.front import EmbeddedAws
from pollers.testing.service import Fault


@pytest.fixture
async def clients(monkeypatch):
    """Clients of tables and of streams, led by the environment alone."""
    async with EmbeddedAws() as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        session = get_session()
        async with session.create_client("dynamodb") as tables, session.create_client("dynamodbstreams") as streams:
            yield aws, tables, streams


async def _create(tables):
    await tables.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    await tables.get_waiter("table_exists").wait(TableName="orders")
    return (await tables.describe_table(TableName="orders"))["Table"]["LatestStreamArn"]


async def test_what_one_client_writes_the_other_reads(clients):
    _, tables, streams = clients
    arn = await _create(tables)
    await tables.put_item(TableName="orders", Item={"id": {"S": "1"}, "blob": {"B": b"\x00\x01"}})
    await tables.delete_item(TableName="orders", Key={"id": {"S": "1"}})
    described = (await streams.describe_stream(StreamArn=arn))["StreamDescription"]
    (shard,) = described["Shards"]
    iterator = (
        await streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    )["ShardIterator"]
    answer = await streams.get_records(ShardIterator=iterator)
    first, second = answer["Records"]
    assert (first["eventName"], second["eventName"]) == ("INSERT", "REMOVE")
    assert first["dynamodb"]["NewImage"] == second["dynamodb"]["OldImage"]
    assert first["dynamodb"]["NewImage"] == {"id": {"S": "1"}, "blob": {"B": b"\x00\x01"}}
    assert first["dynamodb"]["ApproximateCreationDateTime"].microsecond == 0
    assert answer["NextShardIterator"]
    assert [stream["StreamArn"] for stream in (await streams.list_streams())["Streams"]] == [arn]


async def test_faults_are_the_clients_exceptions(clients):
    aws, tables, streams = clients
    arn = await _create(tables)
    (shard,) = aws.dynamodb.table("orders").shards
    with pytest.raises(tables.exceptions.ResourceInUseException):
        await _create(tables)
    with pytest.raises(streams.exceptions.ResourceNotFoundException):
        await streams.describe_stream(StreamArn=arn.replace("/stream/2", "/stream/1"))
    await tables.put_item(TableName="orders", Item={"id": {"S": "1"}})
    iterator = await streams.get_shard_iterator(StreamArn=arn, ShardId=shard.id, ShardIteratorType="TRIM_HORIZON")
    aws.dynamodb.table("orders").trim(shard.id, shard.records[0]["dynamodb"]["SequenceNumber"])
    with pytest.raises(streams.exceptions.TrimmedDataAccessException):
        await streams.get_records(ShardIterator=iterator["ShardIterator"])
    with pytest.raises(ClientError, match="UpdateItem is not part of the embedded DynamoDB"):
        await tables.update_item(TableName="orders", Key={"id": {"S": "1"}})


async def test_paginators_see_every_page(clients):
    aws, tables, _ = clients
    table = aws.dynamodb.create_table("items")
    for id in range(7):
        table.put({"id": {"S": str(id)}})
    pages = [page async for page in tables.get_paginator("scan").paginate(TableName="items", Limit=3)]
    assert sorted(item["id"]["S"] for page in pages for item in page["Items"]) == [str(id) for id in range(7)]
    assert len(pages) == 3


def test_handle_writes_and_directs_the_stream(pollers_dynamodb_table):
    table = pollers_dynamodb_table("orders", shards=2)
    for id in "12345678":
        table.put({"id": {"S": id}})
    table.delete({"id": {"S": "1"}})
    table.expire({"id": {"S": "2"}})
    before = table.shards()
    table.trim(before[0].id, before[0].sequences[0])
    table.split(before[1].id)
    after = {shard.id: shard for shard in table.shards()}
    table.roll()
    assert len(table.items()) == 6
    assert sum(len(shard.sequences) for shard in before) == 10
    assert after[before[0].id].sequences == before[0].sequences[1:]
    assert [shard.parent for shard in after.values() if shard.open].count(before[1].id) == 2
    assert len(table.shards()) == 4 + 3
    assert table.stream_arn.startswith(f"{table.arn}/stream/")
    with pytest.raises(ValueError, match="closed"):
        table.split(before[1].id)


def test_fixture_makes_tables_that_boto3_finds(pollers_dynamodb_table):
    table, other = pollers_dynamodb_table(), pollers_dynamodb_table(view=None)
    client = boto3.client("dynamodb")
    assert client.list_tables()["TableNames"] == sorted([table.name, other.name])
    client.put_item(TableName=table.name, Item={"id": {"S": "1"}})
    client.close()
    assert table.items() == [{"id": {"S": "1"}}]
    assert len(table.shards()[0].sequences) == 1
    with pytest.raises(Fault, match="has no stream"):
        _ = other.stream_arn


def test_both_services_have_an_endpoint_in_the_environment(pollers_aws):
    assert os.environ["AWS_ENDPOINT_URL_DYNAMODB"] == pollers_aws.endpoint_url
    assert os.environ["AWS_ENDPOINT_URL_DYNAMODB_STREAMS"] == pollers_aws.endpoint_url
