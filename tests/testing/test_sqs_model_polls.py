"""Long polls: what wakes them, what they get, and that nothing is swallowed by one that is gone."""

from __future__ import annotations

import pytest

from pollers.testing.service import Fault


def _got(poll):
    return [message["Body"] for message in poll.answer["Messages"]]


def test_poll_wakes_on_send(sqs):
    url = sqs.create("q")
    poll = sqs.poll(url)
    assert poll.answer is None
    sqs.send(url, "a")
    assert _got(poll) == ["a"]


def test_poll_ends_empty_when_its_time_is_over(sqs):
    url = sqs.create("q")
    poll = sqs.poll(url, wait=3)
    assert sqs.model.wake_at() == sqs.time + 3
    sqs.pass_time(2.9)
    assert poll.answer is None
    sqs.pass_time(0.1)
    assert poll.answer == {}
    assert sqs.model.wake_at() is None


def test_queues_own_waiting_time_holds_where_the_receive_names_none(sqs):
    url = sqs.create("q", ReceiveMessageWaitTimeSeconds="2")
    members = {"QueueUrl": url}
    poll = sqs.model.call("ReceiveMessage", members)
    sqs.pass_time(2)
    assert poll.answer == {}
    assert sqs.model.call("ReceiveMessage", {**members, "WaitTimeSeconds": 0}) == {}


def test_poll_wakes_when_a_visibility_timeout_ends(sqs):
    url = sqs.create("q", VisibilityTimeout="5")
    sqs.send(url, "a")
    sqs.receive(url)
    poll = sqs.poll(url)
    assert sqs.model.wake_at() == sqs.time + 5
    sqs.pass_time(5)
    assert _got(poll) == ["a"]


def test_poll_wakes_when_a_delay_ends(sqs):
    url = sqs.create("q")
    poll = sqs.poll(url)
    sqs.send(url, "a", DelaySeconds=4)
    assert sqs.model.wake_at() == sqs.time + 4
    sqs.pass_time(4)
    assert _got(poll) == ["a"]


def test_poll_wakes_when_a_message_is_given_back(sqs):
    url = sqs.create("q")
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    poll = sqs.poll(url)
    sqs.change(url, message, 0)
    assert _got(poll) == ["a"]


def test_shortened_visibility_moves_the_wake_up(sqs):
    url = sqs.create("q", VisibilityTimeout="30")
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    poll = sqs.poll(url)
    sqs.change(url, message, 2)
    assert sqs.model.wake_at() == sqs.time + 2
    sqs.pass_time(2)
    assert _got(poll) == ["a"]


def test_poll_wakes_when_a_group_frees(sqs):
    url = sqs.create("q.fifo")
    sqs.send_all(url, "a1", "a2", group="a")
    (message,) = sqs.receive(url, 1)
    poll = sqs.poll(url)
    assert poll.answer is None
    sqs.delete(url, message)
    assert _got(poll) == ["a2"]


def test_polls_are_served_first_come_first_served(sqs):
    url = sqs.create("q")
    first, second = sqs.poll(url), sqs.poll(url)
    sqs.send(url, "a")
    sqs.send(url, "b")
    assert (_got(first), _got(second)) == (["a"], ["b"])


def test_cancelled_poll_swallows_nothing(sqs):
    url = sqs.create("q")
    gone, waiting = sqs.poll(url), sqs.poll(url)
    gone.cancel()
    gone.cancel()
    sqs.send(url, "a")
    assert gone.answer is None
    assert _got(waiting) == ["a"]
    assert sqs.counts(url) == (0, 1, 0)


def test_poll_learns_that_its_queue_was_deleted(sqs):
    url = sqs.create("q")
    poll = sqs.poll(url)
    sqs("DeleteQueue", QueueUrl=url)
    assert isinstance(poll.answer, Fault)
    assert poll.answer.code == "AWS.SimpleQueueService.NonExistentQueue"


def test_listener_hears_the_answer_whether_it_is_early_or_late(sqs):
    url = sqs.create("q")
    heard = []
    late = sqs.poll(url)
    late.notify(heard.append)
    sqs.send(url, "a")
    late.notify(heard.append)
    assert heard == [late.answer, late.answer]


def test_answer_after_the_end_is_ignored(sqs):
    poll = sqs.poll(sqs.create("q"), wait=1)
    sqs.pass_time(1)
    poll.finish({"Messages": []})
    assert poll.answer == {}


def test_many_polls_one_after_the_other_leave_nothing_behind(sqs):
    url = sqs.create("q", VisibilityTimeout="600")
    sqs.send(url, "held")
    sqs.receive(url)
    for number in range(1_000):
        poll = sqs.poll(url)
        sqs.send(url, str(number))
        sqs.delete(url, poll.answer["Messages"][0])
    assert len(sqs.model._account.polls._alarms) <= 128


@pytest.mark.parametrize(
    ("member", "value"),
    [("MaxNumberOfMessages", 0), ("MaxNumberOfMessages", 11), ("WaitTimeSeconds", -1), ("WaitTimeSeconds", 21)],
)
def test_receive_out_of_range_is_refused(sqs, member, value):
    url = sqs.create("q")
    with pytest.raises(Fault, match=f"Value {value} for parameter {member} is invalid") as caught:
        sqs("ReceiveMessage", QueueUrl=url, **{member: value})
    assert caught.value.code == "InvalidParameterValue"
