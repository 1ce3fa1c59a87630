"""What a Kinesis does, seen by an ordinary client: on the embedded one and on two that others wrote."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from kinesis_client import Bench, KinesisServer, bench_on, hash_of


@pytest.fixture
async def bench(kinesis_server: KinesisServer) -> AsyncIterator[Bench]:
    async with bench_on(kinesis_server.url) as made:
        yield made


async def test_records_of_a_shard_come_in_the_order_of_their_sequence_numbers(bench: Bench) -> None:
    await bench.create()
    put = [await bench.put(str(number)) for number in range(10)]
    shard = put[0][0]
    numbers = [int(sequence) for _, sequence in put]
    assert numbers == sorted(numbers)
    assert (await bench.read(await bench.iterator(shard)))[0] == [str(number) for number in range(10)]


async def test_a_key_goes_to_the_shard_whose_range_has_its_hash(bench: Bench) -> None:
    await bench.create(4)
    ranges = {one["ShardId"]: one["HashKeyRange"] for one in await bench.shards()}
    for key in map(str, range(20)):
        shard, _ = await bench.put("x", key)
        assert int(ranges[shard]["StartingHashKey"]) <= hash_of(key) <= int(ranges[shard]["EndingHashKey"])


async def test_iterators_begin_where_they_say(bench: Bench) -> None:
    await bench.create()
    shard, first = await bench.put("1")
    _, second = await bench.put("2")
    await bench.put("3")
    latest = await bench.iterator(shard, "LATEST")
    await bench.put("4")
    assert (await bench.read(await bench.iterator(shard)))[0] == ["1", "2", "3", "4"]
    at = await bench.iterator(shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=second)
    assert (await bench.read(at))[0] == ["2", "3", "4"]
    after = await bench.iterator(shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first)
    assert (await bench.read(after))[0] == ["2", "3", "4"]
    assert (await bench.read(latest))[0] == ["4"]
    past = await bench.iterator(shard, "AT_TIMESTAMP", Timestamp=time.time() - 3_600)
    assert (await bench.read(past))[0] == ["1", "2", "3", "4"]


async def test_a_split_closes_the_parent_and_opens_two_that_share_its_range(bench: Bench) -> None:
    await bench.create()
    parent, _ = await bench.put("before")
    await bench.split((await bench.shards())[0])
    closed, *children = await bench.shards()
    assert closed["ShardId"] == parent
    assert int(closed["SequenceNumberRange"]["EndingSequenceNumber"])
    assert [one["ParentShardId"] for one in children] == [parent, parent]
    assert int(children[0]["HashKeyRange"]["EndingHashKey"]) + 1 == int(children[1]["HashKeyRange"]["StartingHashKey"])
    for child in children:
        start = int(child["SequenceNumberRange"]["StartingSequenceNumber"])
        assert start > int(closed["SequenceNumberRange"]["StartingSequenceNumber"])


async def test_a_closed_shard_ends_without_a_next_iterator(bench: Bench) -> None:
    await bench.create()
    parent, _ = await bench.put("last")
    await bench.split((await bench.shards())[0])
    texts, answer = await bench.read(await bench.iterator(parent))
    assert texts == ["last"]
    assert answer.get("NextShardIterator") is None


async def test_the_end_of_a_closed_shard_names_its_children(bench: Bench, kinesis_server: KinesisServer) -> None:
    kinesis_server.wanted("children")
    await bench.create()
    parent, _ = await bench.put("last")
    await bench.split((await bench.shards())[0])
    _, answer = await bench.read(await bench.iterator(parent))
    children = [one["ShardId"] for one in await bench.open_shards()]
    assert sorted(child["ShardId"] for child in answer["ChildShards"]) == sorted(children)
    assert all(child["ParentShards"] == [parent] for child in answer["ChildShards"])


async def test_a_merge_has_two_parents(bench: Bench) -> None:
    await bench.create(2)
    left, right = await bench.open_shards()
    await bench.merge(left, right)
    (merged,) = await bench.open_shards()
    assert {merged["ParentShardId"], merged["AdjacentParentShardId"]} == {left["ShardId"], right["ShardId"]}
    assert merged["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}


async def test_listings_have_pages_and_filters(bench: Bench, kinesis_server: KinesisServer) -> None:
    kinesis_server.wanted("paging")
    await bench.create(5)
    first = await bench.client.list_shards(StreamName=bench.name, MaxResults=2)
    rest = await bench.client.list_shards(NextToken=first["NextToken"], MaxResults=10)
    ids = [one["ShardId"] for one in (*first["Shards"], *rest["Shards"])]
    assert ids == [one["ShardId"] for one in await bench.shards()]
    assert len(ids) == 5
    after = {"Type": "AFTER_SHARD_ID", "ShardId": ids[2]}
    listed = await bench.client.list_shards(StreamName=bench.name, ShardFilter=after)
    assert [one["ShardId"] for one in listed["Shards"]] == ids[3:]


async def test_a_stream_can_be_scaled(bench: Bench, kinesis_server: KinesisServer) -> None:
    kinesis_server.wanted("scaling")
    await bench.create(2)
    await bench.client.update_shard_count(StreamName=bench.name, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    await bench.active()
    ranges = [one["HashKeyRange"] for one in await bench.open_shards()]
    assert len(ranges) == 4
    bounds = [int(one["StartingHashKey"]) for one in ranges]
    assert bounds == pytest.approx([2**128 * number // 4 for number in range(4)], abs=10)


async def test_streams_can_be_named_by_their_arns(bench: Bench, kinesis_server: KinesisServer) -> None:
    kinesis_server.wanted("arns")
    await bench.create()
    arn = (await bench.describe())["StreamARN"]
    answer = await bench.client.list_shards(StreamARN=arn)
    assert len(answer["Shards"]) == 1


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("list_shards", {"StreamName": "nowhere"}),
        ("put_record", {"StreamName": "nowhere", "PartitionKey": "k", "Data": b""}),
    ],
)
async def test_what_is_not_there_is_not_found(bench: Bench, operation: str, request_: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        await getattr(bench.client, operation)(**request_)
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


async def test_a_shard_that_is_not_there_is_not_found(bench: Bench) -> None:
    await bench.create()
    with pytest.raises(ClientError) as caught:
        await bench.iterator("shardId-000000000099")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


async def test_more_than_five_reads_a_second_are_refused(kinesis_server: KinesisServer) -> None:
    kinesis_server.wanted("throttles")
    async with bench_on(kinesis_server.url, attempts=1) as bench:
        await bench.create()
        iterator = await bench.iterator((await bench.put("1"))[0])
        reads = [bench.client.get_records(ShardIterator=iterator) for _ in range(30)]
        with pytest.raises(ClientError) as caught:
            await asyncio.gather(*reads)
    assert caught.value.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
