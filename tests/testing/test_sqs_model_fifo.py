"""FIFO queues: groups, order, deduplication, attempt ids, in virtual time, and a property over random histories."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollers.testing.service import Fault
from pollers.testing.sqs import Limits


def _numbers(messages):
    return [int(message["Attributes"]["SequenceNumber"]) for message in messages]


def test_group_in_flight_gives_nothing_more(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "a1", "a2", group="a")
    sqs.send_all(url, "b1", group="b")
    (first,) = sqs.receive(url, 1)
    assert first["Body"] == "a1"
    assert sqs.bodies(url) == ["b1"]
    assert sqs.bodies(url) == []
    sqs.delete(url, first)
    assert sqs.bodies(url) == ["a2"]


def test_one_receive_gives_several_of_a_group_in_order_then_others(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "a1", group="a")
    sqs.send_all(url, "b1", group="b")
    sqs.send_all(url, "a2", "a3", group="a")
    assert sqs.bodies(url) == ["a1", "a2", "a3", "b1"]


def test_message_given_back_while_its_group_is_in_flight_waits_for_the_group(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "a1", "a2", "a3", group="a")
    one, two = sqs.receive(url, 2)
    sqs.change(url, two, 0)
    assert sqs.bodies(url) == []
    sqs.delete(url, one)
    assert sqs.bodies(url) == ["a2", "a3"]


def test_messages_given_back_in_any_order_come_again_in_theirs(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "a1", "a2", "a3", "a4", group="a")
    one, two, three = sqs.receive(url, 3)
    for message in (three, one, two):
        sqs.change(url, message, 0)
    assert sqs.bodies(url) == ["a1", "a2", "a3", "a4"]


def test_group_whose_timeout_ends_comes_again_in_order(sqs):
    url = sqs.create("q.fifo", VisibilityTimeout="5")
    sqs.send_all(url, "a1", "a2", group="a")
    sqs.receive(url)
    sqs.pass_time(5)
    assert sqs.bodies(url) == ["a1", "a2"]


def test_deleting_behind_a_message_in_flight_frees_nothing(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "a1", "a2", "a3", group="a")
    _, two = sqs.receive(url, 2)
    sqs.delete(url, two)
    assert sqs.bodies(url) == []


def test_expired_handle_is_refused(sqs):
    url = sqs.create("q.fifo", VisibilityTimeout="1")
    sqs.send_all(url, "a1", group="a")
    (message,) = sqs.receive(url)
    sqs.pass_time(1)
    with pytest.raises(Fault, match="The receipt handle has expired") as caught:
        sqs.delete(url, message)
    assert caught.value.code == "InvalidParameterValue"
    (newer,) = sqs.receive(url)
    with pytest.raises(Fault, match="The receipt handle has expired"):
        sqs.delete(url, message)
    sqs.delete(url, newer)


def test_second_delete_succeeds_in_fifo_too(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "a1", group="a")
    (message,) = sqs.receive(url)
    sqs.delete(url, message)
    sqs.delete(url, message)


def test_expired_messages_make_way_for_their_group(sqs):
    url = sqs.create("q.fifo", MessageRetentionPeriod="60", VisibilityTimeout="600")
    sqs.send_all(url, "a1", group="a")
    sqs.receive(url)
    sqs.pass_time(30)
    sqs.send_all(url, "a2", group="a")
    assert sqs.bodies(url) == []
    sqs.pass_time(30)
    assert sqs.bodies(url) == ["a2"]


def test_expired_waiting_messages_are_skipped(sqs):
    url = sqs.create("q.fifo", MessageRetentionPeriod="60")
    sqs.send_all(url, "a1", group="a")
    sqs.pass_time(30)
    sqs.send_all(url, "a2", group="a")
    sqs.pass_time(30)
    assert sqs.bodies(url) == ["a2"]


def test_sequence_numbers_have_20_digits_and_ascend(sqs):
    url = sqs.create("q.fifo")
    sent = [sqs.send(url, str(n), MessageGroupId="a")["SequenceNumber"] for n in range(5)]
    assert all(len(number) == 20 for number in sent)
    assert sent == sorted(set(sent))
    received = sqs.receive(url, MessageSystemAttributeNames=["SequenceNumber"])
    assert _numbers(received) == [int(number) for number in sent]


def test_duplicate_is_accepted_and_not_delivered(sqs):
    url = sqs.create("q.fifo")
    first = sqs.send(url, "a", MessageGroupId="g", MessageDeduplicationId="d")
    second = sqs.send(url, "other", MessageGroupId="h", MessageDeduplicationId="d")
    assert (second["MessageId"], second["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    assert second["MD5OfMessageBody"] != first["MD5OfMessageBody"]
    assert sqs.bodies(url) == ["a"]


def test_deduplication_outlives_the_delete_and_ends_after_five_minutes(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "a", group="g")
    sqs.delete(url, sqs.receive(url)[0])
    sqs.pass_time(299.9)
    sqs.send_all(url, "a", group="g")
    assert sqs.bodies(url) == []
    sqs.pass_time(0.1)
    sqs.send_all(url, "a", group="g")
    assert sqs.bodies(url) == ["a"]


def test_duplicate_does_not_prolong_the_five_minutes(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "a", group="g")
    sqs.pass_time(200)
    sqs.send_all(url, "a", group="g")
    sqs.pass_time(100)
    sqs.send_all(url, "a", group="g")
    assert sqs.bodies(url) == ["a", "a"]


def test_explicit_id_beats_the_content(sqs):
    url = sqs.create("q.fifo")
    for id in ("1", "2"):
        sqs.send(url, "same", MessageGroupId="g", MessageDeduplicationId=id)
    messages = sqs.receive(url, MessageSystemAttributeNames=["MessageDeduplicationId"])
    assert [message["Attributes"]["MessageDeduplicationId"] for message in messages] == ["1", "2"]


def test_content_based_id_is_the_sha256_of_the_body(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "hello", group="g")
    (message,) = sqs.receive(url, MessageSystemAttributeNames=["MessageDeduplicationId"])
    expected = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert message["Attributes"]["MessageDeduplicationId"] == expected


def test_scope_of_message_group_deduplicates_per_group(sqs):
    url = sqs.create("q.fifo", DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    for group in ("g", "h", "g"):
        sqs.send(url, "same", MessageGroupId=group)
    assert sqs.bodies(url) == ["same", "same"]


def test_throughput_per_group_needs_the_scope_of_groups(sqs):
    with pytest.raises(Fault) as caught:
        sqs.create("q.fifo", FifoThroughputLimit="perMessageGroupId")
    assert caught.value.code == "InvalidAttributeValue"


@pytest.mark.parametrize(
    ("members", "code", "words"),
    [
        ({"MessageDeduplicationId": "d"}, "MissingParameter", "MessageGroupId"),
        ({"MessageGroupId": "g"}, "InvalidParameterValue", "ContentBasedDeduplication enabled or MessageDeduplication"),
        ({"MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 1}, "InvalidParameterValue", "Delay"),
        ({"MessageGroupId": "a b", "MessageDeduplicationId": "d"}, "InvalidParameterValue", "punctuation"),
        ({"MessageGroupId": "g" * 129, "MessageDeduplicationId": "d"}, "InvalidParameterValue", "128 in length"),
    ],
)
def test_send_to_fifo_refuses(sqs, members, code, words):
    url = sqs.create("q.fifo", ContentBasedDeduplication="false")
    with pytest.raises(Fault, match=words) as caught:
        sqs.send(url, "a", **members)
    assert caught.value.code == code
    assert sqs.counts(url) == (0, 0, 0)


def test_standard_queue_takes_groups_and_refuses_deduplication(sqs):
    url = sqs.create("q")
    with pytest.raises(Fault, match="not valid for this queue type"):
        sqs.send(url, "a", MessageDeduplicationId="d")
    sqs.send_all(url, "a", "b", group="g")
    (message,) = sqs.receive(url, 1, MessageSystemAttributeNames=["MessageGroupId"])
    assert message["Attributes"] == {"MessageGroupId": "g"}
    assert sqs.bodies(url) == ["b"]


def test_delay_of_a_fifo_queue_is_retroactive_and_keeps_order(sqs):
    url = sqs.create("q.fifo", DelaySeconds="100")
    sqs.send_all(url, "a1", group="a")
    sqs.pass_time(1)
    sqs("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "10"})
    sqs.send_all(url, "a2", group="a")
    sqs.pass_time(8.9)
    assert sqs.bodies(url) == []
    sqs.pass_time(0.1)
    assert sqs.bodies(url, VisibilityTimeout=0) == ["a1"]
    sqs.pass_time(1)
    assert sqs.bodies(url) == ["a1", "a2"]


def test_attempt_id_brings_the_same_messages_under_the_same_handles(sqs):
    url = sqs.create("q.fifo", VisibilityTimeout="10")
    sqs.send_all(url, "a1", "a2", group="a")
    sqs.send_all(url, "b1", group="b")
    names = {"MessageSystemAttributeNames": ["All"]}
    first = sqs.receive(url, 2, ReceiveRequestAttemptId="try", **names)
    sqs.pass_time(9)
    assert sqs.receive(url, 2, ReceiveRequestAttemptId="try", **names) == first
    sqs.pass_time(9)  # the timeout began anew
    assert sqs.bodies(url) == ["b1"]
    sqs.delete(url, first[0])


@pytest.mark.parametrize("disturb", ["delete", "change", "expire"])
def test_attempt_id_is_a_new_receive_once_a_message_has_moved_on(sqs, disturb):
    url = sqs.create("q.fifo", VisibilityTimeout="10")
    sqs.send_all(url, "a1", "a2", group="a")
    one, _ = sqs.receive(url, ReceiveRequestAttemptId="try")
    if disturb == "delete":
        sqs.delete(url, one)
    elif disturb == "change":
        sqs.change(url, one, 20)
    else:
        sqs.pass_time(10)
    expected = ["a1", "a2"] if disturb == "expire" else []
    again = sqs.receive(url, ReceiveRequestAttemptId="try")
    assert [message["Body"] for message in again] == expected
    assert one["ReceiptHandle"] not in [message["ReceiptHandle"] for message in again]


def test_attempt_id_ends_after_five_minutes(sqs):
    url = sqs.create("q.fifo", VisibilityTimeout="600")
    sqs.send_all(url, "a1", group="a")
    sqs.receive(url, ReceiveRequestAttemptId="try")
    sqs.pass_time(300)
    assert sqs.bodies(url, ReceiveRequestAttemptId="try") == []


def test_attempt_id_is_refused_by_standard_queues(sqs):
    url = sqs.create("q")
    with pytest.raises(Fault, match="not valid for this queue type"):
        sqs.receive(url, ReceiveRequestAttemptId="try")


def test_redrive_frees_the_group_and_keeps_its_order(sqs):
    dead = sqs.create("dead.fifo")
    policy = json.dumps({"deadLetterTargetArn": sqs.attributes(dead)["QueueArn"], "maxReceiveCount": "1"})
    url = sqs.create("q.fifo", RedrivePolicy=policy, VisibilityTimeout="0")
    sqs.send_all(url, "a1", "a2", group="a")
    assert sqs.bodies(url, 1) == ["a1"]
    sqs.pass_time(7)
    assert sqs.bodies(url, 1) == ["a2"]
    (message,) = sqs.receive(dead, MessageSystemAttributeNames=["All"])
    assert message["Attributes"]["MessageGroupId"] == "a"
    assert message["Attributes"]["DeadLetterQueueSourceArn"].endswith(":q.fifo")
    assert message["Attributes"]["SentTimestamp"] == "1700000007000"  # a FIFO dead letter is as old as its move


def test_full_flight_of_fifo_is_silent(sqs_with):
    sqs = sqs_with(Limits(in_flight=1))
    url = sqs.create("q.fifo")
    for group in "ab":
        sqs.send_all(url, group, group=group)
    (message,) = sqs.receive(url)
    assert sqs.bodies(url) == []
    sqs.delete(url, message)
    assert sqs.bodies(url) == ["b"]


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from("abc")),
        st.tuples(st.just("receive"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["delete", "back"]), st.integers(0, 9)),
        st.tuples(st.just("time"), st.integers(1, 4)),
    ),
    max_size=60,
)


@given(steps=_steps)
def test_groups_never_overtake_and_never_run_twice_at_once(sqs_with, steps):
    sqs = sqs_with(Limits())
    url = sqs.create("q.fifo", VisibilityTimeout="3")
    waiting: dict[str, list[str]] = {"a": [], "b": [], "c": []}  # bodies not deleted, in the order sent
    held: list[tuple[dict, float]] = []  # received, with the end of their visibility
    for number, (step, argument) in enumerate(steps):
        held = [(message, until) for message, until in held if until > sqs.time]
        if step == "send":
            sqs.send(url, f"{argument}{number}", MessageGroupId=argument)
            waiting[argument].append(f"{argument}{number}")
        elif step == "receive":
            _check_receive(sqs, url, argument, waiting, held)
        elif step == "time":
            sqs.pass_time(argument)
        elif held:
            message, _ = held.pop(argument % len(held))
            if step == "back":
                sqs.change(url, message, 0)
            else:
                sqs.delete(url, message)
                waiting[message["Body"][0]].remove(message["Body"])
    for _ in range(len(steps) + 1):
        sqs.pass_time(3)
        for message in sqs.receive(url):
            assert waiting[message["Body"][0]].pop(0) == message["Body"]
            sqs.delete(url, message)
    assert waiting == {"a": [], "b": [], "c": []}


def _check_receive(sqs, url, limit, waiting, held):
    busy = {message["Body"][0] for message, _ in held}
    messages = sqs.receive(url, limit)
    for group in "abc":
        got = [message["Body"] for message in messages if message["Body"][0] == group]
        assert not (got and group in busy)
        assert got == waiting[group][: len(got)]
    free = sum(len(bodies) for group, bodies in waiting.items() if group not in busy)
    assert len(messages) == min(limit, free)
    held.extend((message, sqs.time + 3) for message in messages)
