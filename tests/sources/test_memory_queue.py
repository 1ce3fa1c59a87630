from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from pollers.engine.mapping import Mapping
from pollers.engine.supervisor import Pollers
from pollers.errors import LostGrant
from pollers.flow.records import Policy
from pollers.sources.memory import MemoryQueue, MemoryQueueSource
from pollers.spi import Failed, Grant, Granted, Lapsed, Outcome, Page, Progress, Returned
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.loop import VirtualLoop, clock, idle, virtual_time
from pollers.testing.sqs.checksums import attributes_md5


def filled(count: int, **options: Any) -> MemoryQueue:
    queue = MemoryQueue(**options)
    for number in range(count):
        queue.put(str(number), group="g" if queue.fifo else None)
    return queue


async def granted(source: MemoryQueueSource) -> Grant:
    change = await anext(aiter(source.changes()))
    assert isinstance(change, Granted)
    return change.grant


def bodies(page: Page) -> list[str]:
    return [raw["Body"] for raw in page.records]


async def nothing_is_visible(source: MemoryQueueSource, grant: Grant, seconds: float = 0.001) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await source.read(grant, 10)
    except TimeoutError:
        return True
    return False


def now() -> float:
    return asyncio.get_running_loop().time()


def run(source: MemoryQueueSource, function: ScriptedFunction, **policy: Any) -> Pollers:
    return Pollers([Mapping("mapping", source, function, Policy(**policy))], clock=clock())


# What a message looks like


@pytest.mark.rule("2.1-1", "2.1-2", "2.1-6")
@virtual_time
async def test_a_fifo_messages_event_has_sqs_attributes_all_of_them_text() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    queue = MemoryQueue("orders", fifo=True, wall=lambda: 1573251510.774)
    id = queue.put(' {"a": 1}', group="1", deduplication_id="once")
    source = MemoryQueueSource(queue)
    grant = await granted(source)
    page = await source.read(grant, 10)
    (record,) = source.shape.event([(grant.partition, page.records)], None)["Records"]
    assert record["messageId"] == id
    assert record["body"] == ' {"a": 1}'
    assert record["md5OfBody"] == hashlib.md5(b' {"a": 1}').hexdigest()
    assert record["eventSourceARN"] == "arn:aws:sqs:memory:000000000000:orders.fifo"
    attributes = record["attributes"]
    assert all(isinstance(value, str) for value in attributes.values())
    assert attributes["ApproximateReceiveCount"] == "1"
    assert attributes["SentTimestamp"] == attributes["ApproximateFirstReceiveTimestamp"] == "1573251510774"
    assert attributes["MessageGroupId"] == "1"
    assert attributes["MessageDeduplicationId"] == "once"
    assert attributes["SequenceNumber"].isdigit()


@pytest.mark.rule("2.1-3")
@virtual_time
async def test_message_attributes_carry_text_numbers_and_bytes() -> None:
    queue = MemoryQueue()
    queue.put("x", attributes={"Author": "J. G.", "Count": 3, "Raw": b"\x00\x01"})
    source = MemoryQueueSource(queue)
    grant = await granted(source)
    page = await source.read(grant, 10)
    (record,) = source.shape.event([(grant.partition, page.records)], None)["Records"]
    assert record["md5OfMessageAttributes"] == attributes_md5(page.records[0]["MessageAttributes"])
    attributes = record["messageAttributes"]
    assert attributes["Author"] == {
        "stringValue": "J. G.",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }
    assert (attributes["Count"]["dataType"], attributes["Count"]["stringValue"]) == ("Number", "3")
    assert (attributes["Raw"]["dataType"], attributes["Raw"]["binaryValue"]) == ("Binary", "AAE=")
    assert page.nbytes >= source.shape.size_bound(page.records[0])


# Visibility


@pytest.mark.rule("5.6-1")
@virtual_time
async def test_a_message_that_nobody_deletes_comes_again_after_its_visibility_timeout_under_a_new_handle() -> None:
    source = MemoryQueueSource(filled(1))
    grant = await granted(source)
    (first,) = (await source.read(grant, 10)).records
    await source.settle(grant, Progress(failed=[first]))
    begun = now()
    (second,) = (await source.read(grant, 10)).records
    assert now() - begun == pytest.approx(30)
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"


