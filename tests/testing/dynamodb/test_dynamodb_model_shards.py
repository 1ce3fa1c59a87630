"""The tree of shards: hashes, rolling, splitting, closing, and what is forgotten when."""

from __future__ import annotations

import re

import pytest

from pollers.testing.dynamodb.limits import RETENTION
from pollers.testing.service import Fault

HOUR = 3_600.0


def _put(table, *ids):
    for id in ids:
        table.put({"id": {"S": str(id)}})


def _ids(records):
    return [record["dynamodb"]["Keys"]["id"]["S"] for record in records]


def test_stream_of_several_shards_divides_the_keys_and_keeps_each_in_one(dynamo):
    table = dynamo.create(shards=4)
    _put(table, *range(100))
    for id in range(100):
        table.delete({"id": {"S": str(id)}})
    shards = [_ids(shard.records) for shard in table.shards]
    assert len(shards) == 4
    assert all(shards)
    assert sorted(id for shard in shards for id in shard) == sorted(str(id) for id in [*range(100)] * 2)
    assert all(shard[: len(shard) // 2] == shard[len(shard) // 2 :] for shard in shards)


def test_shard_ids_carry_the_time_and_are_unique(dynamo):
    table = dynamo.create(shards=3)
    table.roll()
    dynamo.time += 1.5
    table.roll()
    ids = [shard.id for shard in table.shards]
    assert len(set(ids)) == 9
    assert all(re.fullmatch(r"shardId-\d{20}-[0-9a-f]{8}", id) for id in ids)
    assert {int(id.split("-")[1]) for id in ids} == {1_700_000_000_000, 1_700_000_001_500}


def test_roll_closes_each_open_shard_and_opens_one_child(dynamo):
    table = dynamo.create(shards=2)
    parents = {shard.id for shard in table.shards}
    _put(table, *range(10))
    table.roll()
    _put(table, *range(10, 20))
    closed = [shard for shard in table.shards if not shard.open]
    opened = [shard for shard in table.shards if shard.open]
    assert {shard.id for shard in closed} == parents == {shard.parent for shard in opened}
    assert sorted(_ids(closed[0].records + closed[1].records), key=int) == [str(id) for id in range(10)]
    assert sorted(_ids(opened[0].records + opened[1].records), key=int) == [str(id) for id in range(10, 20)]


def test_children_take_over_the_hashes_of_their_parent(dynamo):
    table = dynamo.create(shards=2)
    _put(table, *range(20))
    before = {id: shard.id for shard in table.shards for id in _ids(shard.records)}
    table.roll()
    for id in range(20):
        table.delete({"id": {"S": str(id)}})
    after = {id: shard.parent for shard in table.shards if shard.open for id in _ids(shard.records)}
    assert after == before


def test_open_shards_are_replaced_every_four_hours(dynamo):
    table = dynamo.create()
    dynamo.time += 4 * HOUR - 1
    assert len(table.shards) == 1
    dynamo.time += 1
    assert [shard.open for shard in table.shards] == [False, True]
    dynamo.time += 9 * HOUR
    shards = table.shards
    assert [shard.parent for shard in shards] == [None, *(shard.id for shard in shards[:-1])]
    assert [shard.opened - 1_700_000_000.0 for shard in shards] == [0, 4 * HOUR, 8 * HOUR, 12 * HOUR]


def test_rolling_by_time_may_be_quicker_or_off(dynamo):
    quick, still = dynamo.create("quick", roll_every=60.0), dynamo.create("still", roll_every=None)
    dynamo.time += 120
    assert len(quick.shards) == 3
    assert len(still.shards) == 1


def test_split_gives_two_children_that_share_the_parents_keys(dynamo):
    table = dynamo.create()
    (parent,) = table.shards
    table.split(parent.id)
    _put(table, *range(50))
    children = [shard for shard in table.shards if shard.parent == parent.id]
    assert len(children) == 2
    assert all(child.records for child in children)
    assert sorted(_ids(children[0].records + children[1].records), key=int) == [str(id) for id in range(50)]


def test_closed_shard_cannot_be_split(dynamo):
    table = dynamo.create()
    (parent,) = table.shards
    table.split(parent.id)
    with pytest.raises(ValueError, match="closed"):
        table.split(parent.id)


def test_records_vanish_24_hours_after_they_were_written(dynamo):
    table = dynamo.create(roll_every=None)
    _put(table, 1)
    dynamo.time += 10
    _put(table, 2)
    dynamo.time += RETENTION - 10.5
    assert _ids(dynamo.records(table)) == ["1", "2"]
    dynamo.time += 0.5
    assert _ids(dynamo.records(table)) == ["2"]
    dynamo.time += 10
    assert dynamo.records(table) == []


def test_closed_shards_vanish_24_hours_after_they_were_closed(dynamo):
    table = dynamo.create(roll_every=None)
    (parent,) = table.shards
    dynamo.time += HOUR
    table.roll()
    dynamo.time += RETENTION - 1
    assert len(table.shards) == 2
    dynamo.time += 1
    (child,) = table.shards
    assert child.parent == parent.id
    assert "ParentShardId" in dynamo.describe(table.stream_arn)["Shards"][0]
    with pytest.raises(Fault) as error:
        dynamo.iterator(table.stream_arn, parent.id)
    assert error.value.kind == "ResourceNotFoundException"


def test_disabled_stream_is_readable_for_24_hours_and_not_longer(dynamo):
    table = dynamo.create()
    _put(table, 1)
    dynamo.time += HOUR
    dynamo.tables("UpdateTable", TableName="orders", StreamSpecification={"StreamEnabled": False})
    _put(table, 2)
    arn = table.stream_arn
    dynamo.time += RETENTION - 2 * HOUR
    described = dynamo.describe(arn)
    assert described["StreamStatus"] == "DISABLED"
    assert all("EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in described["Shards"])
    assert _ids(dynamo.records(table)) == ["1"]
    dynamo.time += 2 * HOUR
    with pytest.raises(Fault) as error:
        dynamo.describe(arn)
    assert error.value.kind == "ResourceNotFoundException"
    assert dynamo.streams("ListStreams") == {"Streams": []}


def test_enabling_again_begins_a_new_stream_with_a_label_of_its_own(dynamo):
    table = dynamo.create()
    first = table.stream_arn
    _put(table, 1)
    spec = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    dynamo.tables("UpdateTable", TableName="orders", StreamSpecification={"StreamEnabled": False})
    dynamo.tables("UpdateTable", TableName="orders", StreamSpecification=spec)
    second = table.stream_arn
    _put(table, 2)
    assert first == "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2023-11-14T22:13:20.000"
    assert second != first
    assert re.fullmatch(r".*/stream/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", second)
    assert _ids(dynamo.read(first, dynamo.describe(first)["Shards"][0]["ShardId"])) == ["1"]
    assert _ids(dynamo.records(table)) == ["2"]
    assert [stream["StreamArn"] for stream in dynamo.streams("ListStreams")["Streams"]] == [first, second]


def test_stream_of_a_deleted_table_stays_readable(dynamo):
    table = dynamo.create()
    _put(table, 1)
    arn, (shard,) = table.stream_arn, table.shards
    dynamo.tables("DeleteTable", TableName="orders")
    again = dynamo.create()
    _put(again, 2)
    assert _ids(dynamo.read(arn, shard.id)) == ["1"]
    assert _ids(dynamo.records(again)) == ["2"]
    dynamo.time += RETENTION
    with pytest.raises(Fault, match="not found"):
        dynamo.describe(arn)


def test_clock_that_steps_back_makes_no_record_vanish_early(dynamo):
    table = dynamo.create(roll_every=None)
    begin = dynamo.time
    for id, seconds in enumerate((0, 100, 50, 110)):
        dynamo.time = begin + seconds
        _put(table, id)
    dynamo.time = begin + RETENTION + 60
    assert _ids(dynamo.records(table)) == ["1", "2", "3"]
