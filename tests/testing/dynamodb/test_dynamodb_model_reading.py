"""DescribeStream, GetShardIterator and GetRecords: pages, places, ends and refusals."""

from __future__ import annotations

import pytest

from pollers.testing.dynamodb import StreamLimits
from pollers.testing.dynamodb.limits import RETENTION
from pollers.testing.service import Dropped, Fault


def _put(table, *ids, **more):
    for id in ids:
        table.put({"id": {"S": str(id)}, **more})


def _ids(records):
    return [record["dynamodb"]["Keys"]["id"]["S"] for record in records]


def _number(record):
    return record["dynamodb"]["SequenceNumber"]


def _kind(call, *arguments, **members):
    """The error's name."""
    with pytest.raises(Fault) as error:
        call(*arguments, **members)
    assert error.value.namespace == "com.amazonaws.dynamodb.v20120810"
    assert error.value.status == 400
    return error.value.kind


@pytest.fixture
def table(dynamo):
    """Five records in one open shard."""
    table = dynamo.create(roll_every=None)
    _put(table, *range(5))
    return table


@pytest.fixture
def shard(table):
    return table.shards[0].id


def test_each_iterator_type_begins_at_its_place(dynamo, table, shard):
    third = _number(dynamo.records(table)[2])
    arn = table.stream_arn
    assert _ids(dynamo.read(arn, shard, "TRIM_HORIZON")) == ["0", "1", "2", "3", "4"]
    assert _ids(dynamo.read(arn, shard, "AT_SEQUENCE_NUMBER", third)) == ["2", "3", "4"]
    assert _ids(dynamo.read(arn, shard, "AFTER_SEQUENCE_NUMBER", third)) == ["3", "4"]
    latest = dynamo.iterator(arn, shard, "LATEST")
    _put(table, "late")
    assert _ids(dynamo.streams("GetRecords", ShardIterator=latest)["Records"]) == ["late"]


def test_reading_goes_on_where_the_page_before_ended(dynamo, table, shard):
    iterator, pages = dynamo.iterator(table.stream_arn, shard), []
    for _ in range(4):
        answer = dynamo.streams("GetRecords", ShardIterator=iterator, Limit=2)
        pages.append(_ids(answer["Records"]))
        iterator = answer["NextShardIterator"]
    _put(table, "new")
    assert pages == [["0", "1"], ["2", "3"], ["4"], []]
    assert _ids(dynamo.streams("GetRecords", ShardIterator=iterator)["Records"]) == ["new"]


def test_next_iterator_is_absent_exactly_at_the_end_of_a_closed_shard(dynamo, table, shard):
    open_at_the_end = dynamo.streams("GetRecords", ShardIterator=dynamo.iterator(table.stream_arn, shard))
    table.roll()
    iterator = dynamo.iterator(table.stream_arn, shard)
    before_the_end = dynamo.streams("GetRecords", ShardIterator=iterator, Limit=4)
    at_the_end = dynamo.streams("GetRecords", ShardIterator=before_the_end["NextShardIterator"], Limit=4)
    resumed = dynamo.streams("GetRecords", ShardIterator=open_at_the_end["NextShardIterator"])
    assert _ids(at_the_end["Records"]) == ["4"]
    assert resumed["Records"] == []
    assert "NextShardIterator" not in at_the_end
    assert "NextShardIterator" not in resumed


def test_closed_shard_without_records_ends_at_once(dynamo):
    table = dynamo.create()
    (shard,) = table.shards
    table.roll()
    iterator = dynamo.iterator(table.stream_arn, shard.id, "LATEST")
    assert dynamo.streams("GetRecords", ShardIterator=iterator) == {"Records": []}