@pytest.mark.rule("13-3")
@virtual_time
async def test_a_failed_message_that_was_kept_reappears_one_timeout_after_its_receive_or_at_once() -> None:
    source = MemoryQueueSource(filled(2))
    grant = await granted(source)
    begun = now()
    quick, slow = (await source.read(grant, 10)).records
    await asyncio.sleep(20)
    await source.keep(grant)
    await source.settle(grant, Progress(failed=[quick]))
    assert bodies(await source.read(grant, 10)) == ["0"]
    assert now() - begun == pytest.approx(30)
    await source.keep(grant)
    await asyncio.sleep(15)
    await source.settle(grant, Progress(failed=[slow]))
    begun = now()
    assert bodies(await source.read(grant, 10)) == ["1"]
    assert now() == begun


@virtual_time
async def test_kept_messages_stay_hidden() -> None:
    source = MemoryQueueSource(filled(1))
    grant = await granted(source)
    await source.read(grant, 10)
    for _ in range(10):
        await asyncio.sleep(source.delivery.beat or 0)
        await source.keep(grant)
    assert await nothing_is_visible(source, grant, 29)


@pytest.mark.rule("13-4")
@virtual_time
async def test_unstarted_messages_are_visible_at_once_unless_the_next_receive_would_bury_them() -> None:
    grave = MemoryQueue("grave")
    queue = filled(2, max_receive_count=2, dead_letter=grave)
    source = MemoryQueueSource(queue)
    grant = await granted(source)
    first = await source.read(grant, 1)
    await source.settle(grant, Progress(unstarted=first.records))
    again = await source.read(grant, 1)
    assert bodies(again) == ["0"]
    assert again.records[0]["Attributes"]["ApproximateReceiveCount"] == "2"
    await source.settle(grant, Progress(unstarted=again.records))
    assert bodies(await source.read(grant, 10)) == ["1"]
    assert queue.bodies() == ["0", "1"]
    assert not grave.bodies()


@virtual_time
async def test_delayed_messages_come_after_their_delay() -> None:
    queue = MemoryQueue()
    source = MemoryQueueSource(queue)
    grant = await granted(source)
    begun = now()
    queue.put("later", delay=12)
    queue.put("now")
    assert bodies(await source.read(grant, 10)) == ["now"]
    assert bodies(await source.read(grant, 10)) == ["later"]
    assert now() - begun == pytest.approx(12)


@virtual_time
async def test_a_waiting_read_sees_what_another_reader_gives_up() -> None:
    source = MemoryQueueSource(filled(1, visibility_timeout=100))
    grant = await granted(source)
    page = await source.read(grant, 10)
    waiting = asyncio.create_task(source.read(grant, 10))
    await asyncio.sleep(5)
    await source.settle(grant, Progress(unstarted=page.records))
    await idle()
    assert waiting.done()
    assert bodies(await waiting) == ["0"]


@virtual_time
async def test_a_cancelled_read_takes_nothing() -> None:
    queue = MemoryQueue()
    source = MemoryQueueSource(queue)
    grant = await granted(source)
    read = asyncio.create_task(source.read(grant, 10))
    await idle()
    queue.put("a")
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    assert queue.in_flight == 0
    assert bodies(await source.read(grant, 10)) == ["a"]


# Settling


@virtual_time
async def test_settle_twice_is_settle_once() -> None:
    queue = filled(3)
    source = MemoryQueueSource(queue)
    grant = await granted(source)
    done, failed, unstarted = (await source.read(grant, 10)).records
    progress = Progress(done=[done], failed=[failed], unstarted=[unstarted])
    await source.settle(grant, progress)
    again = await source.read(grant, 10)
    await source.settle(grant, progress)
    assert bodies(again) == ["2"]
    assert queue.bodies() == ["1", "2"]
    assert queue.in_flight == 2, "the one read anew is not given back by the old handle"


@virtual_time
async def test_an_expired_handle_still_deletes_from_a_standard_queue_and_never_from_a_fifo_queue() -> None:
    for fifo in (False, True):
        queue = filled(1, fifo=fifo, visibility_timeout=5)
        source = MemoryQueueSource(queue)
        grant = await granted(source)
        page = await source.read(grant, 10)
        await asyncio.sleep(6)
        await source.settle(grant, Progress(done=page.records))
        assert len(queue) == (1 if fifo else 0)
        assert source.requests["DeleteMessage", "error" if fifo else "ok"] == 1
        assert fifo is not await nothing_is_visible(source, grant)


@virtual_time
async def test_an_older_handle_deletes_nothing() -> None:
    queue = filled(1, visibility_timeout=5)
    source, other = MemoryQueueSource(queue), MemoryQueueSource(queue)
    grant, others = await granted(source), await granted(other)
    page = await source.read(grant, 10)
    await asyncio.sleep(6)
    await other.read(others, 10)
    await source.settle(grant, Progress(done=page.records))
    assert queue.bodies() == ["0"]


