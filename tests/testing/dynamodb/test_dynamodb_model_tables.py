"""The tables that write to streams: what is modeled works as on AWS, what is not is refused."""

from __future__ import annotations

import pytest

from pollers.testing.service import Fault

KEY = {"id": {"S": "1"}}
SCHEMA = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
}
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}


def _fault(call, *arguments, **members):
    with pytest.raises(Fault) as error:
        call(*arguments, **members)
    return error.value


def test_table_is_created_active_with_its_stream(dynamo):
    members = {**SCHEMA, "BillingMode": "PAY_PER_REQUEST", "StreamSpecification": STREAM}
    created = dynamo.tables("CreateTable", TableName="orders", **members)["TableDescription"]
    described = dynamo.tables("DescribeTable", TableName="orders")["Table"]
    assert created == described
    assert described["TableStatus"] == "ACTIVE"
    assert described["TableArn"] == "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
    assert described["LatestStreamArn"] == dynamo.model.table("orders").stream_arn
    assert (described["StreamSpecification"], described["KeySchema"]) == (STREAM, SCHEMA["KeySchema"])
    assert described["BillingModeSummary"] == {"BillingMode": "PAY_PER_REQUEST"}


def test_stream_is_turned_off_and_on(dynamo):
    dynamo.tables("CreateTable", TableName="orders", **SCHEMA)
    off = {"TableName": "orders", "StreamSpecification": {"StreamEnabled": False}}
    on = {"TableName": "orders", "StreamSpecification": STREAM}
    assert _fault(dynamo.tables, "UpdateTable", **off).kind == "ValidationException"
    assert dynamo.tables("UpdateTable", **on)["TableDescription"]["StreamSpecification"] == STREAM
    assert _fault(dynamo.tables, "UpdateTable", **on).kind == "ValidationException"
    described = dynamo.tables("UpdateTable", **off)["TableDescription"]
    assert "StreamSpecification" not in described
    assert described["LatestStreamArn"] == dynamo.model.table("orders").stream_arn


def test_tables_are_listed_in_pages(dynamo):
    for name in ("ccc", "aaa", "bbb"):
        dynamo.create(name)
    first = dynamo.tables("ListTables", Limit=2)
    assert first == {"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"}
    assert dynamo.tables("ListTables", ExclusiveStartTableName="bbb") == {"TableNames": ["ccc"]}


def test_name_is_taken_until_the_table_is_deleted(dynamo):
    dynamo.tables("CreateTable", TableName="orders", **SCHEMA)
    assert _fault(dynamo.tables, "CreateTable", TableName="orders", **SCHEMA).kind == "ResourceInUseException"
    assert dynamo.tables("DeleteTable", TableName="orders")["TableDescription"]["TableStatus"] == "DELETING"
    assert _fault(dynamo.tables, "DescribeTable", TableName="orders").kind == "ResourceNotFoundException"
    dynamo.tables("CreateTable", TableName="orders", **SCHEMA)


def test_items_are_put_got_and_deleted(dynamo):
    dynamo.create()
    item = {**KEY, "n": {"N": "007.50"}}
    assert dynamo.tables("PutItem", TableName="orders", Item=item, ReturnValues="ALL_OLD") == {}
    kept = {**KEY, "n": {"N": "7.5"}}
    assert dynamo.tables("GetItem", TableName="orders", Key=KEY, ConsistentRead=True) == {"Item": kept}
    assert dynamo.tables("PutItem", TableName="orders", Item=KEY, ReturnValues="ALL_OLD") == {"Attributes": kept}
    assert dynamo.tables("DeleteItem", TableName="orders", Key=KEY) == {}
    assert dynamo.tables("GetItem", TableName="orders", Key=KEY) == {}


def test_scan_finds_every_item_once_page_by_page(dynamo):
    table = dynamo.create(sort_key="at", types={"at": "N"})
    for id in range(25):
        table.put({"id": {"S": str(id % 5)}, "at": {"N": str(id)}})
    found, start = [], {}
    while True:
        page = dynamo.tables("Scan", TableName="orders", Limit=10, **start)
        found += page["Items"]
        assert page["Count"] == len(page["Items"]) <= 10
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        table.delete(page["LastEvaluatedKey"])
    assert sorted(int(item["at"]["N"]) for item in found) == list(range(25))


