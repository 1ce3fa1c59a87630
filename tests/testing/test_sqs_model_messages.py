"""Bodies, attributes, checksums, sizes and batches."""

from __future__ import annotations

from hashlib import md5

import pytest

from pollers.testing.service import Fault

TEXT = {"DataType": "String", "StringValue": "text"}


def test_checksums_are_those_of_aws(sqs):
    url = sqs.create("q")
    attributes = {
        "city": {"DataType": "String", "StringValue": "Zürich"},
        "blob": {"DataType": "Binary.gif", "BinaryValue": "AAEC"},
        "age": {"DataType": "Number", "StringValue": "42"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    sent = sqs.send(url, "Hello World!", MessageAttributes=attributes, MessageSystemAttributes=trace)
    assert sent["MD5OfMessageBody"] == "ed076287532e86365e841e92bfc50d8c"
    # Laid out by hand: names ascending, lengths in four bytes, 1 before text and 2 before binary values.
    laid_out = (
        b"\0\0\0\3age\0\0\0\6Number\1\0\0\0\2" + b"42"
        b"\0\0\0\4blob\0\0\0\x0aBinary.gif\2\0\0\0\3\0\1\2"
        b"\0\0\0\4city\0\0\0\6String\1\0\0\0\7Z\xc3\xbcrich"
    )
    assert sent["MD5OfMessageAttributes"] == md5(laid_out).hexdigest()
    laid_out = b"\0\0\0\x0eAWSTraceHeader\0\0\0\6String\1\0\0\0\x28Root=1-5759e988-bd862e3fe1be46a994272793"
    assert sent["MD5OfMessageSystemAttributes"] == md5(laid_out).hexdigest()


def test_checksum_of_a_receive_covers_the_attributes_it_shows(sqs):
    url = sqs.create("q", VisibilityTimeout="0")
    sqs.send(url, "a", MessageAttributes={"one": TEXT, "two": TEXT})
    (both,) = sqs.receive(url, MessageAttributeNames=["All"])
    (one,) = sqs.receive(url, MessageAttributeNames=["one"])
    alone = sqs.send(url, "a", MessageAttributes={"one": TEXT})
    assert one["MD5OfMessageAttributes"] == alone["MD5OfMessageAttributes"] != both["MD5OfMessageAttributes"]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], set()),
        (["All"], {"a.one", "a.two", "b"}),
        ([".*"], {"a.one", "a.two", "b"}),
        (["a.*"], {"a.one", "a.two"}),
        (["b", "none"], {"b"}),
        (["none"], set()),
    ],
)
def test_message_attributes_are_chosen_by_name_prefix_or_all(sqs, names, shown):
    url = sqs.create("q")
    sqs.send(url, "a", MessageAttributes=dict.fromkeys(("a.one", "a.two", "b"), TEXT))
    (message,) = sqs.receive(url, MessageAttributeNames=names)
    assert set(message.get("MessageAttributes", {})) == shown
    assert ("MD5OfMessageAttributes" in message) is bool(shown)


def test_system_attributes_are_texts_and_only_those_asked_for(sqs):
    url = sqs.create("q", VisibilityTimeout="1")
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}}
    sqs.send(url, "a", MessageSystemAttributes=trace)
    sqs.pass_time(2.5)
    assert "Attributes" not in sqs.receive(url)[0]
    sqs.pass_time(1)
    (message,) = sqs.receive(url, MessageSystemAttributeNames=["All"])
    assert message["Attributes"] == {
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "AWSTraceHeader": "Root=1",
        "SentTimestamp": "1700000000000",
        "ApproximateReceiveCount": "2",
        "ApproximateFirstReceiveTimestamp": "1700000002500",
    }
    sqs.pass_time(1)
    (message,) = sqs.receive(url, AttributeNames=["SenderId", "Policy"])  # the older name of the member
    assert set(message["Attributes"]) == {"SenderId"}


@pytest.mark.parametrize("member", ["MessageSystemAttributeNames", "AttributeNames"])
def test_unknown_system_attribute_is_refused(sqs, member):
    url = sqs.create("q")
    with pytest.raises(Fault) as caught:
        sqs.receive(url, **{member: ["Nonsense"]})
    assert caught.value.code == "InvalidAttributeName"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"MessageBody": ""}, "MissingParameter"),
        ({}, "MissingParameter"),
        ({"MessageBody": "\x00"}, "InvalidMessageContents"),
        ({"MessageBody": "\ufffe"}, "InvalidMessageContents"),
        ({"MessageBody": "\ud800"}, "InvalidMessageContents"),
        ({"MessageBody": 5}, "SerializationException"),
        ({"MessageBody": "a", "DelaySeconds": 901}, "InvalidParameterValue"),
        ({"MessageBody": "a", "DelaySeconds": "1"}, "SerializationException"),
        ({"MessageBody": "a", "DelaySeconds": True}, "SerializationException"),
        ({"MessageBody": "a", "MessageAttributes": []}, "SerializationException"),
        ({"MessageBody": "a", "MessageAttributes": {"x": {}}}, "InvalidParameterValue"),
        ({"MessageBody": "a", "MessageAttributes": {"x": {"DataType": "Text"}}}, "InvalidParameterValue"),
        ({"MessageBody": "a", "MessageAttributes": {"x": {"DataType": "String"}}}, "InvalidParameterValue"),
        ({"MessageBody": "a", "MessageAttributes": {"aws.x": TEXT}}, "InvalidParameterValue"),
        ({"MessageBody": "a", "MessageAttributes": {"x..y": TEXT}}, "InvalidParameterValue"),
        ({"MessageBody": "a", "MessageAttributes": {"x": {**TEXT, "BinaryValue": "AA=="}}}, "InvalidParameterValue"),
        (
            {"MessageBody": "a", "MessageAttributes": {"x": {**TEXT, "StringListValues": ["a"]}}},
            "InvalidParameterValue",
        ),
        (
            {"MessageBody": "a", "MessageAttributes": {"x": {"DataType": "Number", "StringValue": "ten"}}},
            "InvalidParameterValue",
        ),
        (
            {"MessageBody": "a", "MessageAttributes": {"x": {"DataType": "Binary", "BinaryValue": "é"}}},
            "SerializationException",
        ),
        ({"MessageBody": "a", "MessageAttributes": {f"x{n}": TEXT for n in range(11)}}, "InvalidParameterValue"),
        ({"MessageBody": "a", "MessageSystemAttributes": {"Other": TEXT}}, "InvalidParameterValue"),
        (
            {"MessageBody": "a", "MessageSystemAttributes": {"AWSTraceHeader": {**TEXT, "DataType": "Number"}}},
            "InvalidParameterValue",
        ),
    ],
)
def test_send_refuses(sqs, members, code):
    url = sqs.create("q")
    with pytest.raises(Fault) as caught:
        sqs("SendMessage", QueueUrl=url, **members)
    assert caught.value.code == code
    assert sqs.counts(url) == (0, 0, 0)