@virtual_time
async def test_what_is_held_at_a_release_reappears_at_its_timeout() -> None:
    source = MemoryQueueSource(filled(1))
    grant = await granted(source)
    await source.read(grant, 10)
    await source.release(grant)
    with pytest.raises(LostGrant):
        await source.read(grant, 10)
    again = await granted(source)
    assert again.generation > grant.generation
    await source.keep(again)
    begun = now()
    assert bodies(await source.read(again, 10)) == ["0"]
    assert now() - begun == pytest.approx(30)


# Lapsing


@virtual_time
async def test_an_expired_message_lapses_by_itself_and_by_its_very_object() -> None:
    queue = filled(2)
    source = MemoryQueueSource(queue)
    changes = aiter(source.changes())
    change = await anext(changes)
    assert isinstance(change, Granted)
    page = await source.read(change.grant, 10)
    source.expire(page.records[0]["MessageId"])
    lapsed = await anext(changes)
    assert isinstance(lapsed, Lapsed)
    assert lapsed.grant is change.grant
    assert [id(raw) for raw in lapsed.records] == [id(page.records[0])]
    assert bodies(await source.read(change.grant, 10)) == ["0"]
    with pytest.raises(ValueError, match="not held"):
        source.expire("no such message")


@virtual_time
async def test_keep_tells_what_it_came_too_late_for() -> None:
    source = MemoryQueueSource(filled(2, visibility_timeout=10))
    changes = aiter(source.changes())
    change = await anext(changes)
    assert isinstance(change, Granted)
    early = await source.read(change.grant, 1)
    await asyncio.sleep(6)
    late = await source.read(change.grant, 1)
    await asyncio.sleep(6)
    await source.keep(change.grant)
    assert await anext(changes) == Lapsed(change.grant, early.records)
    await asyncio.sleep(6)
    await source.settle(change.grant, Progress(done=late.records))
    assert source.queue.bodies() == ["0"]


# Groups


@pytest.mark.rule("4-10", "4-11")
@virtual_time
async def test_a_group_comes_in_order_and_waits_while_one_of_it_is_out() -> None:
    queue = MemoryQueue(fifo=True)
    for body, group in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a"), ("b2", "b")]:
        queue.put(body, group=group)
    source = MemoryQueueSource(queue)
    grant = await granted(source)
    first = await source.read(grant, 2)
    assert bodies(first) == ["a1", "a2"]
    second = await source.read(grant, 10)
    assert bodies(second) == ["b1", "b2"]
    await source.settle(grant, Progress(done=first.records[:1], unstarted=first.records[1:]))
    third = await source.read(grant, 10)
    assert bodies(third) == ["a2", "a3"]
    await source.settle(grant, Progress(done=third.records[:1], failed=third.records[1:]))
    queue.put("a4", group="a")
    begun = now()
    await source.settle(grant, Progress(done=second.records))
    assert bodies(await source.read(grant, 10)) == ["a3", "a4"]
    assert now() - begun == pytest.approx(30)


@pytest.mark.rule("13-5")
@virtual_time
async def test_nothing_of_a_failed_group_overtakes_what_is_given_back_with_it() -> None:
    source = MemoryQueueSource(filled(4, fifo=True))
    grant = await granted(source)
    records = (await source.read(grant, 3)).records
    await source.settle(grant, Progress(failed=records[:1], unstarted=records[1:]))
    assert bodies(await source.read(grant, 10)) == ["0", "1", "2", "3"]


@pytest.mark.rule("4-2")
@virtual_time
async def test_a_fifo_queue_is_processed_in_order_by_group_through_failures() -> None:
    seen: dict[str, int] = {}

    def moody(call: Invoked) -> Outcome:
        seen["calls"] = seen.get("calls", 0) + 1
        return Failed("E", "") if seen["calls"] % 3 == 0 else Returned()

    queue = MemoryQueue(fifo=True)
    for number in range(60):
        queue.put(f"{number % 4}/{number}", group=str(number % 4))
    function = ScriptedFunction(moody, seconds=0.5)
    async with run(MemoryQueueSource(queue), function):
        await asyncio.sleep(2_000)
        assert not len(queue)
    for group in range(4):
        good = [text for call in function.calls if call.outcome == Returned() for text in call.texts]
        numbers = [int(text[2:]) for text in good if text.startswith(f"{group}/")]
        assert numbers == list(range(group, 60, 4))


# Redrive