def test_scan_sees_what_was_written_since_the_one_before(dynamo):
    table = dynamo.create()
    table.put(KEY)
    assert dynamo.tables("Scan", TableName="orders")["Items"] == [KEY]
    table.put({"id": {"S": "2"}})
    assert dynamo.tables("Scan", TableName="orders")["Count"] == 2
    table.delete(KEY)
    assert dynamo.tables("Scan", TableName="orders")["Items"] == [{"id": {"S": "2"}}]


def test_scan_gives_at_most_one_megabyte_at_once(dynamo):
    table = dynamo.create()
    for id in range(5):
        table.put({"id": {"S": str(id)}, "body": {"S": "x" * 300_000}})
    assert dynamo.tables("Scan", TableName="orders")["Count"] == 3


def test_batch_writes_and_deletes(dynamo):
    table = dynamo.create()
    table.put(KEY)
    writes = [{"DeleteRequest": {"Key": KEY}}, {"PutRequest": {"Item": {"id": {"S": "2"}}}}]
    assert dynamo.tables("BatchWriteItem", RequestItems={"orders": writes}) == {"UnprocessedItems": {}}
    assert table.items == [{"id": {"S": "2"}}]


def test_writes_of_a_batch_that_trouble_chooses_come_back_unprocessed(dynamo):
    table = dynamo.create()
    first, second = ({"PutRequest": {"Item": {"id": {"S": id}}}} for id in "12")
    dynamo.model.tables.trouble.fail_entries("BatchWriteItem", entries=lambda entry: entry == first)
    answer = dynamo.tables("BatchWriteItem", RequestItems={"orders": [first, second]})
    assert answer == {"UnprocessedItems": {"orders": [first]}}
    assert table.items == [{"id": {"S": "2"}}]


def test_batch_with_one_bad_write_writes_nothing(dynamo):
    table = dynamo.create()
    good, bad = {"PutRequest": {"Item": KEY}}, {"PutRequest": {"Item": {"no": {"S": "key"}}}}
    for writes in ([good, bad], [good, good], [good, {}], [good] * 26, []):
        error = _fault(dynamo.tables, "BatchWriteItem", RequestItems={"orders": writes})
        assert error.kind == "ValidationException"
    assert table.items == []


def test_item_is_deleted_when_its_time_to_live_is_over(dynamo):
    table = dynamo.create()
    ends = int(dynamo.time) + 60
    table.put({**KEY, "ends": {"N": str(ends)}})
    spec = {"Enabled": True, "AttributeName": "ends"}
    dynamo.tables("UpdateTimeToLive", TableName="orders", TimeToLiveSpecification=spec)
    table.put({"id": {"S": "longer"}, "ends": {"N": str(ends)}})
    table.put({"id": {"S": "longer"}, "ends": {"N": str(ends + 60)}})
    table.put({"id": {"S": "ever"}, "ends": {"S": str(ends)}})
    table.put({"id": {"S": "ancient"}, "ends": {"N": "1"}})
    dynamo.time += 60
    removed = dynamo.records(table)[-1]
    assert (removed["eventName"], removed["dynamodb"]["Keys"]) == ("REMOVE", KEY)
    assert removed["userIdentity"]["Type"] == "Service"
    assert sorted(item["id"]["S"] for item in table.items) == ["ancient", "ever", "longer"]