def test_body_is_kept_to_the_byte(sqs):
    url = sqs.create("q")
    body = '\t{"a": "\U0001f600\u2028"}\r\n \ufffd'
    sqs.send(url, body)
    assert sqs.bodies(url) == [body]


def test_a_mebibyte_passes_and_a_byte_more_does_not(sqs):
    url = sqs.create("q")
    sqs.send(url, "é" * 524_288)
    with pytest.raises(Fault, match="shorter than 1048576 bytes"):
        sqs.send(url, "é" * 524_288 + "x")


def test_attributes_count_towards_the_size(sqs):
    url = sqs.create("q", MaximumMessageSize="1024")
    attribute = {"bin": {"DataType": "Binary", "BinaryValue": "AAAA"}}  # 3 + 6 + 3 bytes
    sqs.send(url, "x" * 1_012, MessageAttributes=attribute)
    with pytest.raises(Fault, match="shorter than 1024 bytes"):
        sqs.send(url, "x" * 1_013, MessageAttributes=attribute)


def _entries(*ids):
    return [{"Id": id, "MessageBody": f"body of {id}"} for id in ids]


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "AWS.SimpleQueueService.EmptyBatchRequest"),
        (None, "AWS.SimpleQueueService.EmptyBatchRequest"),
        (_entries(*"abcdefghijk"), "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        (_entries("a", "a"), "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
        (_entries("a b"), "AWS.SimpleQueueService.InvalidBatchEntryId"),
        (_entries("x" * 81), "AWS.SimpleQueueService.InvalidBatchEntryId"),
        ([{"MessageBody": "a"}], "AWS.SimpleQueueService.InvalidBatchEntryId"),
        (["a"], "SerializationException"),
    ],
)
@pytest.mark.parametrize("action", ["SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"])
def test_batch_is_refused_as_a_whole(sqs, action, entries, code):
    url = sqs.create("q")
    with pytest.raises(Fault) as caught:
        sqs(action, QueueUrl=url, Entries=entries)
    assert caught.value.code == code
    assert sqs.counts(url) == (0, 0, 0)


def test_batch_longer_than_a_message_may_be_is_refused(sqs):
    url = sqs.create("q")
    entries = [{"Id": id, "MessageBody": "x" * 524_288} for id in "ab"]
    assert len(sqs("SendMessageBatch", QueueUrl=url, Entries=entries)["Successful"]) == 2
    entries[0]["MessageAttributes"] = {"a": TEXT}
    with pytest.raises(Fault, match="You have sent 1048587 bytes") as caught:
        sqs("SendMessageBatch", QueueUrl=url, Entries=entries)
    assert caught.value.code == "AWS.SimpleQueueService.BatchRequestTooLong"


def test_bad_entries_fail_alone(sqs):
    url = sqs.create("q")
    entries = [*_entries("good"), {"Id": "bad", "MessageBody": "\x01"}, {"Id": "none"}]
    answer = sqs("SendMessageBatch", QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]] == [
        ("bad", "InvalidMessageContents", True),
        ("none", "MissingParameter", True),
    ]
    assert sqs.bodies(url) == ["body of good"]


def test_batches_of_deletes_and_changes_tell_each_entrys_fate(sqs):
    url = sqs.create("q")
    sqs.send_all(url, "a", "b")
    one, two = (message["ReceiptHandle"] for message in sqs.receive(url))
    changes = [
        {"Id": "one", "ReceiptHandle": one, "VisibilityTimeout": 0},
        {"Id": "two", "ReceiptHandle": two, "VisibilityTimeout": 43_201},
        {"Id": "three", "ReceiptHandle": two},
    ]
    answer = sqs("ChangeMessageVisibilityBatch", QueueUrl=url, Entries=changes)
    assert answer["Successful"] == [{"Id": "one"}]
    assert [entry["Code"] for entry in answer["Failed"]] == ["InvalidParameterValue", "MissingParameter"]
    deletes = [{"Id": "two", "ReceiptHandle": two}, {"Id": "bad", "ReceiptHandle": "bad"}, {"Id": "none"}]
    answer = sqs("DeleteMessageBatch", QueueUrl=url, Entries=deletes)
    assert answer["Successful"] == [{"Id": "two"}]
    assert [entry["Code"] for entry in answer["Failed"]] == ["ReceiptHandleIsInvalid", "MissingParameter"]
    assert sqs.bodies(url) == ["a"]
