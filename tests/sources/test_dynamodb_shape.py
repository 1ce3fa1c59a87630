"""Changes of items: Lambda's event and failure document to the byte, keys, sizes, filters."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollers.flow.filters import compile_filters
from pollers.flow.records import Partition
from pollers.sources.dynamodb_shape import DynamoDbShape

ARN = "arn:aws:dynamodb:us-east-2:123456789012:table/t/stream/2024-01-01T00:00:00.000"
SHAPE = DynamoDbShape(ARN, "us-east-2")
SHARD = Partition("shardId-1")
WINDOW = {
    "window": {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"},
    "state": {"1": 282},
    "isFinalInvokeForWindow": False,
    "isWindowTerminatedEarly": False,
}


def change(sequence: int = 111100000000000012345678901, **members: Any) -> dict[str, Any]:
    return {
        "awsRegion": "us-east-2",
        "dynamodb": {
            "ApproximateCreationDateTime": 1693997155.0,
            "Keys": {"id": {"S": "id_value"}},
            "NewImage": {"id2": {"S": "id2_new_value"}, "id": {"S": "id_value"}},
            "OldImage": {"id": {"S": "id_value"}},
            "SequenceNumber": str(sequence),
            "SizeBytes": 46,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            **members,
        },
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": "MODIFY",
        "eventSource": "aws:dynamodb",
        "eventVersion": "1.1",
    }


@pytest.mark.rule("2.3-1")
def test_the_event_is_that_of_lambda_to_the_byte() -> None:
    encoded = json.dumps(SHAPE.event([(SHARD, [change()])], None), separators=(",", ":"))
    assert encoded == (
        '{"Records":[{"eventID":"c4ca4238a0b923820dcc509a6f75849b","eventName":"MODIFY","eventVersion":"1.1",'
        '"eventSource":"aws:dynamodb","awsRegion":"us-east-2","dynamodb":{"ApproximateCreationDateTime":1693997155.0,'
        '"Keys":{"id":{"S":"id_value"}},"NewImage":{"id2":{"S":"id2_new_value"},"id":{"S":"id_value"}},'
        '"OldImage":{"id":{"S":"id_value"}},"SequenceNumber":"111100000000000012345678901","SizeBytes":46,'
        f'"StreamViewType":"NEW_AND_OLD_IMAGES"}},"eventSourceARN":"{ARN}"}}]}}'
    )


@pytest.mark.rule("7-1", "2.6-1")
def test_a_windows_event_has_its_members_behind_the_records() -> None:
    event = SHAPE.event([(SHARD, [])], WINDOW)
    assert list(event) == [
        "Records",
        "window",
        "state",
        "shardId",
        "eventSourceARN",
        "isFinalInvokeForWindow",
        "isWindowTerminatedEarly",
    ]
    assert (event["Records"], event["shardId"], event["eventSourceARN"]) == ([], SHARD, ARN)


@pytest.mark.rule("5.9-2")
def test_the_failure_document_counts_whole_seconds() -> None:
    first = change(1, ApproximateCreationDateTime=1573691884.0)
    last = change(2, ApproximateCreationDateTime=1573691885.0)
    assert json.dumps(SHAPE.failure([(SHARD, [first, last])])) == json.dumps(
        {
            "DDBStreamBatchInfo": {
                "shardId": "shardId-1",
                "startSequenceNumber": "1",
                "endSequenceNumber": "2",
                "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04Z",
                "approximateArrivalOfLastRecord": "2019-11-14T00:38:05Z",
                "batchSize": 2,
                "streamArn": ARN,
            }
        }
    )


@pytest.mark.rule("5.9-6")
def test_a_final_call_without_records_names_only_shard_and_stream() -> None:
    assert SHAPE.failure([(SHARD, [])]) == {"DDBStreamBatchInfo": {"shardId": SHARD, "streamArn": ARN}}


def test_an_item_is_known_by_its_keys_however_they_are_ordered() -> None:
    one = change(Keys={"a": {"S": "1"}, "b": {"N": "2"}})
    other = change(Keys={"b": {"N": "2"}, "a": {"S": "1"}})
    assert SHAPE.key(one) == SHAPE.key(other) == b'{"a":{"S":"1"},"b":{"N":"2"}}'
    assert SHAPE.key(one) != SHAPE.key(change(Keys={"a": {"S": "2"}, "b": {"N": "2"}}))


@pytest.mark.rule("5.4-1")
def test_position_and_identifier_are_the_sequence_number() -> None:
    raw = change(111100000000000012345678901)
    assert SHAPE.position(raw) == (111100000000000012345678901, 0)
    assert SHAPE.identifier(SHARD, raw) == "111100000000000012345678901"


VALUES = st.recursive(
    st.one_of(
        st.text(max_size=20).map(lambda text: {"S": text}),
        st.integers().map(lambda number: {"N": str(number)}),
        st.booleans().map(lambda flag: {"BOOL": flag}),
        st.binary(max_size=12).map(lambda data: {"B": data.hex()}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda some: {"L": some}),
        st.dictionaries(st.text(max_size=5), inner, max_size=3).map(lambda some: {"M": some}),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4), st.booleans())
def test_a_records_bound_is_never_below_what_its_event_takes(image: dict[str, Any], expired: bool) -> None:
    raw = change(NewImage=image)
    if expired:
        raw["userIdentity"] = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    encoded = len(msgspec.json.encode(SHAPE.event([(SHARD, [raw])], None)["Records"][0]))
    assert encoded <= SHAPE.size_bound(raw)
    assert encoded <= len(msgspec.json.encode(raw)) + SHAPE.frame


@pytest.mark.rule("6.2-3", "6.2-17")
@pytest.mark.parametrize(
    ("pattern", "passes"),
    [
        ('{"dynamodb": {"NewImage": {"id2": {"S": ["id2_new_value"]}}}}', True),
        ('{"dynamodb": {"NewImage": {"id2": {"S": [{"prefix": "other"}]}}}}', False),
        ('{"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 0]}]}}', True),
        ('{"eventName": ["MODIFY"], "eventSource": ["aws:dynamodb"]}', True),
        ('{"eventName": ["INSERT"]}', False),
    ],
)
def test_filters_see_the_whole_change(pattern: str, passes: bool) -> None:
    assert compile_filters([pattern], SHAPE.data_rule).bind(SHAPE).passes(SHARD, change()) is passes