def test_page_has_at_most_a_thousand_records(dynamo):
    table = dynamo.create()
    _put(table, *range(1_500))
    (shard,) = table.shards
    first = dynamo.streams("GetRecords", ShardIterator=dynamo.iterator(table.stream_arn, shard.id))
    rest = dynamo.streams("GetRecords", ShardIterator=first["NextShardIterator"])
    assert _ids(first["Records"] + rest["Records"]) == [str(id) for id in range(1_500)]
    assert len(first["Records"]) == 1_000


@pytest.mark.parametrize("trimmed", [False, True])
def test_page_has_at_most_one_megabyte(dynamo, trimmed):
    table = dynamo.create(view="NEW_IMAGE")
    _put(table, *range(9), body={"S": "x" * 260_000})
    (shard,) = table.shards
    if trimmed:
        table.trim(shard.id, _number(shard.records[0]))
    iterator, counts = dynamo.iterator(table.stream_arn, shard.id), []
    for _ in range(3):
        answer = dynamo.streams("GetRecords", ShardIterator=iterator)
        counts.append(len(answer["Records"]))
        iterator = answer["NextShardIterator"]
    assert counts == ([4, 4, 0] if trimmed else [4, 4, 1])


def test_sequence_number_below_the_horizon_is_trimmed_data(dynamo, table, shard):
    numbers = [_number(record) for record in dynamo.records(table)]
    table.trim(shard, numbers[1])
    arn = table.stream_arn
    assert _kind(dynamo.iterator, arn, shard, "AT_SEQUENCE_NUMBER", numbers[1]) == "TrimmedDataAccessException"
    assert _kind(dynamo.iterator, arn, shard, "AFTER_SEQUENCE_NUMBER", numbers[0]) == "TrimmedDataAccessException"
    assert _ids(dynamo.read(arn, shard, "AT_SEQUENCE_NUMBER", numbers[2])) == ["2", "3", "4"]
    assert _ids(dynamo.read(arn, shard)) == ["2", "3", "4"]


def test_iterator_whose_next_record_was_trimmed_meanwhile_is_refused(dynamo, table, shard):
    behind, ahead = dynamo.iterator(table.stream_arn, shard), dynamo.iterator(table.stream_arn, shard, "LATEST")
    table.trim(shard, _number(dynamo.records(table)[-1]))
    assert _kind(dynamo.streams, "GetRecords", ShardIterator=behind) == "TrimmedDataAccessException"
    assert dynamo.streams("GetRecords", ShardIterator=ahead)["Records"] == []


def test_records_trimmed_by_age_are_trimmed_data_too(dynamo, table, shard):
    first = _number(dynamo.records(table)[0])
    dynamo.time += RETENTION
    arguments = table.stream_arn, shard, "AT_SEQUENCE_NUMBER", first
    assert _kind(dynamo.iterator, *arguments) == "TrimmedDataAccessException"


def test_sequence_number_of_another_shard_is_refused(dynamo, table, shard):
    last = _number(dynamo.records(table)[-1])
    table.roll()
    _put(table, "new")
    child = next(candidate for candidate in table.shards if candidate.open)
    for at, number in ((child.id, last), (shard, _number(child.records[0])), (child.id, "9" * 40), (shard, "12")):
        assert _kind(dynamo.iterator, table.stream_arn, at, "AT_SEQUENCE_NUMBER", number) == "ValidationException"


def test_bounds_of_a_shard_are_places_in_it(dynamo, table, shard):
    table.roll()
    bounds = next(
        described["SequenceNumberRange"]
        for described in dynamo.describe(table.stream_arn)["Shards"]
        if described["ShardId"] == shard
    )
    arn = table.stream_arn
    assert len(dynamo.read(arn, shard, "AT_SEQUENCE_NUMBER", bounds["StartingSequenceNumber"])) == 5
    assert dynamo.read(arn, shard, "AFTER_SEQUENCE_NUMBER", bounds["EndingSequenceNumber"]) == []