def test_time_to_live_is_described_and_turned_off(dynamo):
    table = dynamo.create()
    spec = {"Enabled": True, "AttributeName": "ends"}
    arguments = {"TableName": "orders", "TimeToLiveSpecification": spec}
    assert dynamo.tables("UpdateTimeToLive", **arguments) == {"TimeToLiveSpecification": spec}
    assert _fault(dynamo.tables, "UpdateTimeToLive", **arguments).kind == "ValidationException"
    described = dynamo.tables("DescribeTimeToLive", TableName="orders")["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ends"}
    table.put({**KEY, "ends": {"N": str(int(dynamo.time) + 1)}})
    arguments["TimeToLiveSpecification"] = {**spec, "Enabled": False}
    dynamo.tables("UpdateTimeToLive", **arguments)
    dynamo.time += 10
    assert len(table.items) == 1
    described = dynamo.tables("DescribeTimeToLive", TableName="orders")["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "DISABLED"}


@pytest.mark.parametrize(
    ("action", "members", "named"),
    [
        ("PutItem", {"Item": KEY, "ConditionExpression": "attribute_not_exists(id)"}, "ConditionExpression"),
        ("PutItem", {"Item": KEY, "Expected": {}}, "Expected"),
        ("PutItem", {"Item": KEY, "ReturnConsumedCapacity": "TOTAL"}, "ReturnConsumedCapacity"),
        ("DeleteItem", {"Key": KEY, "ConditionExpression": "attribute_exists(id)"}, "ConditionExpression"),
        ("GetItem", {"Key": KEY, "ProjectionExpression": "id"}, "ProjectionExpression"),
        ("Scan", {"FilterExpression": "id = :id"}, "FilterExpression"),
        ("Scan", {"Segment": 0, "TotalSegments": 2}, "Segment"),
        ("Scan", {"Select": "COUNT"}, "Select"),
        ("CreateTable", {**SCHEMA, "GlobalSecondaryIndexes": []}, "GlobalSecondaryIndexes"),
        ("UpdateTable", {"BillingMode": "PAY_PER_REQUEST"}, "BillingMode"),
        ("UpdateItem", {"Key": KEY}, "UpdateItem"),
        ("TransactWriteItems", {}, "TransactWriteItems"),
        ("Query", {}, "Query"),
    ],
)
def test_what_is_not_modeled_is_refused_by_name(dynamo, action, members, named):
    table = dynamo.create()
    error = _fault(dynamo.tables, action, TableName="orders", **members)
    assert error.kind == "ValidationException"
    assert error.message.startswith(named)
    assert error.message.endswith("is not part of the embedded DynamoDB.")
    assert table.items == []


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, "Missing the key id"),
        ({"id": {"N": "1"}}, "Type mismatch for key id expected: S actual: N"),
        ({"id": {"S": ""}}, "empty string value. Key: id"),
        ({**KEY, "a": {}}, "exactly one of the supported datatypes"),
        ({**KEY, "a": {"S": "x", "N": "1"}}, "exactly one of the supported datatypes"),
        ({**KEY, "a": {"X": "x"}}, "exactly one of the supported datatypes"),
        ({**KEY, "a": {"N": "one"}}, "cannot be converted to a numeric value: one"),
        ({**KEY, "a": {"N": "NaN"}}, "cannot be converted"),
        ({**KEY, "a": {"N": "1" * 39}}, "cannot be converted"),
        ({**KEY, "a": {"N": "1e126"}}, "cannot be converted"),
        ({**KEY, "a": {"SS": []}}, "may not be empty"),
        ({**KEY, "a": {"NS": ["1", "1.0"]}}, "contains duplicates"),
        ({**KEY, "a": {"NULL": False}}, "must have the value of true"),
        ({**KEY, "a": {"S": "x" * 409_600}}, "maximum allowed size"),
    ],
)
def test_bad_item_is_refused(dynamo, item, message):
    dynamo.create()
    error = _fault(dynamo.tables, "PutItem", TableName="orders", Item=item)
    assert error.kind == "ValidationException"
    assert message in error.message


def test_key_that_is_not_the_tables_is_refused(dynamo):
    dynamo.create()
    for key in ({}, {**KEY, "more": {"S": "x"}}, {"id": {"N": "1"}}):
        assert _fault(dynamo.tables, "GetItem", TableName="orders", Key=key).kind == "ValidationException"


@pytest.mark.parametrize(
    "members",
    [
        {"TableName": "no"},
        {"TableName": "with space"},
        {"KeySchema": [{"AttributeName": "id", "KeyType": "RANGE"}]},
        {"KeySchema": [{"AttributeName": "other", "KeyType": "HASH"}]},
        {"KeySchema": []},
        {"AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "SS"}]},
        {"StreamSpecification": {"StreamEnabled": True}},
        {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "ALL"}},
        {"StreamSpecification": {"StreamEnabled": False, "StreamViewType": "NEW_IMAGE"}},
    ],
)
def test_bad_table_is_refused(dynamo, members):
    request = {"TableName": "orders", **SCHEMA, **members}
    assert _fault(dynamo.tables, "CreateTable", **request).kind == "ValidationException"
    assert dynamo.tables("ListTables") == {"TableNames": []}
