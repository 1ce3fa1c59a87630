"""The model of Kinesis on a clock that is moved by hand."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollers.testing.kinesis import KinesisLimits, KinesisModel, Shard
from pollers.testing.service import Dropped, Fault

DAY = 86_400.0


class Bench:
    def __init__(self, shards: int = 1, **limits: Any) -> None:
        self.now = 1_700_000_000.0
        self.model = KinesisModel(lambda: self.now, limits=KinesisLimits(**limits))
        self.call("CreateStream", StreamName="s", ShardCount=shards)
        self.stream = self.model.stream("s")

    def call(self, action: str, **request: Any) -> dict[str, Any]:
        return self.model.call(action, request)

    def refused(self, action: str, **request: Any) -> str:
        with pytest.raises(Fault) as caught:
            self.call(action, **request)
        return caught.value.kind

    def iterator(self, shard: int = 0, kind: str = "TRIM_HORIZON", **where: Any) -> str:
        name = f"shardId-{shard:012}"
        answer = self.call("GetShardIterator", StreamName="s", ShardId=name, ShardIteratorType=kind, **where)
        return str(answer["ShardIterator"])

    def read(self, iterator: str, limit: int = 10_000) -> dict[str, Any]:
        return self.call("GetRecords", ShardIterator=iterator, Limit=limit)

    def texts(self, shard: int = 0) -> list[str]:
        return [base64.b64decode(record["Data"]).decode() for record in self.read(self.iterator(shard))["Records"]]


def test_records_are_on_the_wire_as_kinesis_has_them() -> None:
    bench = Bench()
    _, sequence = bench.stream.put("key", b"\x00\xff")
    answer = bench.read(bench.iterator())
    assert answer["Records"] == [
        {"SequenceNumber": sequence, "ApproximateArrivalTimestamp": bench.now, "Data": "AP8=", "PartitionKey": "key"}
    ]
    assert answer["MillisBehindLatest"] == 0
    assert len(sequence) == 56


def test_how_far_behind_a_reader_is_counts_from_the_next_record() -> None:
    bench = Bench()
    bench.stream.put("key", b"1")
    bench.now += 7.5
    bench.stream.put("key", b"2")
    bench.now += 0.5
    answer = bench.read(bench.iterator(), 1)
    assert answer["MillisBehindLatest"] == 500
    assert bench.read(bench.iterator(), 2)["MillisBehindLatest"] == 0


def test_iterators_expire() -> None:
    bench = Bench()
    iterator = bench.iterator()
    bench.now += 300
    bench.read(iterator)
    bench.now += 0.1
    assert bench.refused("GetRecords", ShardIterator=iterator) == "ExpiredIteratorException"


def test_records_expire_with_the_retention_and_a_position_before_them_begins_at_the_horizon() -> None:
    bench = Bench()
    _, first = bench.stream.put("key", b"old")
    bench.now += DAY + 1
    bench.stream.put("key", b"new")
    assert bench.texts() == ["new"]
    after = bench.iterator(0, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first)
    assert len(bench.read(after)["Records"]) == 1


def test_a_closed_shard_leaves_the_stream_when_its_records_have() -> None:
    bench = Bench()
    bench.stream.put("key", b"old")
    bench.stream.split("shardId-000000000000")
    assert len(bench.stream.shards) == 3
    bench.now += DAY + 1
    assert [shard.id for shard in bench.stream.shards] == ["shardId-000000000001", "shardId-000000000002"]
    request = {"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    assert bench.refused("GetShardIterator", **request) == "ResourceNotFoundException"


def test_five_reads_a_second_and_two_megabytes() -> None:
    bench = Bench(writes_per_second=None, write_bytes_per_second=None)
    iterator = bench.iterator()
    for _ in range(5):
        bench.read(iterator)
    assert bench.refused("GetRecords", ShardIterator=iterator) == "ProvisionedThroughputExceededException"
    bench.now += 1
    for _ in range(12):
        bench.stream.put("key", b"x" * 1_000_000)
    assert len(bench.read(iterator)["Records"]) == 10  # ten megabytes at most
    bench.now += 2
    assert bench.refused("GetRecords", ShardIterator=iterator) == "ProvisionedThroughputExceededException"
    bench.now += 3
    bench.read(iterator)


def test_a_shard_takes_a_thousand_records_a_second() -> None:
    bench = Bench()
    records = [{"PartitionKey": "key", "Data": "AA=="}] * 500
    for failed in (0, 0, 500):
        answer = bench.call("PutRecords", StreamName="s", Records=records)
        assert answer["FailedRecordCount"] == failed
    assert {one["ErrorCode"] for one in answer["Records"]} == {"ProvisionedThroughputExceededException"}
    bench.now += 1
    assert bench.call("PutRecords", StreamName="s", Records=records)["FailedRecordCount"] == 0


def test_a_stream_that_reshards_for_a_while_is_not_active() -> None:
    bench = Bench(reshard_seconds=30.0)
    bench.stream.split("shardId-000000000000")
    request = {
        "StreamName": "s",
        "ShardToMerge": "shardId-000000000001",
        "AdjacentShardToMerge": "shardId-000000000002",
    }
    assert bench.refused("MergeShards", **request) == "ResourceInUseException"
    bench.now += 30
    bench.call("MergeShards", **request)


@pytest.mark.parametrize("counts", [[2, 4, 8, 4, 2, 1], [2, 3, 2], [1, 2, 3, 5, 7]])
def test_scaling_comes_to_equal_ranges_that_cover_everything(counts: list[int]) -> None:
    bench = Bench()
    for count in counts:
        bench.call("UpdateShardCount", StreamName="s", TargetShardCount=count, ScalingType="UNIFORM_SCALING")
        shards = bench.stream.open_shards()
        assert [shard.first_hash for shard in shards] == [2**128 * number // count for number in range(count)]
        assert shards[-1].last_hash == 2**128 - 1


def test_scaling_is_at_most_double_and_at_least_half() -> None:
    bench = Bench(shards=4)
    for target in (9, 1):
        request = {"StreamName": "s", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"}
        assert bench.refused("UpdateShardCount", **request) == "InvalidArgumentException"


@pytest.mark.parametrize(
    ("action", "request_", "kind"),
    [
        ("CreateStream", {"StreamName": "s", "ShardCount": 1}, "ResourceInUseException"),
        ("DeleteStream", {"StreamName": "none"}, "ResourceNotFoundException"),
        ("ListShards", {}, "InvalidArgumentException"),
        ("ListShards", {"NextToken": "x"}, "InvalidArgumentException"),
        ("GetRecords", {"ShardIterator": "x"}, "InvalidArgumentException"),
        ("GetRecords", {}, "ValidationException"),
        ("PutRecord", {"StreamName": "s", "Data": "AA=="}, "ValidationException"),
        ("PutRecord", {"StreamName": "s", "Data": "?", "PartitionKey": "k"}, "SerializationException"),
        ("SplitShard", {"StreamName": "s", "ShardToSplit": "shardId-000000000000"}, "ValidationException"),
        ("UpdateStreamMode", {}, "InvalidArgumentException"),
        ("SubscribeToShard", {}, "ValidationException"),
        ("NoSuchAction", {}, "UnknownOperationException"),
    ],
)
def test_wrong_requests_are_refused_by_name(action: str, request_: dict[str, Any], kind: str) -> None:
    assert Bench().refused(action, **request_) == kind


def test_trouble_comes_to_the_stream_or_to_one_shard() -> None:
    bench = Bench(shards=2)
    bench.model.trouble.fail("GetRecords", resource="s/shardId-000000000001", code="InternalFailure")
    bench.read(bench.iterator(0))
    assert bench.refused("GetRecords", ShardIterator=bench.iterator(1)) == "InternalFailure"
    bench.model.trouble.drop("GetRecords", resource="s")
    with pytest.raises(Dropped):
        bench.read(bench.iterator(1))
    assert bench.model.journal.count("GetRecords", "s/shardId-000000000001") == 2


def test_consumers_and_tags_are_kept() -> None:
    bench = Bench()
    arn = bench.stream.arn
    made = bench.call("RegisterStreamConsumer", StreamARN=arn, ConsumerName="mine")["Consumer"]
    described = bench.call("DescribeStreamConsumer", ConsumerARN=made["ConsumerARN"])["ConsumerDescription"]
    assert described["StreamARN"] == arn
    assert len(bench.call("ListStreamConsumers", StreamARN=arn)["Consumers"]) == 1
    bench.call("DeregisterStreamConsumer", StreamARN=arn, ConsumerName="mine")
    assert bench.call("ListStreamConsumers", StreamARN=arn)["Consumers"] == []
    bench.call("AddTagsToStream", StreamName="s", Tags={"a": "1"})
    assert bench.call("ListTagsForStream", StreamName="s")["Tags"] == [{"Key": "a", "Value": "1"}]
    bench.call("RemoveTagsFromStream", StreamName="s", TagKeys=["a"])
    assert bench.call("ListTagsForStream", StreamName="s")["Tags"] == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "put", "put", "split", "merge"]), st.integers(0, 30)), max_size=60))
def test_parents_before_children_give_every_keys_records_in_put_order(steps: list[tuple[str, int]]) -> None:
    bench = Bench(reads_per_second=None)
    expected: dict[str, list[str]] = {}
    for number, (step, pick) in enumerate(steps):
        shards = bench.stream.open_shards()
        if step == "put":
            bench.stream.put(f"key-{pick}", str(number).encode())
            expected.setdefault(f"key-{pick}", []).append(str(number))
        elif step == "split":
            bench.stream.split(shards[pick % len(shards)].id)
        elif len(shards) > 1:
            left = pick % (len(shards) - 1)
            bench.stream.merge(shards[left].id, shards[left + 1].id)
    found: dict[str, list[str]] = {}
    for shard in _by_age(bench.stream.shards):
        for record in shard.records:
            found.setdefault(record["PartitionKey"], []).append(base64.b64decode(record["Data"]).decode())
    assert found == expected


def _by_age(shards: list[Shard]) -> list[Shard]:
    """Parents first."""
    done: list[Shard] = []
    while len(done) < len(shards):
        ready = {shard.id for shard in done}
        done += [one for one in shards if one not in done and ready.issuperset(one.parents)]
    return done