def test_iterator_expires_after_15_minutes(dynamo, table, shard):
    iterator = dynamo.iterator(table.stream_arn, shard)
    dynamo.time += 899
    following = dynamo.streams("GetRecords", ShardIterator=iterator)["NextShardIterator"]
    dynamo.time += 1
    assert _kind(dynamo.streams, "GetRecords", ShardIterator=iterator) == "ExpiredIteratorException"
    assert dynamo.streams("GetRecords", ShardIterator=following)["Records"] == []


def test_reads_of_a_shard_are_limited_where_a_test_says_so(dynamo_with):
    dynamo = dynamo_with(StreamLimits(reads_per_second=2))
    table = dynamo.create(shards=2)
    one, other = (dynamo.iterator(table.stream_arn, shard.id) for shard in table.shards)
    dynamo.streams("GetRecords", ShardIterator=one)
    dynamo.time += 0.5
    dynamo.streams("GetRecords", ShardIterator=one)
    assert _kind(dynamo.streams, "GetRecords", ShardIterator=one) == "LimitExceededException"
    dynamo.streams("GetRecords", ShardIterator=other)
    dynamo.time += 0.5
    dynamo.streams("GetRecords", ShardIterator=one)
    assert _kind(dynamo.streams, "GetRecords", ShardIterator=one) == "LimitExceededException"


