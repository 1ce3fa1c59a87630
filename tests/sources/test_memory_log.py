from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from pollers.engine.mapping import Mapping
from pollers.engine.supervisor import Pollers
from pollers.errors import LostGrant
from pollers.flow.records import Delivery, Policy
from pollers.sources.memory import MemoryLog, MemoryLogSource
from pollers.spi import Change, Failed, Grant, Granted, Lost, Outcome, Page, Progress, Resume, Returned, Revoked, Source
from pollers.telemetry import Event, PollerCrashed
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.loop import VirtualLoop, clock, idle, virtual_time

SHARD = "shardId-000000000000"


def filled(count: int, partitions: int = 1) -> MemoryLog:
    log = MemoryLog(partitions=partitions)
    for number in range(count):
        log.put(str(number), key=f"key{number}")
    return log


async def granted(source: Source) -> Grant:
    """The first grant; the listener goes on in nobody's name."""
    change = await anext(aiter(source.changes()))
    assert isinstance(change, Granted)
    return change.grant


def texts(source: Source, page: Page) -> list[str]:
    data = [source.shape.data(raw) for raw in page.records]
    return [one if isinstance(one, str) else one.decode() for one in data]


def run(source: MemoryLogSource, function: ScriptedFunction, **policy: Any) -> Pollers:
    return Pollers([Mapping("mapping", source, function, Policy(**policy))], clock=clock())


# The log


def test_a_key_stays_with_its_partition_and_keys_spread() -> None:
    log = MemoryLog(partitions=4)
    for number in range(400):
        log.put("", key=f"key{number % 100}")
    sizes = [len(log.shard(partition).records) for partition in log.partitions]
    assert sum(sizes) == 400
    assert min(sizes) > 20
    keys = [{raw["PartitionKey"] for raw in log.shard(partition).records} for partition in log.partitions]
    assert sum(map(len, keys)) == 100


def test_sequence_numbers_grow_over_all_partitions() -> None:
    log = MemoryLog(partitions=3)
    numbers = [int(log.put("", key=f"key{number}")) for number in range(30)]
    assert numbers == sorted(set(numbers))


def test_records_arrive_by_the_wall_clock_in_milliseconds() -> None:
    log = MemoryLog(wall=lambda: 1545084650.98765)
    log.put("", key="a")
    assert log.shape.arrived(log.shard(SHARD).records[0]) == 1545084650.988


def test_unknown_and_closed_partitions_are_refused() -> None:
    log = MemoryLog()
    with pytest.raises(ValueError, match="no partition 'x'"):
        log.put("", key="a", partition="x")
    log.close_partition(SHARD)
    with pytest.raises(ValueError, match="closed"):
        log.put("", key="a")
    with pytest.raises(ValueError, match="at least one"):
        MemoryLog(partitions=0)


# Reading


@virtual_time
async def test_read_brings_at_most_limit_and_page_in_order() -> None:
    source = MemoryLogSource(filled(25), page=10)
    grant = await granted(source)
    assert texts(source, await source.read(grant, 4)) == ["0", "1", "2", "3"]
    page = await source.read(grant, 1_000)
    assert texts(source, page) == [str(number) for number in range(4, 14)]
    assert page.position == (14, 0)
    assert page.nbytes == sum(map(source.shape.size_bound, page.records))


@virtual_time
async def test_read_waits_for_a_record_and_takes_no_time_to_see_it() -> None:
    log = MemoryLog()
    source = MemoryLogSource(log)
    grant = await granted(source)
    loop = asyncio.get_running_loop()
    loop.call_later(100, log.put, "late", "a")
    page = await source.read(grant, 10)
    assert texts(source, page) == ["late"]
    assert loop.time() == 1100.0


@virtual_time
async def test_a_cancelled_read_takes_nothing() -> None:
    log = MemoryLog()
    source = MemoryLogSource(log)
    grant = await granted(source)
    read = asyncio.create_task(source.read(grant, 10))
    await idle()
    log.put("a", key="a")
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    assert texts(source, await source.read(grant, 10)) == ["a"]


@virtual_time
async def test_a_closed_partition_ends_with_its_last_record() -> None:
    log = filled(3)
    source = MemoryLogSource(log)
    grant = await granted(source)
    assert not (await source.read(grant, 10)).end
    waiting = asyncio.create_task(source.read(grant, 10))
    await idle()
    log.close_partition(SHARD)
    page = await waiting
    assert page.end
    assert not page.records
    late = MemoryLogSource(log, group="late")
    assert not (await late.read(other := await granted(late), 2)).end
    assert (await late.read(other, 2)).end


@virtual_time
async def test_a_page_says_how_far_behind_it_is() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    log = MemoryLog(wall=loop.wall)
    source = MemoryLogSource(log, page=1)
    log.put("a", key="a")
    await asyncio.sleep(7)
    log.put("b", key="a")
    grant = await granted(source)
    assert (await source.read(grant, 1)).behind == pytest.approx(7, abs=0.01)
    assert (await source.read(grant, 1)).behind == 0


