"""How the SQS source keeps messages invisible while a function has them."""

from __future__ import annotations

import asyncio

import pytest
from sqs_stage import Stage

from pollers.errors import SourceError
from pollers.flow.records import Progress
from pollers.testing.loop import idle, virtual_time

CHANGE = "ChangeMessageVisibilityBatch"
DELETE = "DeleteMessageBatch"


@pytest.mark.rule("13-3")
@virtual_time
async def test_message_stays_invisible_for_as_long_as_it_is_held() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        held = await orders.read()
        for _ in range(20):
            await orders.beat_for(30)
            assert stage.steal() == []
        await orders.source.settle(orders.grant, Progress(done=held))
        assert orders.lapsed == []
    assert stage.left() == []


@pytest.mark.rule("13-3")
@virtual_time
async def test_every_beat_renews_what_has_used_up_a_third_so_that_one_may_fail() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        assert orders.source.delivery.beat == 10
        held = await orders.read()
        received = stage.loop.time()
        await asyncio.sleep(5)
        await orders.source.keep(orders.grant)  # 25 s are left: it can wait for two more beats
        await orders.beat_for(20)
        assert [call.time - received for call in stage.of(CHANGE)] == [15, 25]
        stage.sqs.trouble.drop(CHANGE)
        await asyncio.sleep(10)
        with pytest.raises(SourceError):
            await orders.source.keep(orders.grant)
        await orders.beat_for(30)
        assert stage.steal() == []
        await orders.source.settle(orders.grant, Progress(done=held))
        assert orders.lapsed == []


@virtual_time
async def test_most_urgent_messages_are_extended_first_ten_to_a_call() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send(*map(str, range(12)))
    async with stage.source() as orders:
        older = await orders.read()
        await asyncio.sleep(3)
        newer = await orders.read()
        await asyncio.sleep(10)
        await orders.source.keep(orders.grant)
    handles = [entry["ReceiptHandle"] for entries in stage.entries(CHANGE) for entry in entries]
    assert handles == [raw["ReceiptHandle"] for raw in older + newer]
    assert [len(entries) for entries in stage.entries(CHANGE)] == [10, 2]


@virtual_time
async def test_settled_messages_are_not_extended() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("done", "failed", "unstarted")
    async with stage.source() as orders:
        done, failed, unstarted = sorted(await orders.read(), key=lambda raw: str(raw["Body"]))
        await orders.source.settle(orders.grant, Progress(done=[done], failed=[failed], unstarted=[unstarted]))
        stage.calls.clear()
        await orders.beat_for(300)
        assert stage.calls == []


@virtual_time
async def test_released_messages_are_not_extended() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        await orders.read()
        await orders.source.release(orders.grant)
        await orders.beat_for(30)
        assert stage.of(CHANGE) == []
        assert stage.steal() == ["x"]


@virtual_time
async def test_message_is_kept_until_its_delete_has_succeeded() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        done = await orders.read()
        stage.sqs.trouble.drop(DELETE)
        with pytest.raises(SourceError):
            await orders.source.settle(orders.grant, Progress(done=done))
        await orders.beat_for(100)
        assert stage.steal() == []
        await orders.source.settle(orders.grant, Progress(done=done))
    assert stage.left() == []


@virtual_time
async def test_extension_that_comes_after_the_delete_lapses_nothing() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        done = await orders.read()
        await asyncio.sleep(20)
        stage.gates[CHANGE] = asyncio.Event()
        beat = asyncio.create_task(orders.source.keep(orders.grant))
        await idle()
        await orders.source.settle(orders.grant, Progress(done=done))
        stage.gates[CHANGE].set()
        await beat
        await idle()
        assert orders.lapsed == []


# Lapsed


@virtual_time
async def test_message_whose_extension_is_refused_lapses_alone() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("1", "2")
    async with stage.source() as orders:
        gone, kept = await orders.read()
        stage.now("DeleteMessage", QueueUrl=stage.url(), ReceiptHandle=gone["ReceiptHandle"])
        await orders.beat_for(40)
        assert len(orders.lapsed) == 1
        assert orders.lapsed[0] is gone  # this very object
        assert stage.left() == [kept["Body"]]


