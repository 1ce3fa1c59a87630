"""Cases of the SQS contract: FIFO queues."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from sqs_driver import case, error_code


@case
def group_comes_in_order_and_blocks_while_in_flight(sqs):
    url = sqs.create(fifo=True)
    for body in ("a1", "a2", "b1", "a3"):
        sqs.send(url, body, body[0])
    first = sqs.receive(url, 2)
    assert [message["Body"] for message in first] == ["a1", "a2"]
    assert sqs.bodies(url) == ["b1"]
    assert sqs.bodies(url) == []
    for message in first:
        sqs.delete(url, message)
    assert sqs.bodies(url) == ["a3"]


@case
def group_whose_timeout_ends_comes_again_in_order(sqs):
    url = sqs.create(fifo=True, VisibilityTimeout="1")
    for body in ("a1", "a2", "a3"):
        sqs.send(url, body, "a")
    assert sqs.bodies(url, 2) == ["a1", "a2"]
    assert sqs.bodies(url, 1, WaitTimeSeconds=5) == ["a1"]


@case
def given_back_message_waits_for_its_group(sqs):
    url = sqs.create(fifo=True)
    for body in ("a1", "a2"):
        sqs.send(url, body, "a")
    one, two = sqs.receive(url, 2)
    sqs.change(url, one, 0)
    assert sqs.bodies(url) == []
    sqs.delete(url, two)
    assert sqs.bodies(url) == ["a1"]


@case
def sequence_numbers_ascend(sqs):
    url = sqs.create(fifo=True)
    sent = [int(sqs.send(url, body, "a")["SequenceNumber"]) for body in "123"]
    received = sqs.receive(url, MessageSystemAttributeNames=["All"])
    assert sent == sorted(set(sent)) == [int(message["Attributes"]["SequenceNumber"]) for message in received]
    assert {message["Attributes"]["MessageGroupId"] for message in received} == {"a"}


@case
def duplicate_is_accepted_and_not_delivered(sqs):
    url = sqs.create(fifo=True)
    first = sqs.send(url, "a", "g", "id")
    sqs.delete(url, sqs.receive(url)[0])
    assert sqs.send(url, "b", "g", "id")["MessageId"] == first["MessageId"]
    assert sqs.bodies(url) == []


@case
def content_is_deduplicated_where_the_queue_says_so(sqs):
    url = sqs.create(fifo=True, ContentBasedDeduplication="true")
    for body in "aab":
        sqs.send(url, body, MessageGroupId="g")
    assert sqs.bodies(url) == ["a", "b"]


@case
def deduplication_scope_of_groups(sqs):
    url = sqs.create(fifo=True, DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    for group in "gh":
        sqs.send(url, group, group, "same")
    assert sorted(sqs.bodies(url)) == ["g", "h"]


@case
def attempt_id_brings_the_same_messages(sqs):
    url = sqs.create(fifo=True)
    sqs.send(url, "a", "g")
    first = sqs.receive(url, ReceiveRequestAttemptId="try")
    again = sqs.receive(url, ReceiveRequestAttemptId="try")
    assert [message["MessageId"] for message in first] == [message["MessageId"] for message in again] != []
    assert sqs.bodies(url, ReceiveRequestAttemptId="other") == []


@case
def fifo_delete_with_an_expired_handle_is_refused(sqs):
    url = sqs.create(fifo=True, VisibilityTimeout="1")
    sqs.send(url, "a", "g")
    (message,) = sqs.receive(url)
    sqs.until_visible(url)
    with pytest.raises(ClientError):
        sqs.delete(url, message)
    assert sqs.bodies(url) == ["a"]


@case
def redriven_message_frees_its_group(sqs):
    dead = sqs.create(fifo=True)
    url = sqs.create(fifo=True, dead=dead, VisibilityTimeout="1")
    for body in ("a1", "a2"):
        sqs.send(url, body, "a")
    assert sqs.bodies(url, 1) == ["a1"]
    assert sqs.bodies(url, 1, WaitTimeSeconds=5) == ["a2"]
    assert sqs.bodies(dead, WaitTimeSeconds=5) == ["a1"]


@case
def message_without_a_group_is_refused_by_fifo(sqs):
    url = sqs.create(fifo=True)
    with pytest.raises(ClientError) as error:
        sqs.send(url, "a", MessageDeduplicationId="d")
    assert error_code(error) == "MissingParameter"


@case
def long_poll_wakes_when_a_group_frees(sqs):
    url = sqs.create(fifo=True)
    sqs.send(url, "a1", "a")
    sqs.send(url, "a2", "a")
    (message,) = sqs.receive(url, 1)
    poll = sqs.polling(url)
    sqs.delete(url, message)
    assert poll.join() == ["a2"]
