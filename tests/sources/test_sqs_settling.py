"""What the SQS source does with messages that are done, failed or unstarted."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from sqs_stage import ARN, Opened, Stage

from pollers.errors import SourceError
from pollers.flow.records import Progress, Raw
from pollers.testing.loop import idle, virtual_time

DELETE = "DeleteMessageBatch"
CHANGE = "ChangeMessageVisibilityBatch"


async def read_all(orders: Opened, count: int) -> list[Raw]:
    messages: list[Raw] = []
    while len(messages) < count:
        messages += await orders.read()
    return messages


def bodies(messages: list[Raw]) -> list[str]:
    return [raw["Body"] for raw in messages]


def handles(messages: list[Raw]) -> list[str]:
    return [raw["ReceiptHandle"] for raw in messages]


def entry_handles(stage: Stage, operation: str) -> list[list[str]]:
    return [[entry["ReceiptHandle"] for entry in entries] for entries in stage.entries(operation)]


# Done


@pytest.mark.rule("5.6-1")
@virtual_time
async def test_done_messages_are_deleted_ten_to_a_call_whatever_batches_they_were_in() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send(*map(str, range(25)))
    async with stage.source() as orders:
        done = await read_all(orders, 25)
        await orders.source.settle(orders.grant, Progress(done=done))
        assert [len(entries) for entries in stage.entries(DELETE)] == [10, 10, 5]
        assert stage.of(CHANGE) == []
    assert stage.left() == []
    assert {call.purpose for call in stage.of(DELETE)} == {"call"}  # never behind a long poll


@virtual_time
async def test_many_deletes_run_side_by_side() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send(*map(str, range(120)))
    async with stage.source() as orders:
        done = await read_all(orders, 120)
        stage.gates[DELETE] = asyncio.Event()
        settling = asyncio.create_task(orders.source.settle(orders.grant, Progress(done=done)))
        await idle()
        assert len(stage.of(DELETE)) == 8
        stage.gates[DELETE].set()
        await settling
    assert len(stage.of(DELETE)) == 12
    assert stage.left() == []


@virtual_time
async def test_failed_entries_of_a_delete_are_retried_alone() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send("1", "2", "3")
    async with stage.source() as orders:
        done = await orders.read()
        one = done[1]["ReceiptHandle"]
        stage.sqs.trouble.fail_entries(DELETE, times=3, entries=lambda entry: entry["ReceiptHandle"] == one)
        await orders.source.settle(orders.grant, Progress(done=done))
    assert entry_handles(stage, DELETE) == [handles(done), [one], [one], [one]]
    assert stage.left() == []


@virtual_time
async def test_settle_that_failed_in_part_is_repeated_for_the_rest_only() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send("1", "2", "3")
    async with stage.source() as orders:
        done = await orders.read()
        one = done[1]["ReceiptHandle"]
        stage.sqs.trouble.fail_entries(DELETE, times=4, entries=lambda entry: entry["ReceiptHandle"] == one)
        with pytest.raises(SourceError, match="failed for 1 of 3 messages: InternalError"):
            await orders.source.settle(orders.grant, Progress(done=done))
        stage.send("4")
        more = await orders.read()
        stage.calls.clear()
        await orders.source.settle(orders.grant, Progress(done=done + more))
        assert entry_handles(stage, DELETE) == [[one, *handles(more)]]
        assert stage.left() == []
        assert orders.lapsed == []


@virtual_time
async def test_delete_whose_answer_was_lost_is_repeated_without_harm() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send("1")
    async with stage.source() as orders:
        done = await orders.read()
        stage.sqs.trouble.drop(DELETE, after=True)
        with pytest.raises(SourceError, match="closed the connection"):
            await orders.source.settle(orders.grant, Progress(done=done))
        await orders.source.settle(orders.grant, Progress(done=done))
        assert orders.lapsed == []


@virtual_time
async def test_one_failing_call_does_not_keep_the_others_from_being_made() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send(*map(str, range(15)))
    async with stage.source() as orders:
        messages = await read_all(orders, 15)
        stage.sqs.trouble.drop(DELETE)
        with pytest.raises(SourceError):
            await orders.source.settle(orders.grant, Progress(done=messages[:12], unstarted=messages[12:]))
        assert sorted(stage.left()) == sorted(bodies(messages[:10]) + bodies(messages[12:]))
        assert sorted(stage.steal()) == sorted(bodies(messages[12:]))  # given back all the same


@virtual_time
async def test_refused_delete_is_told_as_lapsed_and_not_retried() -> None:
    stage = Stage()
    stage.queue("orders.fifo", VisibilityTimeout="60")
    stage.send("1", "2", name="orders.fifo", MessageGroupId="g")
    async with stage.source("orders.fifo") as orders:
        done = await orders.read()
        await asyncio.sleep(61)  # no beat came: the loop was blocked. AWS: an expired handle deletes nothing (FIFO).
        await orders.source.settle(orders.grant, Progress(done=done))
        await idle()
        assert len(stage.of(DELETE)) == 1
        assert orders.lapsed == done


@virtual_time
async def test_entry_without_an_answer_is_not_taken_for_deleted() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send("1", "2")
    async with stage.source() as orders:
        done = await orders.read()
        stage.forgetful.add(DELETE)
        with pytest.raises(SourceError, match="an entry without an answer"):
            await orders.source.settle(orders.grant, Progress(done=done))
        stage.forgetful.clear()
        await orders.source.settle(orders.grant, Progress(done=done))
    assert stage.left() == []


# Failed


@pytest.mark.rule("5.6-1", "5.6-4")
@virtual_time
async def test_failed_message_is_left_alone_and_comes_back_when_its_visibility_ends() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    (sent,) = stage.send("x")
    async with stage.source() as orders:
        failed = await orders.read()
        await asyncio.sleep(10)
        await orders.source.settle(orders.grant, Progress(failed=failed))
        assert stage.of(CHANGE) == stage.of(DELETE) == []
        began = stage.loop.time()
        await orders.source.keep(orders.grant)
        assert stage.of(CHANGE) == []  # no beat touches it any more
        (again,) = await read_all(orders, 1)
        assert stage.loop.time() == pytest.approx(began + 50)
        assert again["MessageId"] == sent
        assert again["ReceiptHandle"] != failed[0]["ReceiptHandle"]
        assert again["Attributes"]["ApproximateReceiveCount"] == "2"


@pytest.mark.rule("5.6-2")
@virtual_time
async def test_message_that_keeps_failing_goes_to_the_dead_letter_queue() -> None:
    stage = Stage()
    stage.queue("dead")
    stage.queue(VisibilityTimeout="6", **redrive(2))
    (sent,) = stage.send("poison")
    async with stage.source() as orders:
        for _ in range(2):
            failed = await read_all(orders, 1)
            await orders.source.settle(orders.grant, Progress(failed=failed))
        assert await orders.read() == []
    async with stage.source("dead") as dead:
        (raw,) = await dead.read()
        assert (raw["MessageId"], raw["Body"]) == (sent, "poison")


def redrive(receives: int) -> dict[str, str]:
    return {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{ARN}dead", "maxReceiveCount": receives})}


@pytest.mark.rule("13-3")
@pytest.mark.parametrize(
    ("worked", "back_after"),
    [
        (25.0, 30.0),  # extended at 10 and 20 s; it fails in time
        (29.5, 30.0),
        (45.0, 45.0),  # its timeout has passed
    ],
)
def test_failed_message_that_was_extended_comes_back_one_queue_timeout_after_its_receive(
    worked: float, back_after: float
) -> None:
    @virtual_time
    async def fail() -> None:
        stage = Stage()
        stage.queue(VisibilityTimeout="30")
        stage.send("x")
        async with stage.source() as orders:
            failed = await orders.read()
            began = stage.loop.time()
            await orders.beat_for(worked)
            assert stage.of(CHANGE)
            await orders.source.settle(orders.grant, Progress(failed=failed))
            await read_all(orders, 1)
            assert back_after <= stage.loop.time() - began <= back_after + 1

    fail()


@pytest.mark.rule("13-3")
@virtual_time
async def test_failure_is_set_back_even_if_the_answer_to_the_beat_was_lost() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        failed = await orders.read()
        began = stage.loop.time()
        await asyncio.sleep(20)
        stage.sqs.trouble.drop(CHANGE, after=True)
        with pytest.raises(SourceError):
            await orders.source.keep(orders.grant)
        await orders.source.settle(orders.grant, Progress(failed=failed))
        await read_all(orders, 1)
        assert stage.loop.time() == pytest.approx(began + 30)


# Unstarted


@pytest.mark.rule("13-4")
@virtual_time
async def test_unstarted_messages_are_visible_at_once() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send(*map(str, range(25)))
    async with stage.source() as orders:
        unstarted = await read_all(orders, 25)
        await orders.source.settle(orders.grant, Progress(unstarted=unstarted))
        assert [len(entries) for entries in stage.entries(CHANGE)] == [10, 10, 5]
        assert sorted(stage.steal() + stage.steal() + stage.steal()) == sorted(bodies(unstarted))


@pytest.mark.rule("13-4")
@virtual_time
async def test_unstarted_message_on_its_last_receive_is_left_until_its_timeout() -> None:
    stage = Stage()
    stage.queue("dead")
    stage.queue(VisibilityTimeout="60", **redrive(2))
    stage.send("old")
    stage.steal()
    await asyncio.sleep(60)
    stage.send("new")
    async with stage.source() as orders:
        unstarted = sorted(await read_all(orders, 2), key=lambda raw: str(raw["Body"]))
        assert [raw["Attributes"]["ApproximateReceiveCount"] for raw in unstarted] == ["1", "2"]
        await orders.source.settle(orders.grant, Progress(unstarted=unstarted))
        assert entry_handles(stage, CHANGE) == [[unstarted[0]["ReceiptHandle"]]]
        assert stage.steal() == ["new"]
        assert stage.left("dead") == []


@pytest.mark.rule("13-5", "4-2", "5.6-12")
@virtual_time
async def test_rest_of_a_failed_group_goes_back_in_order_and_nothing_overtakes() -> None:
    stage = Stage()
    stage.queue("orders.fifo", VisibilityTimeout="60")
    stage.send(*map(str, range(24)), name="orders.fifo", MessageGroupId="g")
    async with stage.source("orders.fifo") as orders:
        first = await orders.read()
        assert bodies(first) == [str(number) for number in range(10)]
        await orders.source.settle(orders.grant, Progress(done=first[:2], failed=first[2:3], unstarted=first[3:]))
        assert entry_handles(stage, CHANGE) == [handles(first[3:])]
        assert stage.steal("orders.fifo") == []  # the failed one holds its group
        await asyncio.sleep(60)
        again = await orders.read()
        assert bodies(again) == [str(number) for number in range(2, 12)]


@pytest.mark.rule("13-5")
@virtual_time
async def test_fifo_messages_go_back_one_call_after_the_other() -> None:
    stage = Stage()
    stage.queue("orders.fifo", VisibilityTimeout="60")
    for number in range(25):
        stage.send(str(number), name="orders.fifo", MessageGroupId=f"group-{number}")
    async with stage.source("orders.fifo") as orders:
        unstarted = await read_all(orders, 25)
        stage.gates[CHANGE] = asyncio.Event()
        settling = asyncio.create_task(orders.source.settle(orders.grant, Progress(unstarted=unstarted)))
        await idle()
        assert entry_handles(stage, CHANGE) == [handles(unstarted[:10])]
        stage.gates[CHANGE].set()
        await settling
        assert sum(entry_handles(stage, CHANGE), []) == handles(unstarted)  # noqa: RUF017


@pytest.mark.rule("13-4")
@virtual_time
async def test_give_back_waits_for_an_extension_that_is_under_way() -> None:
    # Otherwise the extension may arrive after it, and hide the message for another timeout.
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        unstarted = await orders.read()
        await asyncio.sleep(10)
        stage.gates[CHANGE] = asyncio.Event()
        beat = asyncio.create_task(orders.source.keep(orders.grant))
        await idle()
        settling = asyncio.create_task(orders.source.settle(orders.grant, Progress(unstarted=unstarted)))
        await idle()
        assert [entries[0]["VisibilityTimeout"] for entries in stage.entries(CHANGE)] == [30]
        stage.gates[CHANGE].set()
        await asyncio.gather(beat, settling)
        assert [entries[0]["VisibilityTimeout"] for entries in stage.entries(CHANGE)] == [30, 0]
        assert stage.steal() == ["x"]


@pytest.mark.rule("13-4")
@virtual_time
async def test_beat_leaves_alone_what_is_being_given_back() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        unstarted = await orders.read()
        await asyncio.sleep(10)
        stage.late[CHANGE] = asyncio.Event()
        settling = asyncio.create_task(orders.source.settle(orders.grant, Progress(unstarted=unstarted)))
        await idle()
        await orders.source.keep(orders.grant)
        stage.late[CHANGE].set()
        await settling
        assert [entries[0]["VisibilityTimeout"] for entries in stage.entries(CHANGE)] == [0]
        assert stage.steal() == ["x"]


@pytest.mark.rule("13-4")
@virtual_time
async def test_role_that_may_not_change_visibility_can_still_stop(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send("1", "2")
    async with stage.source() as orders:
        unstarted = await orders.read()
        stage.sqs.trouble.fail(CHANGE, times=2, code="AccessDenied", message="No.", status=403)
        with caplog.at_level(logging.WARNING):
            await orders.source.settle(orders.grant, Progress(unstarted=unstarted[:1]))
            await orders.source.settle(orders.grant, Progress(unstarted=unstarted[1:]))
        assert [record.message for record in caplog.records] == [
            f"Messages of {ARN}orders are not handed back before their visibility ends. ChangeMessageVisibilityBatch "
            "is denied: AccessDenied: No. Allow sqs:ChangeMessageVisibility to these credentials, by their policy or "
            "by the resource's own."
        ]


@virtual_time
async def test_nothing_is_remembered_of_what_is_settled() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send("done", "failed", "unstarted")
    async with stage.source() as orders:
        one, two, three = await orders.read()
        await orders.source.settle(orders.grant, Progress(done=[one], failed=[two], unstarted=[three]))
        custody = orders.source._custody
        assert (len(custody._dealt), len(custody._held._held)) == (0, 0)


@virtual_time
async def test_settling_nothing_calls_nothing() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    async with stage.source() as orders:
        stage.calls.clear()
        await orders.source.settle(orders.grant, Progress())
        assert stage.calls == []
