"""Cases of the SQS contract: what a message carries, visibility, handles, delays, long polls."""

from __future__ import annotations

import hashlib

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sqs_driver import case, error_code


@case
def message_travels_unchanged(sqs):
    url = sqs.create()
    body = '{"a": "é \U0001f600"}\n\ttext'
    attributes = {
        "text": {"DataType": "String", "StringValue": "Zürich"},
        "number": {"DataType": "Number", "StringValue": "42.50"},
        "own": {"DataType": "String.own", "StringValue": "x"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
    }
    sent = sqs.send(url, body, MessageAttributes=attributes)
    (message,) = sqs.receive(url, MessageAttributeNames=["All"])
    assert (message["Body"], message["MessageId"]) == (body, sent["MessageId"])
    assert {name: dict(value) for name, value in message["MessageAttributes"].items()} == attributes
    assert sent["MD5OfMessageBody"] == message["MD5OfBody"] == hashlib.md5(body.encode()).hexdigest()
    # All servers must agree on this, whoever computes it.
    assert sent["MD5OfMessageAttributes"] == message["MD5OfMessageAttributes"] == "6bb1775a2cea47e19a9da2fca8652c9b"


@case
def system_attributes_come_as_texts(sqs):
    url = sqs.create()
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    sqs.send(url, "a", MessageSystemAttributes=trace)
    (message,) = sqs.receive(url, MessageSystemAttributeNames=["All"])
    shown = message["Attributes"]
    assert shown["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"]
    assert shown["ApproximateReceiveCount"] == "1"
    assert int(shown["SentTimestamp"]) <= int(shown["ApproximateFirstReceiveTimestamp"])
    assert "SenderId" in shown


@case
def system_attributes_have_a_checksum(sqs):
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}}
    sent = sqs.send(sqs.create(), "a", MessageSystemAttributes=trace)
    assert len(sent["MD5OfMessageSystemAttributes"]) == 32


@case
def message_attributes_are_chosen_by_name(sqs):
    url = sqs.create()
    text = {"DataType": "String", "StringValue": "x"}
    sqs.send(url, "a", MessageAttributes={"one": text, "two": text})
    (message,) = sqs.receive(url, MessageAttributeNames=["two"])
    assert set(message["MessageAttributes"]) == {"two"}


@case
def deleted_message_is_gone(sqs):
    url = sqs.create(VisibilityTimeout="1")
    sqs.send(url, "a")
    sqs.delete(url, sqs.receive(url)[0])
    assert sqs.receive(url, WaitTimeSeconds=2) == []


@case
def message_comes_again_after_its_timeout_with_a_greater_count(sqs):
    url = sqs.create(VisibilityTimeout="1")
    sqs.send(url, "a")
    (first,) = sqs.receive(url)
    assert sqs.receive(url) == []
    (second,) = sqs.receive(url, WaitTimeSeconds=5, MessageSystemAttributeNames=["All"])
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"


@case
def visibility_0_gives_a_message_back(sqs):
    url = sqs.create()
    sqs.send(url, "a")
    sqs.change(url, sqs.receive(url)[0], 0)
    assert sqs.bodies(url) == ["a"]


@case
def longer_visibility_holds_a_message(sqs):
    url = sqs.create(VisibilityTimeout="1")
    sqs.send(url, "a")
    sqs.change(url, sqs.receive(url)[0], 30)
    assert sqs.bodies(url, WaitTimeSeconds=2) == []


@case
def visibility_beyond_twelve_hours_is_refused(sqs):
    url = sqs.create()
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    with pytest.raises(ClientError) as error:
        sqs.change(url, message, 43_201)
    assert error_code(error) == "InvalidParameterValue"


@case
def change_after_the_timeout_is_refused(sqs):
    url = sqs.create(VisibilityTimeout="1")
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    sqs.until_visible(url)
    with pytest.raises(ClientError):
        sqs.change(url, message, 5)


@case
def second_delete_succeeds(sqs):
    url = sqs.create()
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    for _ in range(2):
        sqs.delete(url, message)


@case
def older_handle_succeeds(sqs):
    url = sqs.create(VisibilityTimeout="0")
    sqs.send(url, "a")
    (older,) = sqs.receive(url)
    sqs.receive(url)
    sqs.delete(url, older)


@case
def invented_handle_is_invalid(sqs):
    url = sqs.create()
    with pytest.raises(sqs.client.exceptions.ReceiptHandleIsInvalid) as error:
        sqs.delete(url, {"ReceiptHandle": "nonsense"})
    assert error_code(error) == "ReceiptHandleIsInvalid"


@case
def delayed_message_comes_later(sqs):
    url = sqs.create()
    sqs.send(url, "a", DelaySeconds=1)
    assert sqs.bodies(url) == []
    assert sqs.bodies(url, WaitTimeSeconds=5) == ["a"]


@case
def long_poll_wakes_on_send(sqs):
    url = sqs.create()
    poll = sqs.polling(url)
    sqs.send(url, "a")
    assert poll.join() == ["a"]


@case
def long_poll_wakes_when_a_message_is_given_back(sqs):
    url = sqs.create()
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    poll = sqs.polling(url)
    sqs.change(url, message, 0)
    assert poll.join() == ["a"]


@case
def dropped_long_poll_swallows_nothing(sqs):
    url = sqs.create()
    config = Config(read_timeout=1, retries={"total_max_attempts": 1})
    endpoint = sqs.client.meta.endpoint_url
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    impatient = boto3.client("sqs", endpoint_url=endpoint, region_name="us-east-1", config=config, **keys)
    with pytest.raises(Exception, match="Read timeout"):
        impatient.receive_message(QueueUrl=url, WaitTimeSeconds=10)
    impatient.close()
    sqs.send(url, "a")
    assert sqs.bodies(url) == ["a"]