@virtual_time
async def test_message_that_could_not_be_extended_in_time_lapses_and_its_delete_is_still_tried() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        held = await orders.read()
        stage.sqs.trouble.drop(CHANGE, times=2)
        for _ in range(2):
            await asyncio.sleep(10)
            with pytest.raises(SourceError, match="closed the connection"):
                await orders.source.keep(orders.grant)
        await asyncio.sleep(10)
        await orders.source.keep(orders.grant)
        await idle()
        assert orders.lapsed == held
        await orders.source.settle(orders.grant, Progress(done=held))
        assert stage.left() == []  # AWS: a standard queue takes the latest handle, expired or not
        await idle()
        assert orders.lapsed == held  # told once


@virtual_time
async def test_refused_delete_of_a_lapsed_message_is_not_told_twice() -> None:
    stage = Stage()
    stage.queue("orders.fifo", VisibilityTimeout="30")
    stage.send("x", name="orders.fifo", MessageGroupId="g")
    async with stage.source("orders.fifo") as orders:
        held = await orders.read()
        await asyncio.sleep(31)
        await orders.source.keep(orders.grant)
        await orders.source.settle(orders.grant, Progress(done=held))
        await idle()
        assert orders.lapsed == held
        assert stage.left("orders.fifo") == ["x"]


@virtual_time
async def test_denied_extension_names_the_way_out() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x")
    async with stage.source() as orders:
        await orders.read()
        await asyncio.sleep(10)
        stage.sqs.trouble.fail(CHANGE, code="AccessDenied", message="No.", status=403)
        with pytest.raises(SourceError, match="Or set heartbeat = false"):
            await orders.source.keep(orders.grant)


@virtual_time
async def test_message_is_kept_for_twelve_hours_and_no_longer() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="3600")
    stage.send("x")
    async with stage.source() as orders:
        held = await orders.read()
        await orders.beat_for(11.9 * 3600)
        assert stage.steal() == []
        assert orders.lapsed == []
        await orders.beat_for(3600)
        assert orders.lapsed == held
        assert stage.steal() == ["x"]


# Short timeouts


@pytest.mark.parametrize("own", range(4))
def test_queue_with_a_very_short_timeout_is_received_for_longer(own: int) -> None:
    @virtual_time
    async def keep() -> None:
        stage = Stage()
        stage.queue(VisibilityTimeout=str(own))
        stage.send("x")
        async with stage.source(timeout=0.5) as orders:
            assert orders.source.delivery.beat == 1
            held = await orders.read()
            await orders.beat_for(20)
            assert stage.steal() == []
            await orders.source.settle(orders.grant, Progress(done=held))
        assert stage.left() == []

    keep()


@pytest.mark.rule("13-3")
@pytest.mark.parametrize("own", range(6))
def test_failed_message_of_such_a_queue_still_comes_back_after_the_queues_own_timeout(own: int) -> None:
    @virtual_time
    async def fail() -> None:
        stage = Stage()
        stage.queue(VisibilityTimeout=str(own))
        stage.send("x")
        async with stage.source(timeout=0.5) as orders:
            failed = await orders.read()
            began = stage.loop.time()
            await asyncio.sleep(0.25)
            await orders.source.settle(orders.grant, Progress(failed=failed))
            assert [raw["Body"] for raw in await orders.read()] == ["x"]
            assert max(own, 0.25) <= stage.loop.time() - began <= max(own, 0.25) + 1

    fail()


@virtual_time
async def test_without_a_heartbeat_nothing_is_held_and_nothing_lapses() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30")
    stage.send("x", "y")
    async with stage.source(heartbeat=False) as orders:
        done, failed = await orders.read()
        assert orders.source.delivery.beat is None
        await orders.source.keep(orders.grant)
        await asyncio.sleep(20)
        await orders.source.settle(orders.grant, Progress(done=[done], failed=[failed]))
        assert stage.of(CHANGE) == []
        assert stage.left() == [failed["Body"]]