# Positions


@pytest.mark.rule("8-1")
@virtual_time
async def test_latest_begins_after_what_is_there_and_trim_horizon_with_it() -> None:
    log = filled(3)
    latest = MemoryLogSource(log, group="latest", starting_position="LATEST")
    horizon = MemoryLogSource(log, group="horizon")
    await latest.open()
    log.put("new", key="a")
    assert texts(latest, await latest.read(await granted(latest), 10)) == ["new"]
    assert texts(horizon, await horizon.read(await granted(horizon), 10)) == ["0", "1", "2", "new"]


@pytest.mark.rule("12-19")
@virtual_time
async def test_latest_stopped_before_its_first_record_gets_what_came_meanwhile() -> None:
    log = filled(3)
    first = MemoryLogSource(log, starting_position="LATEST")
    await first.open()
    await first.close()
    log.put("meanwhile", key="a")
    second = MemoryLogSource(log, starting_position="LATEST")
    await second.open()
    assert texts(second, await second.read(await granted(second), 10)) == ["meanwhile"]


@virtual_time
async def test_a_later_source_of_the_group_resumes_with_exactly_what_was_settled() -> None:
    log = filled(10)
    first = MemoryLogSource(log)
    grant = await granted(first)
    await first.read(grant, 10)
    done = Progress(safe=(3, 0), above=(((5, 0), (6, 0)), ((9, 0), (9, 0))), state={"sum": 1})
    await first.settle(grant, done)
    await first.release(grant)
    second = MemoryLogSource(log)
    resumed = await granted(second)
    assert resumed.resume == Resume(done.safe, done.above, done.state) == log.resume(SHARD)
    assert resumed.generation > grant.generation
    assert texts(second, await second.read(resumed, 1)) == ["3"]


@pytest.mark.rule("4-13")
@virtual_time
async def test_groups_read_independently() -> None:
    log = filled(3)
    one, other = MemoryLogSource(log, group="one"), MemoryLogSource(log, group="other")
    grant = await granted(one)
    await one.settle(grant, Progress(safe=(3, 0)))
    assert texts(other, await other.read(await granted(other), 10)) == ["0", "1", "2"]
    assert log.resume(SHARD, "other") == Resume()


@pytest.mark.parametrize("options", [{}, {"parallelization_factor": 4}, {"lanes": "key"}, {"lanes": "none"}])
@pytest.mark.rule("12-22", "10-9")
@virtual_time
async def test_nothing_is_delivered_twice_after_an_orderly_stop(options: dict[str, Any]) -> None:
    log = filled(500, partitions=3)
    seen: list[str] = []
    for _ in range(6):
        function = ScriptedFunction(seconds=0.4)
        async with run(MemoryLogSource(log, **options), function, batch_size=20):
            await asyncio.sleep(1)
        seen += function.texts
    function = ScriptedFunction()
    async with run(MemoryLogSource(log, **options), function, batch_size=20):
        await asyncio.sleep(100)
    seen += function.texts
    assert sorted(map(int, seen)) == list(range(500))


@virtual_time
async def test_a_finished_partition_is_not_granted_again() -> None:
    log = filled(5, partitions=2)
    closed, open_ = log.partitions
    log.close_partition(closed)
    async with run(MemoryLogSource(log), ScriptedFunction()):
        await asyncio.sleep(5)
    assert log.finished(closed)
    assert not log.finished(open_)
    assert (await granted(MemoryLogSource(log))).partition == open_


# Hand-over


@virtual_time
async def test_a_second_source_of_the_group_takes_over_and_the_first_can_settle_no_more() -> None:
    log = filled(3)
    first, second = MemoryLogSource(log), MemoryLogSource(log)
    changes = aiter(first.changes())
    change = await anext(changes)
    assert isinstance(change, Granted)
    waiting = asyncio.create_task(first.read(change.grant, 10))
    await waiting
    waiting = asyncio.create_task(first.read(change.grant, 10))
    await idle()
    new = await granted(second)
    assert await anext(changes) == Lost(change.grant)
    with pytest.raises(LostGrant):
        await waiting
    with pytest.raises(LostGrant, match="taken over"):
        await first.settle(change.grant, Progress(safe=(1, 0)))
    await first.release(change.grant)
    await second.settle(new, Progress(safe=(2, 0)))
    assert log.resume(SHARD) == Resume((2, 0))


@virtual_time
async def test_a_revoked_partition_ends_in_order_and_goes_on_elsewhere_without_repetition() -> None:
    log = filled(100)
    first, second = MemoryLogSource(log), MemoryLogSource(log, partitions=())
    one, other = ScriptedFunction(seconds=1), ScriptedFunction(seconds=1)
    loop = asyncio.get_running_loop()
    async with (
        run(first, one, batch_size=10),
        Pollers([Mapping("other", second, other, Policy(batch_size=10))], clock=clock()),
    ):
        await one.called(3)
        first.revoke(SHARD, loop.time() + 10)
        await asyncio.sleep(2)
        second.take(SHARD)
        await other.called(7)
        await asyncio.sleep(5)
    assert one.texts + other.texts == [str(number) for number in range(100)]
    assert len(one.calls) == 3


