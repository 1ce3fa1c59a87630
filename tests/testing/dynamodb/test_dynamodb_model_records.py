"""Stream records on the wire: what each write makes of an item."""

from __future__ import annotations

import re

import pytest

KEY = {"id": {"S": "1"}}
RED = {**KEY, "color": {"S": "red"}}
BLUE = {**KEY, "color": {"S": "blue"}}


def _writes(table):
    """An insert, a change and a removal."""
    table.put(RED)
    table.put(BLUE)
    table.delete(KEY)


@pytest.mark.rule("2.3-1")
def test_writes_are_named_for_what_they_did(dynamo):
    table = dynamo.create()
    _writes(table)
    records = dynamo.records(table)
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert all(re.fullmatch("[0-9a-f]{32}", record["eventID"]) for record in records)
    assert len({record["eventID"] for record in records}) == 3
    assert {(record["eventVersion"], record["eventSource"], record["awsRegion"]) for record in records} == {
        ("1.1", "aws:dynamodb", "eu-west-1")
    }


@pytest.mark.rule("2.3-2")
def test_times_are_whole_seconds_and_sequence_numbers_ascending_texts(dynamo):
    table = dynamo.create()
    dynamo.time += 0.75
    _writes(table)
    changes = [record["dynamodb"] for record in dynamo.records(table)]
    assert [change["ApproximateCreationDateTime"] for change in changes] == [1_700_000_000.0] * 3
    numbers = [change["SequenceNumber"] for change in changes]
    assert all(isinstance(number, str) and 21 <= len(number) <= 40 for number in numbers)
    assert sorted(numbers, key=int) == numbers
    assert len(set(numbers)) == 3


def test_readers_that_compare_sequence_numbers_as_texts_are_found_out(dynamo):
    table = dynamo.create()
    for color in range(20):
        table.put({**KEY, "color": {"N": str(color)}})
    numbers = [record["dynamodb"]["SequenceNumber"] for record in dynamo.records(table)]
    assert sorted(numbers) != numbers


@pytest.mark.rule("2.3-5")
@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("KEYS_ONLY", [{}, {}, {}]),
        ("NEW_IMAGE", [{"NewImage": RED}, {"NewImage": BLUE}, {}]),
        ("OLD_IMAGE", [{}, {"OldImage": RED}, {"OldImage": BLUE}]),
        ("NEW_AND_OLD_IMAGES", [{"NewImage": RED}, {"NewImage": BLUE, "OldImage": RED}, {"OldImage": BLUE}]),
    ],
)
def test_view_type_says_which_images_are_recorded(dynamo, view, images):
    table = dynamo.create(view=view)
    _writes(table)
    changes = [record["dynamodb"] for record in dynamo.records(table)]
    assert [{name: change[name] for name in ("NewImage", "OldImage") if name in change} for change in changes] == images
    assert all((change["Keys"], change["StreamViewType"]) == (KEY, view) for change in changes)


@pytest.mark.rule("2.3-3")
@pytest.mark.parametrize(
    ("view", "before", "item", "size"),
    [
        ("NEW_AND_OLD_IMAGES", {"id": {"S": "id_value"}}, {"id": {"S": "id_value"}, "id2": {"S": "id2_new_value"}}, 46),
        ("NEW_IMAGE", None, {"id": {"S": "id_value"}}, 20),
        ("KEYS_ONLY", None, {"id": {"S": "id_value"}}, 10),
        ("NEW_IMAGE", None, {"id": {"S": "é"}, "ü": {"B": "AAEC"}}, 4 + 4 + 2 + 3),
        ("NEW_IMAGE", None, {"id": {"S": "1"}, "b": {"BOOL": False}, "n": {"NULL": True}}, 3 + 3 + 2 + 2),
        ("NEW_IMAGE", None, {"id": {"S": "1"}, "s": {"SS": ["a", "bc"]}, "t": {"BS": ["AA==", "AAE="]}}, 3 + 3 + 4 + 4),
    ],
)
def test_size_is_that_of_names_and_values_of_keys_and_images(dynamo, view, before, item, size):
    table = dynamo.create(view=view)
    if before is not None:
        table.put(before)
    table.put(item)
    assert dynamo.records(table)[-1]["dynamodb"]["SizeBytes"] == size


@pytest.mark.rule("2.3-4")
def test_values_of_every_type_are_recorded_in_dynamodbs_json(dynamo):
    table = dynamo.create(view="NEW_IMAGE")
    item = {
        "id": {"S": "1"},
        "n": {"N": "42"},
        "b": {"B": "AAEC"},
        "ss": {"SS": ["a", "b"]},
        "ns": {"NS": ["1", "2"]},
        "bs": {"BS": ["AA==", "AQ=="]},
        "m": {"M": {"deep": {"L": [{"S": "x"}, {"BOOL": False}]}}},
        "l": {"L": []},
        "no": {"NULL": True},
    }
    table.put(item)
    assert dynamo.records(table)[0]["dynamodb"]["NewImage"] == item


def test_only_deletions_by_time_to_live_say_who_made_them(dynamo):
    table = dynamo.create()
    _writes(table)
    table.put(RED)
    table.expire(KEY)
    *others, last = dynamo.records(table)
    assert last["eventName"] == "REMOVE"
    assert last["dynamodb"]["OldImage"] == RED
    # On the wire the members are capitalized; in the event that a function gets they are not.
    assert last["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    assert all("userIdentity" not in record for record in others)


@pytest.mark.rule("2.3-7")
def test_write_that_changes_nothing_is_not_recorded(dynamo):
    table = dynamo.create()
    item = {**KEY, "n": {"N": "10"}, "s": {"NS": ["2", "1"]}}
    table.put(item)
    table.put(item)
    table.put({**KEY, "n": {"N": "1.0e1"}, "s": {"NS": ["1", "2.00"]}})
    table.delete({"id": {"S": "another"}})
    table.expire({"id": {"S": "another"}})
    assert [record["eventName"] for record in dynamo.records(table)] == ["INSERT"]


def test_keys_of_a_record_are_partition_and_sort_key(dynamo):
    table = dynamo.create(sort_key="at", types={"at": "N"})
    table.put({"id": {"S": "1"}, "at": {"N": "5.50"}, "other": {"S": "x"}})
    assert dynamo.records(table)[0]["dynamodb"]["Keys"] == {"id": {"S": "1"}, "at": {"N": "5.5"}}


def test_table_without_a_stream_records_nothing_and_later_only_what_follows(dynamo):
    table = dynamo.create(view=None)
    table.put(RED)
    spec = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    dynamo.tables("UpdateTable", TableName="orders", StreamSpecification=spec)
    table.put(BLUE)
    assert [record["dynamodb"]["NewImage"] for record in dynamo.records(table)] == [BLUE]
