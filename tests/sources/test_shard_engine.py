"""Streams under the engine, in virtual time: order over shards, room and bytes, ends of shards, restarts."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from stream_doubles import ScriptedStream
from test_shard_source import source_of

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.errors import Undelivered
from pollers.flow.records import Partition
from pollers.spi import Failed, Failure, Returned, Store, Throttled
from pollers.stores.memory import MemoryStore
from pollers.telemetry import Event, PartitionFinished, PartitionGranted, RecordsMissed
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.loop import clock, run_virtual, virtual_time


class Notes:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def sequences(function: ScriptedFunction) -> list[int]:
    return [int(record["kinesis"]["sequenceNumber"]) for call in function.calls for record in call.event["Records"]]


def mapping(stream: ScriptedStream, function: ScriptedFunction, store: Store, **options: Any) -> EventSourceMapping:
    factor = options.pop("factor", 1)
    return EventSourceMapping(source_of(stream, store, factor=factor), function, name="orders", **options)


@pytest.mark.rule("8-5", "4-3")
@virtual_time
async def test_a_child_is_read_only_when_everything_in_its_parent_is_processed() -> None:
    stream, notes = ScriptedStream(), Notes()
    stream.add("a", 1, 2, 3, closed=True)
    stream.add("b", 4, parents=("a",))
    stream.add("c", 5, parents=("a",))
    function = ScriptedFunction([Failed("ValueError", "once")], seconds=2.0)
    async with Pollers([mapping(stream, function, MemoryStore(), batch_size=2)], observers=[notes], clock=clock()):
        await asyncio.sleep(30)
    assert sequences(function)[:5] == [1, 2, 1, 2, 3]
    assert sorted(sequences(function)[5:]) == [4, 5]
    assert [event.partition for event in notes.of(PartitionFinished)] == ["a"]
    assert [event.partition for event in notes.of(PartitionGranted)] == ["a", "b", "c"]
    assert function.calls[3].begun >= function.calls[2].begun + 2.0


@pytest.mark.rule("12-22")
@virtual_time
async def test_after_an_orderly_stop_nothing_is_delivered_twice_even_with_gaps_below() -> None:
    stream, store = ScriptedStream(), MemoryStore()
    shard = stream.add("a")
    stream.content[shard] = [
        {"SequenceNumber": str(n), "PartitionKey": f"k{n % 7}", "Data": "AA==", "ApproximateArrivalTimestamp": 0.0}
        for n in range(1, 41)
    ]

    def answer(call: Invoked) -> Any:
        first = int(call.event["Records"][0]["kinesis"]["sequenceNumber"])
        return Failed("ValueError", "no") if first == 1 else Returned()

    first = ScriptedFunction(answer)
    async with Pollers([mapping(stream, first, store, factor=10, batch_size=1)], clock=clock()):
        await asyncio.sleep(10)
    failing = {n for n in sequences(first) if sequences(first).count(n) > 1}
    assert failing == {1}
    second = ScriptedFunction()
    async with Pollers([mapping(stream, second, store, factor=10, batch_size=1)], clock=clock()):
        await asyncio.sleep(10)
    done = set(sequences(first)) - {1}
    assert done
    assert not done & set(sequences(second))
    assert done | set(sequences(second)) == set(range(1, 41))


@virtual_time
async def test_a_shard_without_room_is_read_again_once_something_of_it_has_finished() -> None:
    stream = ScriptedStream()
    stream.add("a", *range(1, 10_001))
    function = ScriptedFunction(seconds=1.0)
    function.hold()
    async with Pollers([mapping(stream, function, MemoryStore(), batch_size=100)], clock=clock()) as pollers:
        await asyncio.sleep(20)
        assert pollers.meters()[0].inflight_records <= 2_000
        reads = len(stream.limits)
        await asyncio.sleep(100)
        assert len(stream.limits) == reads  # nobody looks in vain
        function.let_go()
        await asyncio.sleep(200)
    assert sequences(function) == list(range(1, 10_001))


@virtual_time
async def test_a_spent_byte_budget_stops_reading_and_lets_it_go_on() -> None:
    stream = ScriptedStream()
    stream.add("a", *range(1, 3_001))
    stream.add("b", *range(3_001, 6_001))
    function = ScriptedFunction(seconds=0.5)
    function.hold()
    pollers = Pollers([mapping(stream, function, MemoryStore(), batch_size=100)], max_bytes=600_000, clock=clock())
    async with pollers:
        await asyncio.sleep(20)
        assert pollers.meters()[0].inflight_bytes < 2 * 600_000
        held = len(stream.limits)
        await asyncio.sleep(60)
        assert len(stream.limits) == held
        function.let_go()
        await asyncio.sleep(120)
    assert sorted(sequences(function)) == list(range(1, 6_001))


@virtual_time
async def test_what_was_missed_is_said_and_counted() -> None:
    stream, store, notes = ScriptedStream(), MemoryStore(), Notes()
    shard = stream.add("a", 1)
    async with Pollers([mapping(stream, ScriptedFunction(), store)], clock=clock()):
        await asyncio.sleep(5)
    stream.content[shard] = stream.content[shard][:0]
    stream.put(shard, 9)
    stream.fail("iterator", "TrimmedDataAccessException")
    async with Pollers([mapping(stream, ScriptedFunction(), store)], observers=[notes], clock=clock()) as pollers:
        await asyncio.sleep(5)
        assert pollers.meters()[0].gaps == 1
        assert pollers.meters()[0].behind == 0.0
    assert [event.partition for event in notes.of(RecordsMissed)] == ["a"]


@virtual_time
async def test_a_store_that_fails_stops_nothing_and_is_written_when_it_works_again() -> None:
    stream = ScriptedStream()
    stream.add("a", 1, 2)

    class Flaky(MemoryStore):
        left = 3

        async def save(self, mapping: str, row: Any) -> None:
            if self.left:
                self.left -= 1
                raise OSError("disk full")
            await super().save(mapping, row)

    store = Flaky()
    async with Pollers([mapping(stream, ScriptedFunction(), store)], clock=clock()):
        await asyncio.sleep(10)
    assert {row.partition: row.safe for row in await store.load("orders")}[Partition("a")] == (2, 0)


@pytest.mark.rule("5.2-11")
def test_slow_failing_and_throttled_shards_do_not_change_the_others_throughput() -> None:
    calm = run_virtual(_throughput(troubled=False))
    troubled = run_virtual(_throughput(troubled=True))
    for shard in ("d", "e", "f"):
        assert troubled[shard] >= 0.9 * calm[shard] > 0


async def _throughput(troubled: bool) -> dict[str, int]:
    """Records that each of six shards got through in ten minutes; three of them are in trouble, or none."""
    stream = ScriptedStream()
    for number, shard in enumerate("abcdef"):
        stream.add(shard, *range(100_000 * number + 1, 100_000 * number + 20_001))
    done: dict[str, int] = dict.fromkeys("abcdef", 0)

    async def answer(call: Invoked) -> Any:
        shard = call.event["Records"][0]["eventID"].partition(":")[0]
        await asyncio.sleep(1.0)
        if troubled and shard == "a":
            await asyncio.sleep(60)
        if troubled and shard == "b":
            return Failed("ValueError", "always")
        if troubled and shard == "c":
            return Throttled()
        done[shard] += len(call.event["Records"])
        return Returned()

    made = mapping(stream, ScriptedFunction(answer), MemoryStore(), batch_size=10)
    async with Pollers([made], grace=0.1, clock=clock()):
        await asyncio.sleep(600)
    return done


class Kept:
    """A destination that keeps what it is given."""

    name = "kept"

    def __init__(self) -> None:
        self.failures: list[Failure] = []

    async def open(self) -> None:
        pass

    async def deliver(self, failure: Failure) -> None:
        self.failures.append(failure)

    async def close(self) -> None:
        pass


@pytest.mark.rule("5.3-2", "5.9-1")
@pytest.mark.parametrize("poison", [1, 2, 50, 64, 99, 100])
def test_a_poison_record_among_a_hundred_costs_few_calls_and_is_named_alone(poison: int) -> None:
    run_virtual(_poison(poison))


async def _poison(poison: int) -> None:
    def answer(call: Invoked) -> Any:
        numbers = [int(record["kinesis"]["sequenceNumber"]) for record in call.event["Records"]]
        return Failed("ValueError", "poison") if poison in numbers else Returned()

    stream, function, kept = ScriptedStream(), ScriptedFunction(answer), Kept()
    stream.add("a", *range(1, 201))
    made = mapping(
        stream,
        function,
        MemoryStore(),
        batch_size=100,
        maximum_retry_attempts=2,
        bisect_batch_on_function_error=True,
        on_failure=kept,
    )
    async with Pollers([made], clock=clock()):
        await asyncio.sleep(60)
    own = sum(1 for call in function.calls if len(call.event["Records"]) == 1 and poison in _numbers(call))
    others = sum(1 for call in function.calls if min(_numbers(call)) <= 100) - own
    assert own == 3
    assert others <= 2 * math.ceil(math.log2(100)) + 1
    (failure,) = kept.failures
    info = failure.document["KinesisBatchInfo"]
    assert info["startSequenceNumber"] == info["endSequenceNumber"] == str(poison)
    assert info["batchSize"] == 1
    assert set(sequences(function)) == set(range(1, 201))


def _numbers(call: Invoked) -> list[int]:
    return [int(record["kinesis"]["sequenceNumber"]) for record in call.event["Records"]]


@pytest.mark.rule("5.9-1", "13-1")
@virtual_time
async def test_each_try_to_deliver_a_failure_is_the_same_document() -> None:
    stream, kept = ScriptedStream(), Kept()
    stream.add("a", 1)
    tries: list[Failure] = []

    async def refuse(failure: Failure) -> None:
        tries.append(failure)
        if len(tries) < 3:
            raise Undelivered("kept", "not now")

    kept.deliver = refuse  # type: ignore[method-assign]
    function = ScriptedFunction(lambda call: Failed("ValueError", "always"))
    made = mapping(stream, function, MemoryStore(), maximum_retry_attempts=0, on_failure=kept)
    async with Pollers([made], clock=clock()):
        await asyncio.sleep(60)
    assert len(tries) == 3
    assert tries[0].document == tries[1].document == tries[2].document
