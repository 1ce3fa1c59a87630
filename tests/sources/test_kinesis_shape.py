from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollers.flow.records import DataRule, Partition, Shape
from pollers.sources.kinesis_shape import KinesisShape

ARN = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
ROLE = "arn:aws:iam::123456789012:role/lambda-role"
SHARD = Partition("shardId-000000000006")
SEQUENCE = "49590338271490256608559692538361571095921575989136588898"

shape: Shape = KinesisShape(ARN, "us-east-2", ROLE)


def record(**members: Any) -> dict[str, Any]:
    return {
        "SequenceNumber": SEQUENCE,
        "ApproximateArrivalTimestamp": 1545084650.987,
        "Data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
        "PartitionKey": "1",
        **members,
    }


@pytest.mark.rule("2.2-1")
def test_the_event_is_lambdas_to_the_byte_in_its_order_of_keys() -> None:
    assert json.dumps(shape.event([(SHARD, [record()])], None), separators=(",", ":")) == (
        '{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1",'
        '"sequenceNumber":"49590338271490256608559692538361571095921575989136588898",'
        '"data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","approximateArrivalTimestamp":1545084650.987},'
        '"eventSource":"aws:kinesis","eventVersion":"1.0",'
        '"eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898",'
        '"eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role",'
        '"awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}]}'
    )


@pytest.mark.rule("2.2-1")
def test_bytes_and_base64_text_make_the_same_event() -> None:
    text = shape.event([(SHARD, [record()])], None)
    raw = shape.event([(SHARD, [record(Data=b"Hello, this is a test.")])], None)
    assert raw == text


def test_encryption_never_shows() -> None:
    assert "KMS" not in json.dumps(shape.event([(SHARD, [record(EncryptionType="KMS")])], None))


@pytest.mark.rule("7-1")
def test_a_windows_event_has_its_members_in_lambdas_order() -> None:
    window = {
        "window": {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"},
        "state": {"1": 282},
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }
    event = shape.event([(SHARD, [])], window)
    assert list(event) == [
        "Records",
        "window",
        "state",
        "shardId",
        "eventSourceARN",
        "isFinalInvokeForWindow",
        "isWindowTerminatedEarly",
    ]
    assert event["shardId"] == SHARD
    assert event["eventSourceARN"] == ARN
    assert event["state"] == {"1": 282}


@pytest.mark.rule("5.9-1")
def test_a_failure_document_describes_the_batch_to_the_byte() -> None:
    first = record(SequenceNumber="11", ApproximateArrivalTimestamp=1573689884.835)
    last = record(SequenceNumber="12", ApproximateArrivalTimestamp=1573689885.58)
    assert json.dumps(shape.failure([(SHARD, [first, record(), last])]), separators=(",", ":")) == (
        '{"KinesisBatchInfo":{"shardId":"shardId-000000000006","startSequenceNumber":"11","endSequenceNumber":"12",'
        '"approximateArrivalOfFirstRecord":"2019-11-14T00:04:44.835Z",'
        '"approximateArrivalOfLastRecord":"2019-11-14T00:04:45.580Z","batchSize":3,'
        '"streamArn":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}}'
    )


@pytest.mark.rule("5.9-6")
def test_a_failed_final_call_without_records_names_only_shard_and_stream() -> None:
    assert shape.failure([(SHARD, [])]) == {"KinesisBatchInfo": {"shardId": SHARD, "streamArn": ARN}}


@pytest.mark.rule("6.2-2")
def test_filters_see_metadata_at_the_top_and_inside_kinesis_and_the_data_decoded() -> None:
    view = shape.view(SHARD, record())
    assert view["partitionKey"] == view["kinesis"]["partitionKey"] == "1"
    assert view["eventSource"] == "aws:kinesis"
    assert "data" not in view
    assert "data" not in view["kinesis"]
    assert shape.data(record()) == shape.data(record(Data=b"Hello, this is a test.")) == b"Hello, this is a test."
    assert shape.data_rule == DataRule("data", "drop", plain=False)


def test_positions_follow_the_number_not_its_text() -> None:
    near, far = shape.position(record(SequenceNumber="9")), shape.position(record(SequenceNumber="10"))
    assert near is not None
    assert far is not None
    assert near < far
    assert shape.identifier(SHARD, record()) == SEQUENCE


def test_the_key_is_the_partition_keys_bytes() -> None:
    assert shape.key(record(PartitionKey="Straße")) == "Straße".encode()


@given(
    key=st.text(min_size=1, max_size=256),
    data=st.binary(max_size=300),
    wire=st.booleans(),
    when=st.floats(0, 4e9).map(lambda seconds: round(seconds, 3)),
)
def test_the_size_bound_is_never_below_the_encoded_record(key: str, data: bytes, wire: bool, when: float) -> None:
    raw = record(
        PartitionKey=key,
        Data=base64.b64encode(data).decode() if wire else data,
        ApproximateArrivalTimestamp=when,
    )
    event = shape.event([(SHARD, [raw])], None)["Records"][0]
    bound = shape.size_bound(raw)
    assert bound >= len(json.dumps(event, separators=(",", ":")))
    assert bound >= len(msgspec.json.encode(event))
