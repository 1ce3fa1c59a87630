"""Standard queues: visibility, handles, delays, retention, redrive and quotas, in virtual time."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

import pytest

from pollers.testing.service import Fault
from pollers.testing.sqs import Limits

HOUR = 3_600


def _redrive(sqs, receives, *, name="source", **attributes):
    dead = sqs.create("dead")
    policy = json.dumps({"deadLetterTargetArn": sqs.attributes(dead)["QueueArn"], "maxReceiveCount": receives})
    return sqs.create(name, RedrivePolicy=policy, VisibilityTimeout="0", **attributes), dead


def test_received_message_is_invisible_until_its_timeout_ends(sqs):
    url = sqs.create("q", VisibilityTimeout="30")
    sqs.send(url, "a")
    assert sqs.bodies(url) == ["a"]
    sqs.pass_time(29.9)
    assert sqs.bodies(url) == []
    sqs.pass_time(0.1)
    assert sqs.bodies(url) == ["a"]


def test_visibility_of_a_receive_beats_the_queues(sqs):
    url = sqs.create("q", VisibilityTimeout="30")
    sqs.send(url, "a")
    sqs.receive(url, VisibilityTimeout=2)
    sqs.pass_time(2)
    assert sqs.bodies(url) == ["a"]


def test_receive_with_visibility_0_leaves_the_message_visible_and_counts(sqs):
    url = sqs.create("q")
    sqs.send(url, "a")
    for count in ("1", "2"):
        (message,) = sqs.receive(url, VisibilityTimeout=0, MessageSystemAttributeNames=["ApproximateReceiveCount"])
        assert message["Attributes"] == {"ApproximateReceiveCount": count}


def test_one_receive_brings_at_most_ten(sqs):
    url = sqs.create("q")
    sqs.send_all(url, *map(str, range(12)))
    assert len(sqs.receive(url, 10)) == 10
    assert len(sqs.receive(url, 10)) == 2


def test_changed_visibility_counts_from_the_change(sqs):
    url = sqs.create("q", VisibilityTimeout="10")
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    sqs.pass_time(9)
    sqs.change(url, message, 10)
    sqs.pass_time(9)
    assert sqs.bodies(url) == []
    sqs.pass_time(1)
    assert sqs.bodies(url) == ["a"]


def test_visibility_0_gives_a_message_back_at_once(sqs):
    url = sqs.create("q")
    sqs.send(url, "a")
    sqs.change(url, sqs.receive(url)[0], 0)
    assert sqs.bodies(url) == ["a"]


def test_visibility_beyond_twelve_hours_of_the_receive_is_refused(sqs):
    url = sqs.create("q", VisibilityTimeout=str(12 * HOUR))
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    sqs.change(url, message, 12 * HOUR)
    sqs.pass_time(1)
    with pytest.raises(Fault, match="Total VisibilityTimeout for the message is beyond the limit") as caught:
        sqs.change(url, message, 12 * HOUR)
    assert caught.value.code == "InvalidParameterValue"


@pytest.mark.parametrize("seconds", [-1, 43_201])
@pytest.mark.parametrize("action", ["ReceiveMessage", "ChangeMessageVisibility"])
def test_visibility_out_of_range_is_refused(sqs, action, seconds):
    url = sqs.create("q")
    sqs.send(url, "a")
    handle = sqs.receive(url)[0]["ReceiptHandle"]
    with pytest.raises(Fault) as caught:
        sqs(action, QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds)
    assert caught.value.code == "InvalidParameterValue"


def test_change_after_the_timeout_is_refused(sqs):
    url = sqs.create("q", VisibilityTimeout="1")
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    sqs.pass_time(1)
    with pytest.raises(Fault) as caught:
        sqs.change(url, message, 5)
    assert caught.value.code == "AWS.SimpleQueueService.MessageNotInflight"


def test_change_of_a_deleted_message_is_refused(sqs):
    url = sqs.create("q")
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    sqs.delete(url, message)
    with pytest.raises(Fault, match="Message does not exist or is not available for visibility timeout change"):
        sqs.change(url, message, 5)


def test_change_with_an_older_handle_is_refused(sqs):
    url = sqs.create("q", VisibilityTimeout="0")
    sqs.send(url, "a")
    (first,) = sqs.receive(url)
    sqs.receive(url, VisibilityTimeout=30)
    with pytest.raises(Fault):
        sqs.change(url, first, 5)
    assert sqs.bodies(url) == []


def test_second_delete_succeeds(sqs):
    url = sqs.create("q")
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    sqs.delete(url, message)
    sqs.delete(url, message)
    assert sqs.counts(url) == (0, 0, 0)


def test_expired_newest_handle_still_deletes(sqs):
    url = sqs.create("q", VisibilityTimeout="1")
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    sqs.pass_time(5)
    sqs.delete(url, message)
    assert sqs.bodies(url) == []
    assert sqs.counts(url) == (0, 0, 0)


def test_older_handle_succeeds_and_deletes_nothing(sqs):
    url = sqs.create("q", VisibilityTimeout="1")
    sqs.send(url, "a")
    (older,) = sqs.receive(url)
    sqs.pass_time(1)
    (newer,) = sqs.receive(url)
    sqs.delete(url, older)
    assert sqs.counts(url) == (0, 1, 0)
    sqs.delete(url, newer)
    assert sqs.counts(url) == (0, 0, 0)


@pytest.mark.parametrize("handle", ["x", "AQEB", "AQEBeCB5IHo=", "AQEBYSBiIDE", "é"])
def test_invented_handle_is_invalid(sqs, handle):
    url = sqs.create("q")
    for action in ("DeleteMessage", "ChangeMessageVisibility"):
        with pytest.raises(Fault) as caught:
            sqs(action, QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=1)
        assert caught.value.code == "ReceiptHandleIsInvalid"


def test_handle_that_was_touched_up_is_invalid(sqs):
    url = sqs.create("q")
    sqs.send(url, "a")
    plain = b64decode(sqs.receive(url)[0]["ReceiptHandle"][4:])
    for other in (plain[:-1] + b"01", plain[:-1] + b"+1", plain + b"\n"):
        with pytest.raises(Fault) as caught:
            sqs.delete(url, {"ReceiptHandle": "AQEB" + b64encode(other).decode()})
        assert caught.value.code == "ReceiptHandleIsInvalid"
    assert sqs.counts(url) == (0, 1, 0)


def test_handle_of_another_queue_is_invalid(sqs):
    one, other = sqs.create("one"), sqs.create("other")
    sqs.send(one, "a")
    (message,) = sqs.receive(one)
    with pytest.raises(Fault) as caught:
        sqs.delete(other, message)
    assert caught.value.code == "ReceiptHandleIsInvalid"
    assert sqs.counts(one) == (0, 1, 0)


def test_each_receive_gives_another_handle(sqs):
    url = sqs.create("q", VisibilityTimeout="0")
    sqs.send(url, "a")
    assert sqs.receive(url)[0]["ReceiptHandle"] != sqs.receive(url)[0]["ReceiptHandle"]


def test_delay_of_the_message_beats_the_queues(sqs):
    url = sqs.create("q", DelaySeconds="10")
    sqs.send(url, "queue's")
    sqs.send(url, "own", DelaySeconds=2)
    sqs.send(url, "none", DelaySeconds=0)
    assert sqs.bodies(url) == ["none"]
    sqs.pass_time(2)
    assert sqs.bodies(url) == ["own"]
    assert sqs.counts(url) == (0, 2, 1)
    sqs.pass_time(8)
    assert sqs.bodies(url) == ["queue's"]


def test_changed_delay_leaves_what_was_sent(sqs):
    url = sqs.create("q", DelaySeconds="10")
    sqs.send(url, "a")
    sqs("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "0"})
    assert sqs.bodies(url) == []
    sqs.pass_time(10)
    assert sqs.bodies(url) == ["a"]


def test_messages_end_with_the_retention_period_even_in_flight(sqs):
    url = sqs.create("q", MessageRetentionPeriod="60", VisibilityTimeout="600")
    sqs.send_all(url, "in flight")
    (message,) = sqs.receive(url)
    sqs.pass_time(30)
    sqs.send_all(url, "waiting")
    sqs.pass_time(30)
    assert sqs.counts(url) == (1, 0, 0)
    with pytest.raises(Fault):
        sqs.change(url, message, 1)
    sqs.pass_time(30)
    assert sqs.counts(url) == (0, 0, 0)


def test_changed_retention_counts_for_what_is_there(sqs):
    url = sqs.create("q")
    sqs.send_all(url, "a")
    sqs.pass_time(100)
    sqs("SetQueueAttributes", QueueUrl=url, Attributes={"MessageRetentionPeriod": "100"})
    assert sqs.bodies(url) == []


def test_message_received_too_often_moves_to_the_dead_letter_queue_unchanged(sqs):
    url, dead = _redrive(sqs, 2)
    attributes = {"kind": {"DataType": "String", "StringValue": "x"}}
    sent = sqs.send(url, "a", MessageAttributes=attributes)
    sqs.pass_time(5)
    assert [sqs.bodies(url), sqs.bodies(url), sqs.bodies(url)] == [["a"], ["a"], []]
    (message,) = sqs.receive(dead, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"])
    assert message["MessageId"] == sent["MessageId"]
    assert message["Body"] == "a"
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == sqs.attributes(url)["QueueArn"]
    assert message["Attributes"]["SentTimestamp"] == "1700000000000"
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"


def test_redriven_messages_do_not_use_up_the_receive(sqs):
    url, dead = _redrive(sqs, 1)
    sqs.send_all(url, "a", "b")
    sqs.receive(url, 2)
    sqs.send_all(url, "c")
    assert sqs.bodies(url, 1) == ["c"]
    assert sqs.bodies(dead) == ["a", "b"]


def test_redrive_wakes_who_waits_for_dead_letters(sqs):
    url, dead = _redrive(sqs, 1)
    sqs.send(url, "a")
    poll = sqs.poll(dead)
    sqs.receive(url)
    sqs.receive(url)
    assert poll.answer["Messages"][0]["Body"] == "a"


def test_handle_of_a_redriven_message_deletes_nothing(sqs):
    url, dead = _redrive(sqs, 1)
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    sqs.receive(url)
    sqs.delete(url, message)
    assert sqs.counts(dead) == (1, 0, 0)


def test_without_its_dead_letter_queue_the_message_stays(sqs):
    url, dead = _redrive(sqs, 1)
    sqs.send(url, "a")
    sqs("DeleteQueue", QueueUrl=dead)
    assert [sqs.bodies(url), sqs.bodies(url)] == [["a"], ["a"]]


def test_dead_letter_keeps_its_age_in_a_standard_queue(sqs):
    url, dead = _redrive(sqs, 1)
    sqs("SetQueueAttributes", QueueUrl=dead, Attributes={"MessageRetentionPeriod": "60"})
    sqs.send(url, "a")
    sqs.pass_time(59)
    sqs.receive(url)
    sqs.receive(url)
    assert sqs.counts(dead) == (1, 0, 0)
    sqs.pass_time(1)
    assert sqs.counts(dead) == (0, 0, 0)


def test_full_flight_is_over_limit_for_short_polls_and_silence_for_long_ones(sqs_with):
    sqs = sqs_with(Limits(in_flight=2))
    url = sqs.create("q")
    sqs.send_all(url, "a", "b", "c")
    taken = sqs.receive(url)
    assert len(taken) == 2
    with pytest.raises(Fault) as caught:
        sqs.receive(url)
    assert (caught.value.code, caught.value.status) == ("OverLimit", 403)
    poll = sqs.poll(url)
    assert poll.answer is None
    sqs.delete(url, taken[0])
    assert [message["Body"] for message in poll.answer["Messages"]] == ["c"]


def test_purge_forgets_everything_once_a_minute(sqs):
    url = sqs.create("q")
    sqs.send_all(url, "a", "b")
    sqs.send(url, "late", DelaySeconds=5)
    sqs.receive(url, 1)
    sqs("PurgeQueue", QueueUrl=url)
    assert sqs.counts(url) == (0, 0, 0)
    sqs.pass_time(59)
    assert sqs.bodies(url) == []
    with pytest.raises(Fault) as caught:
        sqs("PurgeQueue", QueueUrl=url)
    assert caught.value.code == "AWS.SimpleQueueService.PurgeQueueInProgress"
    sqs.pass_time(1)
    sqs("PurgeQueue", QueueUrl=url)
