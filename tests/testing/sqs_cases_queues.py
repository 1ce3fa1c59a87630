"""Cases of the SQS contract: batches, queues as such, redrive, receivers side by side."""

from __future__ import annotations

import threading

import pytest
from botocore.exceptions import ClientError
from sqs_driver import case, error_code


@case
def send_batch_tells_each_entrys_fate(sqs):
    url = sqs.create(fifo=True)
    good = {"Id": "good", "MessageBody": "a", "MessageGroupId": "g", "MessageDeduplicationId": "1"}
    bad = {"Id": "bad", "MessageBody": "b", "MessageGroupId": "g" * 200, "MessageDeduplicationId": "2"}
    answer = sqs.client.send_message_batch(QueueUrl=url, Entries=[bad, good])
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert [(entry["Id"], entry["SenderFault"]) for entry in answer["Failed"]] == [("bad", True)]
    assert sqs.bodies(url) == ["a"]


@case
def delete_batch_tells_each_entrys_fate(sqs):
    url = sqs.create()
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    entries = [{"Id": "good", "ReceiptHandle": message["ReceiptHandle"]}, {"Id": "bad", "ReceiptHandle": "nonsense"}]
    answer = sqs.client.delete_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("bad", "ReceiptHandleIsInvalid")]


@case
def change_batch_gives_messages_back(sqs):
    url = sqs.create()
    for body in "ab":
        sqs.send(url, body)
    entries = [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
        for number, message in enumerate(sqs.receive(url))
    ]
    answer = sqs.client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
    assert {entry["Id"] for entry in answer["Successful"]} == {"0", "1"}
    assert sorted(sqs.bodies(url)) == ["a", "b"]


@case
def batch_of_eleven_is_refused(sqs):
    url = sqs.create()
    entries = [{"Id": str(number), "MessageBody": "a"} for number in range(11)]
    with pytest.raises(sqs.client.exceptions.TooManyEntriesInBatchRequest):
        sqs.client.send_message_batch(QueueUrl=url, Entries=entries)
    assert sqs.bodies(url) == []


@case
def missing_queue_is_its_own_exception(sqs):
    with pytest.raises(sqs.client.exceptions.QueueDoesNotExist):
        sqs.client.get_queue_url(QueueName="missing")


@case
def error_codes_are_those_of_the_query_protocol(sqs):
    with pytest.raises(ClientError) as error:
        sqs.client.get_queue_url(QueueName="missing")
    assert error_code(error) == "AWS.SimpleQueueService.NonExistentQueue"


@case
def queue_is_found_described_and_listed(sqs):
    url = sqs.create(VisibilityTimeout="7")
    name = url.rpartition("/")[2]
    assert sqs.client.get_queue_url(QueueName=name)["QueueUrl"] == url
    assert sqs.client.list_queues(QueueNamePrefix=name)["QueueUrls"] == [url]
    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "8"})
    attributes = sqs.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "8"
    assert attributes["QueueArn"].endswith(f":{name}")
    assert attributes["ApproximateNumberOfMessages"] == "0"


@case
def counts_tell_waiting_in_flight_and_delayed(sqs):
    url = sqs.create()
    for body in "abc":
        sqs.send(url, body)
    sqs.send(url, "d", DelaySeconds=60)
    sqs.receive(url, 1)
    shown = sqs.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    suffixes = ("", "NotVisible", "Delayed")
    assert [shown[f"ApproximateNumberOfMessages{suffix}"] for suffix in suffixes] == ["2", "1", "1"]


@case
def purged_queue_is_empty(sqs):
    url = sqs.create()
    for body in "ab":
        sqs.send(url, body)
    sqs.client.purge_queue(QueueUrl=url)
    assert sqs.bodies(url) == []


@case
def tags_are_kept(sqs):
    url = sqs.create()
    sqs.client.tag_queue(QueueUrl=url, Tags={"a": "1", "b": "2"})
    sqs.client.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.client.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}


@case
def message_received_too_often_is_redriven_unchanged(sqs):
    dead = sqs.create()
    url = sqs.create(dead=dead, VisibilityTimeout="0")
    sent = sqs.send(url, "a")
    assert sqs.bodies(url) == ["a"]
    assert sqs.bodies(url) == []
    (message,) = sqs.receive(dead, WaitTimeSeconds=5, MessageSystemAttributeNames=["All"])
    assert (message["MessageId"], message["Body"]) == (sent["MessageId"], "a")
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == sqs.arn(url)


@case
def redrive_allow_policy_is_obeyed(sqs):
    dead = sqs.create(RedriveAllowPolicy='{"redrivePermission": "denyAll"}')
    with pytest.raises(ClientError):
        sqs.create(dead=dead)


@case
def receivers_side_by_side_share_nothing(sqs):
    url = sqs.create()
    for start in range(0, 200, 10):
        entries = [{"Id": str(n), "MessageBody": str(start + n)} for n in range(10)]
        sqs.client.send_message_batch(QueueUrl=url, Entries=entries)
    got: list[str] = []

    def drain():
        while messages := sqs.receive(url):
            for message in messages:
                got.append(message["Body"])
                sqs.delete(url, message)

    threads = [threading.Thread(target=drain) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, got)) == list(range(200))