def test_stream_is_described(dynamo):
    table = dynamo.create(sort_key="at", view="KEYS_ONLY")
    dynamo.time += 5
    table.roll()
    parent, child = table.shards
    assert dynamo.describe(table.stream_arn) == {
        "StreamArn": table.stream_arn,
        "StreamLabel": "2023-11-14T22:13:20.000",
        "StreamStatus": "ENABLED",
        "StreamViewType": "KEYS_ONLY",
        "CreationRequestDateTime": 1_700_000_000.0,
        "TableName": "orders",
        "KeySchema": [
            {"AttributeName": "id", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        "Shards": [
            {
                "ShardId": parent.id,
                "SequenceNumberRange": {
                    "StartingSequenceNumber": str(parent.first),
                    "EndingSequenceNumber": str(parent.last),
                },
            },
            {
                "ShardId": child.id,
                "SequenceNumberRange": {"StartingSequenceNumber": str(child.first)},
                "ParentShardId": parent.id,
            },
        ],
    }
    assert parent.first < parent.last < child.first


def test_shards_are_described_in_pages(dynamo):
    table = dynamo.create(shards=150)
    found, after, sizes = [], {}, []
    while True:
        page = dynamo.describe(table.stream_arn, **after)
        found += [shard["ShardId"] for shard in page["Shards"]]
        sizes.append(len(page["Shards"]))
        if "LastEvaluatedShardId" not in page:
            break
        after = {"ExclusiveStartShardId": page["LastEvaluatedShardId"], "Limit": 30}
    assert sizes == [100, 30, 20]
    assert found == [shard.id for shard in table.shards]


def test_children_of_one_shard_are_described_alone(dynamo):
    table = dynamo.create(shards=2)
    parent = table.shards[0].id
    table.split(parent)
    table.roll()
    described = dynamo.describe(table.stream_arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": parent})
    assert len(described["Shards"]) == 2
    assert {shard["ParentShardId"] for shard in described["Shards"]} == {parent}


def test_streams_are_listed_in_pages_and_by_table(dynamo):
    arns = [dynamo.create(name).stream_arn for name in ("aaa", "bbb", "ccc")]
    first = dynamo.streams("ListStreams", Limit=2)
    rest = dynamo.streams("ListStreams", ExclusiveStartStreamArn=first["LastEvaluatedStreamArn"])
    assert [stream["StreamArn"] for stream in first["Streams"] + rest["Streams"]] == arns
    assert "LastEvaluatedStreamArn" not in rest
    assert dynamo.streams("ListStreams", TableName="bbb") == {
        "Streams": [{"StreamArn": arns[1], "TableName": "bbb", "StreamLabel": "2023-11-14T22:13:20.000"}]
    }


@pytest.mark.parametrize(
    ("action", "members"),
    [
        ("DescribeStream", {"Limit": 101}),
        ("DescribeStream", {"Limit": 0}),
        ("DescribeStream", {"ShardFilter": {"Type": "ALL", "ShardId": "x"}}),
        ("DescribeStream", {"ShardFilter": {"Type": "CHILD_SHARDS"}}),
        ("DescribeStream", {"Unheard": "of"}),
        ("GetShardIterator", {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 5}),
        ("GetShardIterator", {"ShardIteratorType": "AT_SEQUENCE_NUMBER"}),
        ("GetShardIterator", {"ShardIteratorType": "LATEST", "SequenceNumber": "9" * 21}),
        ("GetRecords", {"ShardIterator": "no iterator"}),
        ("GetRecords", {"ShardIterator": "a|1|////"}),
        ("GetRecords", {}),
        ("ListStreams", {"Limit": 101}),
        ("SubscribeToShard", {}),
    ],
)
def test_bad_request_is_a_validation_error(dynamo, table, shard, action, members):
    if action in ("DescribeStream", "GetShardIterator"):
        members = {"StreamArn": table.stream_arn, **members}
    if action == "GetShardIterator":
        members = {"ShardId": shard, **members}
    assert _kind(dynamo.streams, action, **members) == "ValidationException"


def test_limit_of_a_page_is_at_most_a_thousand(dynamo, table, shard):
    iterator = dynamo.iterator(table.stream_arn, shard)
    assert _kind(dynamo.streams, "GetRecords", ShardIterator=iterator, Limit=1_001) == "ValidationException"


def test_stream_or_shard_that_does_not_exist_is_not_found(dynamo, table):
    nowhere = table.stream_arn[:-1] + "9"
    assert _kind(dynamo.describe, nowhere) == "ResourceNotFoundException"
    missing = "shardId-00000000000000000000-00000000"
    assert _kind(dynamo.iterator, table.stream_arn, missing) == "ResourceNotFoundException"


@pytest.mark.parametrize("whole", [True, False], ids=["by table", "by shard"])
def test_trouble_is_ordered_for_a_table_or_for_one_of_its_shards(dynamo, whole):
    table = dynamo.create(shards=2)
    one, other = (shard.id for shard in table.shards)
    resource = "orders" if whole else f"orders/{one}"
    dynamo.model.streams.trouble.fail(
        "GetRecords", 1, code="ProvisionedThroughputExceededException", status=400, resource=resource
    )
    iterators = [dynamo.iterator(table.stream_arn, shard) for shard in (other, one)]
    failed = []
    for shard, iterator in zip((other, one), iterators, strict=True):
        try:
            dynamo.streams("GetRecords", ShardIterator=iterator)
        except Fault as fault:
            failed.append((shard, fault.kind))
    assert failed == [(other if whole else one, "ProvisionedThroughputExceededException")]


def test_call_may_be_dropped_after_it_was_applied(dynamo, table):
    dynamo.model.tables.trouble.drop("PutItem", resource="orders", after=True)
    with pytest.raises(Dropped):
        dynamo.tables("PutItem", TableName="orders", Item={"id": {"S": "dropped"}})
    assert _ids(dynamo.records(table))[-1] == "dropped"


def test_each_service_keeps_a_journal_of_its_calls(dynamo, table, shard):
    dynamo.tables("PutItem", TableName=table.arn, Item={"id": {"S": "x"}})
    dynamo.describe(table.stream_arn)
    dynamo.read(table.stream_arn, shard)
    assert [call[:2] for call in dynamo.model.tables.journal.calls] == [("PutItem", "orders")]
    assert [call[:2] for call in dynamo.model.streams.journal.calls] == [
        ("DescribeStream", "orders"),
        ("GetShardIterator", f"orders/{shard}"),
        ("GetRecords", f"orders/{shard}"),
    ]
