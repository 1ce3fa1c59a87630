"""Failures on order, the journal, and the cost of a message."""

from __future__ import annotations

import sys

import pytest

from pollers.testing.service import Dropped, Fault
from pollers.testing.trouble import Call, Journal


def test_ordered_failures_come_as_often_as_ordered_and_change_nothing(sqs):
    url = sqs.create("q")
    sqs.model.trouble.fail("SendMessage", 2, code="ServiceUnavailable", status=503)
    for _ in range(2):
        with pytest.raises(Fault) as caught:
            sqs.send(url, "a")
        assert (caught.value.code, caught.value.status, caught.value.sender) == ("ServiceUnavailable", 503, False)
    sqs.send(url, "b")
    assert sqs.bodies(url) == ["b"]


def test_lost_answer_leaves_the_call_applied(sqs):
    url = sqs.create("q")
    sqs.model.trouble.fail("SendMessage", after=True)
    with pytest.raises(Fault):
        sqs.send(url, "a")
    sqs.model.trouble.drop("DeleteMessage", after=True)
    (message,) = sqs.receive(url)
    assert message["Body"] == "a"
    with pytest.raises(Dropped):
        sqs.delete(url, message)
    assert sqs.counts(url) == (0, 0, 0)


def test_lost_answer_of_a_long_poll_ends_the_poll(sqs):
    url = sqs.create("q")
    sqs.model.trouble.fail("ReceiveMessage", after=True)
    with pytest.raises(Fault):
        sqs.poll(url)
    sqs.send(url, "a")
    assert sqs.counts(url) == (1, 0, 0)


def test_trouble_may_mean_one_queue_and_may_be_called_off(sqs):
    one, other = sqs.create("one"), sqs.create("other")
    sqs.model.trouble.drop("SendMessage", 9, resource="one")
    sqs.send(other, "a")
    with pytest.raises(Dropped):
        sqs.send(one, "a")
    sqs.model.trouble.clear()
    sqs.send(one, "a")


def test_ordered_entries_fail_and_the_others_are_applied(sqs):
    url = sqs.create("q")
    sqs.model.trouble.fail_entries("SendMessageBatch", code="Busy", entries=lambda entry: entry["Id"] == "b")
    entries = [{"Id": id, "MessageBody": id} for id in "abc"]
    answer = sqs("SendMessageBatch", QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["a", "c"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]] == [("b", "Busy", False)]
    assert sqs.bodies(url) == ["a", "c"]
    assert "Failed" not in sqs("SendMessageBatch", QueueUrl=url, Entries=entries)


def test_every_batch_action_takes_orders_for_entries(sqs):
    url = sqs.create("q")
    sqs.send(url, "a")
    handle = sqs.receive(url)[0]["ReceiptHandle"]
    for action in ("ChangeMessageVisibilityBatch", "DeleteMessageBatch"):
        sqs.model.trouble.fail_entries(action)
        entry = {"Id": "a", "ReceiptHandle": handle, "VisibilityTimeout": 0}
        assert len(sqs(action, QueueUrl=url, Entries=[entry])["Failed"]) == 1
    assert sqs.counts(url) == (0, 1, 0)


def test_journal_names_action_queue_and_time(sqs):
    url = sqs.create("q")
    sqs.pass_time(5)
    sqs.send(url, "a")
    journal = sqs.model.journal
    assert list(journal.calls) == [
        Call("CreateQueue", "q", 1_700_000_000.0),
        Call("SendMessage", "q", 1_700_000_005.0),
    ]
    assert (journal.count("SendMessage"), journal.count("SendMessage", "p")) == (1, 0)


def test_journal_keeps_the_latest():
    journal = Journal(capacity=2)
    for number in range(3):
        journal.calls.append(Call("A", "", float(number)))
    assert [call.time for call in journal.calls] == [1.0, 2.0]


def _steps_of(work):
    """How many lines `work` executes, each turn of a loop counted again."""
    steps = 0

    def count(frame, event, argument):
        nonlocal steps
        steps += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


def _fill(sqs, url, number, fifo, first=0):
    for start in range(first, first + number, 10):
        entries = [{"Id": str(n), "MessageBody": f"{start + n}"} for n in range(10)]
        for n, entry in enumerate(entries):
            entry |= {"MessageGroupId": f"group-{(start + n) % (number // 10)}"} if fifo else {}
        assert "Failed" not in sqs("SendMessageBatch", QueueUrl=url, Entries=entries)


def _cycle(sqs, url):
    """Fifty receives of ten: a third is deleted, a third given back, a third left to its timeout."""
    for _ in range(50):
        messages = sqs.receive(url)
        assert len(messages) == 10
        deletes = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        sqs("DeleteMessageBatch", QueueUrl=url, Entries=deletes[:4])
        changes = [{**entry, "VisibilityTimeout": 0} for entry in deletes[4:7]]
        sqs("ChangeMessageVisibilityBatch", QueueUrl=url, Entries=changes)
        sqs.pass_time(1)


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_message_costs_the_same_behind_100_000_as_behind_1_000(sqs, fifo):
    costs = []
    for number in (1_000, 100_000):
        url = sqs.create(f"q-{number}" + (".fifo" if fifo else ""), VisibilityTimeout="5")
        _fill(sqs, url, number, fifo)
        costs.append(_steps_of(lambda url=url: _cycle(sqs, url)))
    assert costs[1] <= 1.3 * costs[0]


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_sending_costs_the_same_behind_20_000_as_behind_1_000(sqs, fifo):
    url = sqs.create("q" + (".fifo" if fifo else ""))
    first = _steps_of(lambda: _fill(sqs, url, 1_000, fifo))
    _fill(sqs, url, 20_000, fifo, first=1_000)
    later = _steps_of(lambda: _fill(sqs, url, 1_000, fifo, first=21_000))
    assert sqs.counts(url) == (22_000, 0, 0)
    assert later <= 1.3 * first
