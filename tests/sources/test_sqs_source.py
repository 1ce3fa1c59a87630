"""The SQS source: what it asks of a queue, and how it polls."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from sqs_stage import ARN, Stage

from pollers.errors import ConfigurationError, SourceError
from pollers.sources.sqs import SqsSource
from pollers.spi import Delivery
from pollers.testing.loop import idle, virtual_time

LONG = {"VisibilityTimeout": "300"}


def redrive(receives: int) -> dict[str, str]:
    return {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{ARN}dead", "maxReceiveCount": receives})}


# What it asks of a queue


@virtual_time
async def test_missing_queue_is_named_with_its_region_and_endpoint() -> None:
    source = SqsSource(f"{ARN}orders", clients=Stage())  # type: ignore[arg-type]
    with pytest.raises(SourceError) as caught:
        await source.open()
    assert caught.value.missing
    assert caught.value.resource == f"{ARN}orders"
    assert "http://sqs.test" in str(caught.value)
    assert "The specified queue does not exist" in str(caught.value)


@pytest.mark.parametrize("queue", ["", "or ders", "arn:aws:sns:us-east-1:123456789012:orders", "ftp://x/1/orders"])
def test_what_names_no_queue_is_a_fault_of_the_configuration(queue: str) -> None:
    with pytest.raises(ConfigurationError):
        SqsSource(queue)


def test_region_that_contradicts_the_arn_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="us-east-1, and the region given is eu-west-1"):
        SqsSource(f"{ARN}orders", region="eu-west-1")


@pytest.mark.rule("4-1", "9-1")
@virtual_time
async def test_standard_queue_is_free_of_order_and_ramps() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        assert orders.source.delivery == Delivery(
            lane="none",
            slots=None,
            mixed=True,
            spans=False,
            redelivers=True,
            readers=None,
            page=10,
            beat=100.0,
            ramps=True,
        )
        assert orders.source.arn == f"{ARN}orders"
        assert orders.grant.partition == "orders"


@pytest.mark.rule("4-2", "9-2")
@virtual_time
async def test_fifo_queue_keeps_order_by_group_and_does_not_ramp() -> None:
    stage = Stage()
    stage.queue("orders.fifo", **LONG)
    async with stage.source("orders.fifo") as orders:
        assert (orders.source.delivery.lane, orders.source.delivery.ramps) == ("group", False)


@pytest.mark.rule("13-3")
@virtual_time
async def test_short_queue_timeout_is_a_warning_with_a_heartbeat_and_refused_without() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="30", **redrive_to(stage))
    words = "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
    async with stage.source(timeout=60.0) as orders:
        assert [words in warning for warning in orders.source.warnings] == [True]
    with pytest.raises(ConfigurationError, match=words):
        async with stage.source(timeout=60.0, heartbeat=False):
            pass
    async with stage.source(timeout=30.0, heartbeat=False) as orders:
        assert orders.source.warnings == ()
        assert orders.source.delivery.beat is None


def redrive_to(stage: Stage, receives: int = 5) -> dict[str, str]:
    stage.queue("dead")
    return redrive(receives)


@virtual_time
async def test_endless_redelivery_and_a_single_receive_are_warned_of() -> None:
    stage = Stage()
    stage.queue("endless", **LONG)
    stage.queue("once", **LONG, **redrive_to(stage, 1))
    async with stage.source("endless") as endless, stage.source("once") as once:
        assert "no dead-letter queue" in endless.source.warnings[0]
        assert "allows one receive" in once.source.warnings[0]


@pytest.mark.rule("3.1-6", "3.2-3")
@pytest.mark.parametrize(
    ("name", "wishes", "words"),
    [
        ("orders", {"batch_size": 11}, "Maximum batch window in seconds must be greater than 0 if maximum batch size"),
        ("orders.fifo", {"batch_size": 11, "window": 1.0}, "takes batches of up to 10"),
        ("orders.fifo", {"window": 1.0}, "takes no batching window"),
    ],
)
def test_batches_that_the_queue_cannot_give_are_refused(name: str, wishes: dict[str, Any], words: str) -> None:
    @virtual_time
    async def refuse() -> None:
        stage = Stage()
        stage.queue(name, **LONG)
        with pytest.raises(ConfigurationError, match=words):
            async with stage.source(name, **wishes):
                pass

    refuse()


@pytest.mark.rule("3.2-5")
@pytest.mark.parametrize("heartbeat", [True, False])
@pytest.mark.parametrize(
    ("own", "window", "timeout", "received_for"),
    [
        (60, 20.0, 50.0, 100),  # 70 > 60: window + timeout + 30
        (60, 10.0, 50.0, 60),  # 60 = 60: the queue's own is enough
        (60, 0.0, 60.0, 60),  # no window
        (30, 0.5, 30.0, 61),  # whole seconds, rounded up
        (43_200, 300.0, 43_200.0, 43_200),  # SQS takes no more
    ],
)
def test_waiting_for_a_window_raises_the_visibility_of_receives(
    own: int, window: float, timeout: float, received_for: int, heartbeat: bool
) -> None:
    @virtual_time
    async def receive() -> None:
        stage = Stage()
        stage.queue(VisibilityTimeout=str(own))
        stage.send("x")
        async with stage.source(window=window, timeout=timeout, heartbeat=heartbeat) as orders:
            await orders.read()
            await asyncio.sleep(received_for - 1)
            assert stage.steal() == []
            await asyncio.sleep(1)
            assert stage.steal() == ["x"]

    receive()


@virtual_time
async def test_visibility_is_left_to_the_queue_where_nothing_depends_on_it() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="60")
    stage.send("x")
    async with stage.source(heartbeat=False) as orders:
        await orders.read()
    assert "VisibilityTimeout" not in stage.of("ReceiveMessage")[0].parameters


@pytest.mark.rule("13-3")
@virtual_time
async def test_queue_timeout_that_is_shortened_later_does_not_outrun_the_beat() -> None:
    stage = Stage()
    stage.queue(VisibilityTimeout="300")
    async with stage.source() as orders:
        stage.now("SetQueueAttributes", QueueUrl=stage.url(), Attributes={"VisibilityTimeout": "1"})
        stage.send("x")
        await orders.read()
        await orders.beat_for(400)
        assert stage.steal() == []


# How it polls


@pytest.mark.rule("3.2-1", "3.2-4", "3.1-7")
@virtual_time
async def test_poll_of_an_empty_queue_waits_and_brings_what_comes_at_once() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source(window=1.0) as orders:
        began = stage.loop.time()
        assert await orders.read() == []
        assert stage.loop.time() == pytest.approx(began + 20)
        poll = asyncio.create_task(orders.read())
        await asyncio.sleep(7)
        stage.send("x")
        await idle()
        assert [raw["Body"] for raw in poll.result()] == ["x"]


@pytest.mark.rule("2.1-2", "2.1-3")
@virtual_time
async def test_receive_asks_for_every_attribute_and_for_what_may_start() -> None:
    stage = Stage()
    stage.queue(**LONG)
    stage.send(*map(str, range(12)), MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}})
    async with stage.source() as orders:
        assert len(await orders.read(3)) == 3
        (raw, *rest) = await orders.read(50)
        assert len(rest) == 8 or len(rest) == 9
    assert [call.parameters["MaxNumberOfMessages"] for call in stage.of("ReceiveMessage")] == [3, 10]
    assert stage.of("ReceiveMessage")[0].purpose == "poll"
    assert raw["MessageAttributes"]["n"]["StringValue"] == "1"
    assert {"SenderId", "SentTimestamp", "ApproximateReceiveCount"} <= set(raw["Attributes"])


@virtual_time
async def test_page_is_at_least_as_large_as_its_records_in_an_event() -> None:
    stage = Stage()
    stage.queue(**LONG)
    stage.send("\t" * 1_000)
    async with stage.source() as orders:
        page = await orders.source.read(orders.grant, 10)
    event = orders.source.shape.event([(orders.grant.partition, page.records)], None)
    assert 2_000 < len(json.dumps(event["Records"], separators=(",", ":"))) <= page.nbytes


@virtual_time
async def test_service_that_does_not_wait_is_not_polled_in_a_busy_loop() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        quiet = await orders.source.read(orders.grant, 10)
        assert quiet.pause == 0.0  # it waited itself
        stage.polls_long = False
        page = await orders.source.read(orders.grant, 10)
    assert (list(page.records), page.pause) == ([], 1.0)


@virtual_time
async def test_receive_that_fails_names_the_queue_and_is_counted() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        stage.sqs.trouble.fail("ReceiveMessage", code="AccessDenied", message="No.", status=403)
        stage.sqs.trouble.fail("ReceiveMessage", code="RequestThrottled", message="Slow.", status=400)
        with pytest.raises(SourceError, match=r"orders: ReceiveMessage is denied.*Allow sqs:ReceiveMessage"):
            await orders.read()
        with pytest.raises(SourceError, match="throttled"):
            await orders.read()
        stage.send("x")
        await orders.read()
        assert orders.source.requests == {
            ("ReceiveMessage", "error"): 1,
            ("ReceiveMessage", "throttled"): 1,
            ("ReceiveMessage", "ok"): 1,
        }


@pytest.mark.rule("4-2")
@virtual_time
async def test_lost_answer_of_a_fifo_receive_is_asked_for_again_under_the_same_id() -> None:
    stage = Stage()
    stage.queue("orders.fifo", **LONG)
    async with stage.source("orders.fifo") as orders:
        stage.send("1", "2", name="orders.fifo", MessageGroupId="g")
        stage.sqs.trouble.drop("ReceiveMessage", after=True)
        assert [raw["Body"] for raw in await orders.read()] == ["1", "2"]
        stage.send("3", name="orders.fifo", MessageGroupId="other")
        await orders.read()
    first, again, next_ = (call.parameters["ReceiveRequestAttemptId"] for call in stage.of("ReceiveMessage"))
    assert first == again
    assert next_ != first


@virtual_time
async def test_lost_answer_of_a_standard_receive_is_the_engines_to_repeat() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        stage.sqs.trouble.drop("ReceiveMessage")
        with pytest.raises(SourceError, match="closed the connection without an answer"):
            await orders.read()
    assert len(stage.of("ReceiveMessage")) == 1
    assert "ReceiveRequestAttemptId" not in stage.of("ReceiveMessage")[0].parameters


@virtual_time
async def test_fifo_receive_that_is_refused_is_the_engines_to_repeat() -> None:
    stage = Stage()
    stage.queue("orders.fifo", **LONG)
    async with stage.source("orders.fifo") as orders:
        stage.sqs.trouble.fail("ReceiveMessage", code="RequestThrottled", status=400)
        with pytest.raises(SourceError, match="throttled"):
            await orders.read()
    assert len(stage.of("ReceiveMessage")) == 1


# Called off


@virtual_time
async def test_poll_that_is_called_off_hands_back_what_it_brings_within_two_seconds() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        poll = asyncio.create_task(orders.read())
        await asyncio.sleep(1)
        poll.cancel()
        await asyncio.sleep(1.9)
        stage.send("x")
        assert [raw["Body"] for raw in await poll] == ["x"]
        await orders.beat_for(400)
        assert stage.steal() == []  # it is ours, and kept


@virtual_time
async def test_poll_that_is_called_off_is_cut_after_two_seconds_and_said(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        poll = asyncio.create_task(orders.read())
        await asyncio.sleep(1)
        began = stage.loop.time()
        poll.cancel()
        with caplog.at_level(logging.INFO), pytest.raises(asyncio.CancelledError):
            await poll
        assert stage.loop.time() == pytest.approx(began + 2)
        assert f"{ARN}orders was cut off" in caplog.text
        assert "invisible for 300 seconds" in caplog.text
        stage.send("x")
        assert stage.steal() == ["x"]  # the call is over


@virtual_time
async def test_second_cancellation_cuts_the_poll_at_once() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        poll = asyncio.create_task(orders.read())
        await asyncio.sleep(1)
        began = stage.loop.time()
        poll.cancel()
        await idle()
        poll.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poll
        assert stage.loop.time() < began + 0.1


@virtual_time
async def test_poll_that_fails_after_it_was_called_off_stays_called_off() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        stage.gates["ReceiveMessage"] = asyncio.Event()
        stage.sqs.trouble.fail("ReceiveMessage")
        poll = asyncio.create_task(orders.read())
        await idle()
        poll.cancel()
        await idle()
        stage.gates["ReceiveMessage"].set()
        with pytest.raises(asyncio.CancelledError):
            await poll


# Its life


@virtual_time
async def test_what_a_poll_brings_after_the_release_is_not_kept() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        poll = asyncio.create_task(orders.read())
        await idle()
        await orders.source.release(orders.grant)
        stage.send("x")
        await poll
        await orders.beat_for(300)
        assert stage.steal() == ["x"]


@virtual_time
async def test_changes_grant_the_queue_anew_after_a_fault_and_end_when_it_is_closed() -> None:
    stage = Stage()
    stage.queue(**LONG)
    async with stage.source() as orders:
        await orders.source.release(orders.grant)
        again = orders.source.changes()
        granted = await anext(again)
        assert granted.grant.partition == "orders"
        assert granted.grant.generation > orders.grant.generation
        await orders.source.close()
        assert [change async for change in again] == []