@virtual_time
async def test_what_a_lost_partition_still_answers_is_not_kept() -> None:
    log = filled(20)
    source, function = MemoryLogSource(log), ScriptedFunction()
    function.hold()
    async with run(source, function, batch_size=10):
        await function.called(1)
        source.lose(SHARD)
        await idle()
        function.let_go()
        await asyncio.sleep(10)
        assert len(function.calls) == 1
        assert log.resume(SHARD) == Resume()
        source.take(SHARD)
        await asyncio.sleep(10)
    assert log.resume(SHARD).safe == (20, 0)
    assert function.calls[1].texts == [str(number) for number in range(10)]


class Crashes(list[PollerCrashed]):
    """An observer that keeps only them."""

    def notice(self, event: Event) -> None:
        if isinstance(event, PollerCrashed):
            self.append(event)


@virtual_time
async def test_a_partition_that_is_lost_at_the_moment_of_its_revocation_ends_quietly() -> None:
    log, crashes = filled(20), Crashes()
    source, function = MemoryLogSource(log), ScriptedFunction(seconds=1)
    mapping = Mapping("mapping", source, function, Policy(batch_size=10))
    async with Pollers([mapping], clock=clock(), observers=[crashes]):
        await function.called(1)
        source.revoke(SHARD, asyncio.get_running_loop().time() + 10)
        source.lose(SHARD)
        await asyncio.sleep(10)
        source.take(SHARD)
        await asyncio.sleep(10)
    assert crashes == []
    assert log.resume(SHARD).safe == (20, 0)


@virtual_time
async def test_revoke_and_lose_of_what_is_not_ours_say_nothing() -> None:
    log = filled(1, partitions=2)
    mine, theirs = log.partitions
    source = MemoryLogSource(log, partitions=[mine])
    await granted(MemoryLogSource(log, partitions=[theirs]))
    changes = aiter(source.changes())
    first = await anext(changes)
    assert isinstance(first, Granted)
    source.revoke(theirs, 0)
    source.lose(theirs)
    source.revoke(mine, 12.0)
    assert await anext(changes) == Revoked(first.grant, 12.0)


@virtual_time
async def test_partitions_come_anew_to_the_next_listener() -> None:
    source = MemoryLogSource(filled(3, partitions=2))
    for change in await some(source, 2):
        assert isinstance(change, Granted)
        await source.release(change.grant)
    again = await some(source, 2)
    assert [change.grant.partition for change in again] == list(source.log.partitions)


async def some(source: MemoryLogSource, count: int) -> list[Change]:
    changes = source.changes()
    return [await anext(changes) for _ in range(count)]


@virtual_time
async def test_close_ends_the_listener_may_be_called_twice_and_frees_the_partitions() -> None:
    source = MemoryLogSource(MemoryLog())
    changes = aiter(source.changes())
    assert isinstance(await anext(changes), Granted)
    await source.close()
    await source.close()
    with pytest.raises(StopAsyncIteration):
        await anext(changes)


# Through the engine


@pytest.mark.rule("4-3")
@virtual_time
async def test_a_shards_records_keep_their_order_through_failures() -> None:
    numbers = itertools.count(1)

    def moody(call: Invoked) -> Outcome:
        return Failed("E", "") if next(numbers) % 3 == 0 else Returned()

    log, function = filled(60), ScriptedFunction(moody)
    async with run(MemoryLogSource(log), function, batch_size=10):
        await asyncio.sleep(100)
    assert log.resume(SHARD).safe == (60, 0)
    good = [text for call in function.calls if call.outcome == Returned() for text in call.texts]
    assert good == [str(number) for number in range(60)]
    assert function.most == 1


# Kinesis's row of the table of sources


@pytest.mark.parametrize(
    ("options", "lane", "slots", "mixed"),
    [
        ({}, "partition", 1, False),
        ({"parallelization_factor": 10}, "hash", 10, False),
        ({"lanes": "key"}, "key", None, True),
        ({"lanes": "none"}, "none", None, True),
    ],
)
def test_lanes_are_plain_data(options: dict[str, Any], lane: str, slots: int | None, mixed: bool) -> None:
    delivery = MemoryLogSource(MemoryLog(), **options).delivery
    assert (delivery.lane, delivery.slots, delivery.mixed) == (lane, slots, mixed)
    assert delivery == Delivery(
        lane=delivery.lane,
        slots=slots,
        mixed=mixed,
        spans=False,
        redelivers=False,
        page=1_000,
        oversize="attempt",
        settle_every=1.0,
    )


@pytest.mark.parametrize(
    "options",
    [{"parallelization_factor": 0}, {"parallelization_factor": 11}, {"parallelization_factor": 2, "lanes": "key"}],
)
def test_options_that_contradict_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="parallelization_factor"):
        MemoryLogSource(MemoryLog(), **options)
