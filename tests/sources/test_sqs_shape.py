"""SQS's events to the byte, and what else is told of a message."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollers.flow.records import Partition
from pollers.sources.sqs_shape import SqsShape

ARN = "arn:aws:sqs:us-east-2:123456789012:my-queue"
QUEUE = Partition("my-queue")
SAMPLE = (
    '{"Records":[{"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","receiptHandle":"AQEBwJnKyrHigUMZj6rYigCgxlaS",'
    '"body":"Test message.","attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1545082649183",'
    '"SenderId":"AIDAIENQZJOLO23YVJ4VO","ApproximateFirstReceiveTimestamp":"1545082649185"},'
    '"messageAttributes":{"Author":{"stringValue":"J. G.","stringListValues":[],"binaryListValues":[],'
    '"dataType":"String"}},"md5OfMessageAttributes":"d25a6aea97eb8f585bfa92d314504a92",'
    '"md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","eventSource":"aws:sqs",'
    '"eventSourceARN":"arn:aws:sqs:us-east-2:123456789012:my-queue","awsRegion":"us-east-2"}]}'
)


def shape(*, fifo: bool = False, window: float = 0.0) -> SqsShape:
    return SqsShape(ARN, "us-east-2", fifo=fifo, window=window)


def message(**members: Any) -> dict[str, Any]:
    """As botocore returns it: keys in no particular order."""
    return {
        "MessageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "ReceiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS",
        "MD5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "Body": "Test message.",
        "Attributes": {
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185",
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1545082649183",
        },
        **members,
    }


def authored() -> dict[str, Any]:
    return message(
        MessageAttributes={"Author": {"StringValue": "J. G.", "DataType": "String"}},
        MD5OfMessageAttributes="d25a6aea97eb8f585bfa92d314504a92",
    )


def event(*messages: dict[str, Any], of: SqsShape | None = None) -> dict[str, Any]:
    return (of or shape()).event([(Partition("my-queue"), messages)], None)


def record(raw: dict[str, Any], of: SqsShape | None = None) -> dict[str, Any]:
    (only,) = event(raw, of=of)["Records"]
    assert isinstance(only, dict)
    return only


@pytest.mark.rule("2.1-2", "2.1-3")
def test_event_is_the_documented_one_to_the_byte() -> None:
    assert msgspec.json.encode(event(authored())).decode() == SAMPLE


@pytest.mark.rule("2.1-5")
def test_event_has_nothing_but_records_at_its_top() -> None:
    assert list(event(message(), authored())) == ["Records"]
    assert len(event(message(), authored())["Records"]) == 2


@pytest.mark.rule("2.1-1")
@pytest.mark.parametrize("body", ['{"a": 1.0,  "a": 2}', "plain", " \t\r\n", "\u20ac\U0001f600", '"quoted"'])
def test_body_is_delivered_as_it_came(body: str) -> None:
    assert record(message(Body=body))["body"] == body
    assert shape().data(message(Body=body)) == body


@pytest.mark.rule("2.1-2")
def test_encryption_flag_is_not_delivered_and_unknown_attributes_are() -> None:
    attributes = message()["Attributes"] | {"SqsManagedSseEnabled": "true", "Novel": "1", "AWSTraceHeader": "Root=1"}
    delivered = record(message(Attributes=attributes))["attributes"]
    assert list(delivered) == [
        "ApproximateReceiveCount",
        "AWSTraceHeader",
        "SentTimestamp",
        "SenderId",
        "ApproximateFirstReceiveTimestamp",
        "Novel",
    ]


@pytest.mark.rule("2.1-6", "2.1-2")
def test_fifo_attributes_are_the_documented_ones_to_the_byte() -> None:
    attributes = {
        "MessageDeduplicationId": "1",
        "MessageGroupId": "1",
        "SequenceNumber": "18849496460467696128",
        "SenderId": "AIDAIO23YVJENQZJOL4VO",
        "ApproximateFirstReceiveTimestamp": "1573251510774",
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1573251510774",
    }
    delivered = record(message(Attributes=attributes), shape(fifo=True))["attributes"]
    assert msgspec.json.encode(delivered).decode() == (
        '{"ApproximateReceiveCount":"1","SentTimestamp":"1573251510774","SequenceNumber":"18849496460467696128",'
        '"MessageGroupId":"1","SenderId":"AIDAIO23YVJENQZJOL4VO","MessageDeduplicationId":"1",'
        '"ApproximateFirstReceiveTimestamp":"1573251510774"}'
    )


@pytest.mark.rule("2.1-3")
@pytest.mark.parametrize(
    ("given_", "value"),
    [
        ({"StringValue": "42", "DataType": "Number"}, {"stringValue": "42"}),
        ({"StringValue": "x", "DataType": "String.custom"}, {"stringValue": "x"}),
        ({"BinaryValue": b"\x00\xff", "DataType": "Binary"}, {"binaryValue": "AP8="}),  # botocore decodes it
        ({"BinaryValue": "AP8=", "DataType": "Binary"}, {"binaryValue": "AP8="}),  # the wire does not
    ],
)
def test_message_attribute_has_one_value_and_two_empty_lists(given_: dict[str, Any], value: dict[str, Any]) -> None:
    delivered = record(message(MessageAttributes={"A": given_}))["messageAttributes"]["A"]
    assert delivered == {**value, "stringListValues": [], "binaryListValues": [], "dataType": given_["DataType"]}


@pytest.mark.rule("2.1-4")
def test_checksum_of_no_attributes_is_absent_without_a_window_and_null_with_one() -> None:
    assert "md5OfMessageAttributes" not in record(message())
    with_window = record(message(), shape(window=1))
    assert with_window["md5OfMessageAttributes"] is None
    assert list(with_window)[4:7] == ["messageAttributes", "md5OfMessageAttributes", "md5OfBody"]
    assert record(authored(), shape(window=1))["md5OfMessageAttributes"] == "d25a6aea97eb8f585bfa92d314504a92"


def test_every_event_is_the_functions_own() -> None:
    raw = authored()
    event(raw)["Records"][0]["attributes"]["SentTimestamp"] = "spoilt"
    event(raw)["Records"][0]["messageAttributes"]["Author"]["stringValue"] = "spoilt"
    assert msgspec.json.encode(event(raw)).decode() == SAMPLE


def test_filters_see_everything_but_the_body() -> None:
    seen = dict(shape().view(QUEUE, authored()))
    assert {**seen, "body": "Test message."} == record(authored())
    assert "body" not in seen


def test_message_is_named_by_its_id_and_dated_by_its_sending() -> None:
    assert shape().identifier(QUEUE, message()) == "059f36b4-87a3-44ab-83d2-661975830a7d"
    assert shape().arrived(message()) == 1545082649.183
    assert shape().position(message()) is None


@pytest.mark.rule("4-1", "4-2")
def test_message_group_keeps_order_in_fifo_queues_only() -> None:
    grouped = message(Attributes=message()["Attributes"] | {"MessageGroupId": "tenant-7"})
    assert shape(fifo=True).key(grouped) == b"tenant-7"
    assert shape().key(grouped) is None


def test_failure_names_the_queue_and_its_messages() -> None:
    assert shape().failure([(Partition("my-queue"), [message()])]) == {
        "SqsBatchInfo": {
            "messageIds": ["059f36b4-87a3-44ab-83d2-661975830a7d"],
            "batchSize": 1,
            "queueArn": ARN,
        }
    }


texts = st.text(st.characters(codec="utf-8"))
attributes = st.dictionaries(
    texts,
    st.one_of(
        st.fixed_dictionaries({"StringValue": texts, "DataType": texts}),
        st.fixed_dictionaries({"BinaryValue": st.binary(), "DataType": texts}),
    ),
)


@given(st.lists(st.tuples(texts, attributes), max_size=4), st.sampled_from([0.0, 1.0]))
def test_size_bound_is_never_below_the_encoded_event(parts: list[tuple[str, dict[str, Any]]], window: float) -> None:
    of = shape(window=window)
    messages = [message(Body=body, MessageAttributes=given_) for body, given_ in parts]
    encoded = len(msgspec.json.encode(event(*messages, of=of))) - len('{"Records":[]}')
    assert encoded <= of.size_of(messages)
    slack = sum(250 + 20 * len(given_) for _, given_ in parts) + 2
    assert of.size_of(messages) <= encoded + slack
    assert sum(map(of.size_bound, messages)) >= encoded - len(messages)  # the commas between records


def test_size_bound_holds_for_text_that_is_not_unicode() -> None:
    assert shape().size_bound(message(Body="\ud800" * 100)) >= 600


def test_size_of_a_large_binary_attribute_is_that_of_its_base64() -> None:
    data = bytes(30_000)
    size = shape().size_bound(message(MessageAttributes={"A": {"BinaryValue": data, "DataType": "Binary"}}))
    assert len(base64.b64encode(data)) < size < len(base64.b64encode(data)) + 1_500
