"""Subscriptions on the wire: AWS's own clients take the frames apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import Any

import boto3
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError, EventStreamError

from pollers.testing.front import EmbeddedAws
from pollers.testing.kinesis import KinesisLimits
from pollers.testing.streams import EmbeddedStream

SHARD = "shardId-000000000000"
FREE = KinesisLimits(subscription_guard=0.0, subscription_calls=None, subscription_quiet=0.05, subscription_seconds=0.5)


@pytest.fixture
async def aws() -> AsyncIterator[EmbeddedAws]:
    async with EmbeddedAws(kinesis_limits=FREE) as aws:
        aws.kinesis.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
        yield aws


@asynccontextmanager
async def client_of(aws: EmbeddedAws) -> AsyncIterator[Any]:
    config = AioConfig(retries={"total_max_attempts": 1})
    options = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    async with get_session().create_client("kinesis", endpoint_url=aws.endpoint_url, config=config, **options) as made:
        yield made


@pytest.fixture
async def client(aws: EmbeddedAws) -> AsyncIterator[Any]:
    async with client_of(aws) as made:
        yield made


async def subscribe(aws: EmbeddedAws, client: Any, kind: str = "TRIM_HORIZON") -> Any:
    request = {"StreamARN": aws.kinesis.stream("s").arn, "ConsumerName": "mine"}
    if not aws.kinesis.stream("s").consumers:
        aws.kinesis.call("RegisterStreamConsumer", request)
    arn = aws.kinesis.call("DescribeStreamConsumer", request)["ConsumerDescription"]["ConsumerARN"]
    answer = await client.subscribe_to_shard(ConsumerARN=arn, ShardId=SHARD, StartingPosition={"Type": kind})
    return answer["EventStream"]


async def test_aiobotocore_reads_events_until_the_subscription_ends(aws: EmbeddedAws, client: Any) -> None:
    stream = aws.kinesis.stream("s")
    stream.put("key", b"first")
    texts, empty = [], 0
    async for event in await subscribe(aws, client):
        told = event["SubscribeToShardEvent"]
        texts += [record["Data"] for record in told["Records"]]
        empty += not told["Records"]
        if texts == [b"first"]:
            stream.put("key", b"second")
            stream.put("key", b"third")
        assert told["ContinuationSequenceNumber"].isdigit()
    assert texts == [b"first", b"second", b"third"]
    assert empty, "an event without records is sent now and then"


async def test_the_end_of_a_shard_names_its_children(aws: EmbeddedAws, client: Any) -> None:
    aws.kinesis.stream("s").split(SHARD)
    events = [event["SubscribeToShardEvent"] async for event in await subscribe(aws, client)]
    assert [child["ParentShards"] for child in events[-1]["ChildShards"]] == [[SHARD], [SHARD]]


async def test_who_takes_over_ends_the_former_with_an_exception(aws: EmbeddedAws, client: Any) -> None:
    former, latter = await subscribe(aws, client), await subscribe(aws, client)
    with closing(former), closing(latter), pytest.raises(EventStreamError) as caught:
        async for _ in former:
            pass
    assert caught.value.response["Error"]["Code"] == "ResourceInUseException"


async def test_a_refused_subscription_is_an_ordinary_error(aws: EmbeddedAws, client: Any) -> None:
    aws.kinesis.trouble.fail("SubscribeToShard", code="LimitExceededException", status=400)
    with pytest.raises(ClientError) as caught:
        await subscribe(aws, client)
    assert caught.value.response["Error"]["Code"] == "LimitExceededException"


async def test_the_connection_serves_other_calls_once_the_events_are_over(aws: EmbeddedAws, client: Any) -> None:
    for _ in range(3):
        async for _ in await subscribe(aws, client):
            pass
        assert (await client.list_shards(StreamName="s"))["Shards"]


async def test_a_client_that_does_not_read_is_sent_no_more_than_it_can_hold() -> None:
    limits = replace(FREE, subscription_seconds=60.0, write_bytes_per_second=None)
    async with EmbeddedAws(kinesis_limits=limits) as aws, client_of(aws) as client:
        aws.kinesis.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
        stream = aws.kinesis.stream("s")
        for _ in range(60):
            _, newest = stream.put("key", bytes(500_000))
        with closing(await subscribe(aws, client)) as events:
            await asyncio.sleep(0.5)
            stream.trim(SHARD, newest)  # what was not sent yet is lost
            sent = 0
            async for event in events:
                if not (records := event["SubscribeToShardEvent"]["Records"]):
                    break
                sent += len(records)
    assert 0 < sent < 50


async def test_a_stream_outlives_the_server_and_its_subscriptions() -> None:
    async with EmbeddedAws() as aws, client_of(aws) as client:
        aws.kinesis.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
        events = await subscribe(aws, client)
        await aws.__aexit__(None, None, None)
        events.close()
    stream = aws.kinesis.stream("s")
    await asyncio.to_thread(stream.put, "key", b"1")  # where no loop runs
    assert len(stream.shards[0]) == 1


def test_boto3_reads_events(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedAws.in_thread(kinesis_limits=FREE) as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        stream = EmbeddedStream.create(aws, "s")
        stream.put("one")
        stream.put_aggregated(["two", "three"])
        client = boto3.client("kinesis")
        position = {"Type": "TRIM_HORIZON"}
        arn = stream.consumer("mine")
        answer = client.subscribe_to_shard(ConsumerARN=arn, ShardId=SHARD, StartingPosition=position)
        records = [record for event in answer["EventStream"] for record in event["SubscribeToShardEvent"]["Records"]]
        client.close()
    assert records[0]["Data"] == b"one"
    assert records[1]["Data"].startswith(b"\xf3\x89\x9a\xc2")
