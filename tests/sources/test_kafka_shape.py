"""Kafka's records in events, filters and failure documents."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from pollers.flow.outcomes import SomeFailed, read_report
from pollers.flow.records import Partition, Returned
from pollers.sources.kafka.shape import KafkaShape

ARN = "arn:aws:kafka:us-east-1:123456789012:cluster/Sales/abcd1234-abcd-cafe-abab-9876543210ab-4"
SERVERS = ("b-2.example:9092", "b-1.example:9092")
SELF_MANAGED = KafkaShape("mytopic", SERVERS)
PARTITION = Partition("mytopic-0")


def record(offset: int = 15, **more: Any) -> ConsumerRecord[bytes, bytes]:
    given: dict[str, Any] = {
        "topic": "mytopic",
        "partition": 0,
        "offset": offset,
        "timestamp": 1545084650987,
        "timestamp_type": 0,
        "key": b"recordKey",
        "value": b'{"key":"value"}',
        "checksum": None,
        "serialized_key_size": 9,
        "serialized_value_size": 15,
        "headers": (("headerKey", b"headerValue"),),
        **more,
    }
    return ConsumerRecord(**given)


def only(shape: KafkaShape, raw: Any) -> dict[str, Any]:
    event = shape.event([(Partition("mytopic-0"), [raw])], None)
    ((one,),) = event["records"].values()
    return dict(one)


@pytest.mark.rule("2.4-1", "2.4-4", "2.4-5")
def test_event_of_msk_is_as_aws_documents_it() -> None:
    event = KafkaShape("mytopic", SERVERS, ARN).event([(Partition("mytopic-0"), [record()])], None)
    assert event == {
        "eventSource": "aws:kafka",
        "eventSourceArn": ARN,
        "bootstrapServers": "b-2.example:9092,b-1.example:9092",
        "records": {
            "mytopic-0": [
                {
                    "topic": "mytopic",
                    "partition": 0,
                    "offset": 15,
                    "timestamp": 1545084650987,
                    "timestampType": "CREATE_TIME",
                    "key": "cmVjb3JkS2V5",
                    "value": "eyJrZXkiOiJ2YWx1ZSJ9",
                    "headers": [{"headerKey": [104, 101, 97, 100, 101, 114, 86, 97, 108, 117, 101]}],
                }
            ]
        },
    }


@pytest.mark.rule("2.4-2")
def test_event_of_a_self_managed_cluster_names_no_arn() -> None:
    event = SELF_MANAGED.event([(Partition("mytopic-0"), [record()])], None)
    assert event["eventSource"] == "SelfManagedKafka"
    assert "eventSourceArn" not in event


@pytest.mark.rule("2.4-3")
def test_event_holds_several_partitions_each_in_order() -> None:
    parts = [(Partition("mytopic-0"), [record(1), record(2)]), (Partition("mytopic-12"), [record(7, partition=12)])]
    event = SELF_MANAGED.event(parts, None)
    assert [(name, [one["offset"] for one in some]) for name, some in event["records"].items()] == [
        ("mytopic-0", [1, 2]),
        ("mytopic-12", [7]),
    ]
    assert event["records"]["mytopic-12"][0]["partition"] == 12


@pytest.mark.rule("2.4-6", "12-6")
def test_null_keys_and_values_are_left_out() -> None:
    tombstone = only(SELF_MANAGED, record(value=None))
    assert "value" not in tombstone
    assert tombstone["key"] == "cmVjb3JkS2V5"
    assert "key" not in only(SELF_MANAGED, record(key=None))
    assert only(SELF_MANAGED, record(value=b""))["value"] == ""


@pytest.mark.rule("2.4-7", "12-6")
def test_header_bytes_are_signed_and_repeats_stay_in_order() -> None:
    headers = (("a", "ë".encode()), ("b", b"\x00\x7f\x80\xff"), ("a", b""), ("c", None))
    assert only(SELF_MANAGED, record(headers=headers))["headers"] == [
        {"a": [-61, -85]},
        {"b": [0, 127, -128, -1]},
        {"a": []},
        {"c": []},
    ]
    assert only(SELF_MANAGED, record(headers=()))["headers"] == []


@pytest.mark.rule("2.4-4")
@pytest.mark.parametrize(("number", "name"), [(0, "CREATE_TIME"), (1, "LOG_APPEND_TIME"), (None, "NO_TIMESTAMP_TYPE")])
def test_timestamp_types_have_their_names(number: int | None, name: str) -> None:
    assert only(SELF_MANAGED, record(timestamp_type=number))["timestampType"] == name


@pytest.mark.rule("5.7-3")
def test_partial_answers_name_partition_and_offset() -> None:
    failures = [{"itemIdentifier": {"partition": "mytopic-0", "offset": 2}}]
    parts = [(PARTITION, [record(1), record(2)]), (Partition("mytopic-1"), [record(2)])]
    reading = read_report(Returned({"batchItemFailures": failures}), parts, SELF_MANAGED)
    assert reading == SomeFailed(((1,), ()))


@given(
    key=st.none() | st.binary(max_size=50),
    value=st.none() | st.binary(max_size=200),
    headers=st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=20)), max_size=4),
    offset=st.integers(0, 2**62),
    stamp=st.integers(-1, 2**53),
)
def test_size_bound_is_never_too_small(
    key: bytes | None, value: bytes | None, headers: list[Any], offset: int, stamp: int
) -> None:
    raw = record(offset, key=key, value=value, headers=tuple(headers), timestamp=stamp, partition=2**31 - 1)
    event = SELF_MANAGED.event([(Partition(f"mytopic-{2**31 - 1}"), [raw])], None)
    ((one,),) = event["records"].values()
    assert SELF_MANAGED.size_bound(raw) >= len(json.dumps(one, separators=(",", ":")))
    assert SELF_MANAGED.size_bounds([raw, raw, raw]) >= 3 * SELF_MANAGED.size_bound(raw)


@pytest.mark.parametrize("stamp", [None, -1])
def test_a_record_without_a_timestamp_never_grows_old(stamp: int | None) -> None:
    raw = record(timestamp=stamp, timestamp_type=None)
    assert SELF_MANAGED.arrived(raw) == float("inf")
    assert only(SELF_MANAGED, raw)["timestamp"] == -1


@pytest.mark.rule("5.9-8")
def test_failure_document_describes_each_partition() -> None:
    parts = [(Partition("mytopic-0"), [record(1), record(5, timestamp=1545084651987)])]
    assert KafkaShape("mytopic", SERVERS, ARN).failure(parts) == {
        "KafkaBatchInfo": {
            "batchSize": 2,
            "eventSourceArn": ARN,
            "bootstrapServers": "b-2.example:9092,b-1.example:9092",
            "payloadSize": 48,
            "recordsInfo": {
                "mytopic-0": {
                    "firstRecordOffset": "1",
                    "lastRecordOffset": "5",
                    "firstRecordTimestamp": "2018-12-17T22:10:50.987Z",
                    "lastRecordTimestamp": "2018-12-17T22:10:51.987Z",
                }
            },
        }
    }


@pytest.mark.parametrize(("stamp", "printed"), [(-(2**62), "0001-01-01T"), (2**62, "9999-12-31T"), (-1, "1969-12-31T")])
def test_a_timestamp_that_is_no_date_costs_no_failure_document(stamp: int, printed: str) -> None:
    """A producer may write anything into it."""
    document = SELF_MANAGED.failure([(Partition("mytopic-0"), [record(timestamp=stamp)])])
    about = document["KafkaBatchInfo"]["recordsInfo"]["mytopic-0"]
    assert about["firstRecordTimestamp"].startswith(printed)


@pytest.mark.rule("6.2-4")
def test_filters_see_the_value_and_the_metadata() -> None:
    assert SELF_MANAGED.data(record(value=b"\xff")) == b"\xff"
    assert SELF_MANAGED.data(record(value=None)) == b""
    assert SELF_MANAGED.view(PARTITION, record())["key"] == "recordKey"
    assert b64encode(b"recordKey") == b"cmVjb3JkS2V5"