@pytest.mark.rule("5.6-2")
@virtual_time
async def test_after_its_last_receive_a_message_goes_to_the_dead_letter_queue_with_body_and_id() -> None:
    grave = MemoryQueue("grave", wall=lambda: 7.0)
    queue = filled(1, max_receive_count=2, dead_letter=grave)
    id = queue.put("bad", attributes={"why": "test"})

    def refuse(call: Invoked) -> Outcome:
        return Failed("E", "") if "bad" in call.texts else Returned()

    function = ScriptedFunction(refuse)
    async with run(MemoryQueueSource(queue), function, batch_size=1):
        await asyncio.sleep(100)
    assert [call.texts for call in function.calls].count(["bad"]) == 2
    assert not len(queue)
    assert grave.bodies() == ["bad"]
    source = MemoryQueueSource(grave)
    (raw,) = (await source.read(await granted(source), 1)).records
    assert raw["MessageId"] == id
    assert raw["Attributes"]["DeadLetterQueueSourceArn"] == queue.arn
    assert raw["Attributes"]["ApproximateReceiveCount"] == "3"
    assert raw["MessageAttributes"]["why"]["StringValue"] == "test"


@virtual_time
async def test_redrive_of_a_groups_head_frees_the_rest_of_the_group() -> None:
    grave = MemoryQueue("grave", fifo=True)
    source = MemoryQueueSource(filled(2, fifo=True, visibility_timeout=5, max_receive_count=1, dead_letter=grave))
    grant = await granted(source)
    await source.read(grant, 1)
    assert bodies(await source.read(grant, 1)) == ["1"]
    assert grave.bodies() == ["0"]


# Putting


@virtual_time
async def test_a_deduplication_id_is_known_for_five_minutes() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    queue = MemoryQueue(fifo=True, wall=loop.wall)
    first = queue.put("a", group="g", deduplication_id="x")
    await asyncio.sleep(299)
    assert queue.put("b", group="g", deduplication_id="x") == first
    await asyncio.sleep(2)
    assert queue.put("c", group="g", deduplication_id="x") != first
    assert queue.bodies() == ["a", "c"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: MemoryQueue(fifo=True).put("a"), "a group"),
        (lambda: MemoryQueue(fifo=True).put("a", group="g", delay=1), "delayed"),
        (lambda: MemoryQueue().put("a", deduplication_id="x"), "deduplication_id"),
        (lambda: MemoryQueue(max_receive_count=3), "together"),
        (lambda: MemoryQueue(fifo=True, max_receive_count=3, dead_letter=MemoryQueue("d")), "FIFO too"),
    ],
)
def test_what_sqs_would_refuse_is_refused(make: Callable[[], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


# Fitting


@pytest.mark.rule("3.2-5")
@virtual_time
async def test_a_window_that_needs_more_visibility_gets_it() -> None:
    source = MemoryQueueSource(filled(1))
    source.fit(mapping="mapping", batch_size=100, window=20, timeout=15)
    grant = await granted(source)
    await source.read(grant, 10)
    begun = now()
    await source.read(grant, 10)
    assert now() - begun == pytest.approx(20 + 15 + 30)
    assert source.delivery.beat == pytest.approx(65 / 3)
    assert not source.warnings


@pytest.mark.rule("2.1-4")
@virtual_time
async def test_a_window_shows_the_missing_checksum_as_null() -> None:
    for window in (0, 1):
        source = MemoryQueueSource(filled(1))
        source.fit(mapping="mapping", batch_size=10, window=window, timeout=3)
        grant = await granted(source)
        page = await source.read(grant, 1)
        record = source.shape.event([(grant.partition, page.records)], None)["Records"][0]
        assert ("md5OfMessageAttributes" in record) is bool(window)


def test_a_visibility_timeout_below_the_functions_is_a_warning() -> None:
    source = MemoryQueueSource(MemoryQueue())
    source.fit(mapping="mapping", batch_size=10, window=0, timeout=31)
    assert "30 s" in source.warnings[0]


@pytest.mark.parametrize(("fifo", "lane"), [(False, "none"), (True, "group")])
def test_the_queue_redelivers_and_the_engine_does_not(fifo: bool, lane: str) -> None:
    delivery = MemoryQueueSource(MemoryQueue(fifo=fifo)).delivery
    assert (delivery.lane, delivery.slots, delivery.mixed, delivery.spans) == (lane, None, True, False)
    assert delivery.redelivers
    assert delivery.readers is None
    assert delivery.ramps is not fifo
    assert (delivery.page, delivery.beat, delivery.settle_every) == (10, 10.0, 0.0)
