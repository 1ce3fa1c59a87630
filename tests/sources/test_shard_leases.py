"""Several workers on one stream: leases are shared, passed on, taken over; nothing is lost, disordered or doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from stream_stage import Stage, texts

from pollers.engine.supervisor import Pollers
from pollers.errors import SourceError
from pollers.spi import Partition, Row
from pollers.stores.memory import MemoryStore
from pollers.telemetry import PartitionGranted, PartitionLost, SourceTroubled
from pollers.testing.functions import ScriptedFunction
from pollers.testing.loop import virtual_time

LEASE = 10.0
TAKE_OVER = 1.5 * LEASE + 2.0
HANDED_OVER = 2.0  # seconds until somebody else reads what was left in order
EITHER_WAY = pytest.mark.parametrize("pushed", [False, True], ids=["shared throughput", "consumer"])


class Line:
    """A worker's way to the store that all share. Cut, nothing gets through: the worker is dead to the others."""

    url = "test:"

    def __init__(self, store: MemoryStore, worker: str) -> None:
        self.lease = store.lease
        self.worker = worker
        self.cut = False
        self._store = store

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            if self.cut:
                raise SourceError(self.url, "the store cannot be reached", "Wait.")
            return await getattr(self._store, name)(*arguments)

        return call


class Worker:
    """What one process has: a source with leases of its own, and a function that tells who was called."""

    def __init__(self, house: House, seconds: float = 0.0) -> None:
        self.line = Line(house.store, f"worker {len(house.workers)}")
        self.function = ScriptedFunction(seconds=seconds, timeout=5.0)
        source = (house.stage.pushed_source if house.pushed else house.stage.kinesis_source)(store=self.line)
        self.pollers: Pollers = house.stage.run(source, self.function, batch_size=1)

    def shards(self) -> Counter[str]:
        """How many records of each shard it was given."""
        return Counter(
            record["eventID"].partition(":")[0] for call in self.function.calls for record in call.event["Records"]
        )


class House:
    """A stream, a store and those who read and write."""

    def __init__(self, shards: int, *, pushed: bool = False) -> None:
        """`pushed`: they read as one consumer of the stream."""
        self.stage = Stage(shards)
        self.pushed = pushed
        self.store = MemoryStore(self.stage.loop.wall, lease=LEASE)
        self.workers: list[Worker] = []
        self.sent = 0

    async def join(self, **options: Any) -> Worker:
        worker = Worker(self, **options)
        self.workers.append(worker)
        await worker.pollers.__aenter__()
        return worker

    async def leave(self, worker: Worker) -> None:
        await worker.pollers.__aexit__(None, None, None)

    async def write_for(self, seconds: float) -> None:
        """Five records a second, of ten keys."""
        for _ in range(int(seconds * 5)):
            self.stage.clicks(f"{self.sent}", key=f"key-{self.sent % 10}")
            self.sent += 1
            await asyncio.sleep(0.2)

    def scale(self, shards: int) -> None:
        request = {"StreamName": "clicks", "TargetShardCount": shards, "ScalingType": "UNIFORM_SCALING"}
        self.stage.kinesis.call("UpdateShardCount", request)

    async def end(self) -> list[str]:
        """Let everything arrive and stop; what was delivered, by the moment at which it was."""
        await asyncio.sleep(30)
        for worker in self.workers:
            await self.leave(worker)
        return [text for _, text in self.delivered()]

    def delivered(self) -> list[tuple[float, str]]:
        calls = [call for worker in self.workers for call in worker.function.calls]
        return [(call.begun, *call.texts) for call in sorted(calls, key=lambda call: call.begun)]

    async def owned(self) -> list[int]:
        """Shards of each owner."""
        rows: Sequence[Row] = await self.store.load("mapping")
        owners = Counter(row.owner for row in rows if row.partition and not row.finished)
        return sorted(owners.values())


def each_once_in_order(house: House, delivered: list[str]) -> None:
    assert sorted(delivered, key=int) == [str(number) for number in range(house.sent)]
    for key in range(10):
        ours = [int(text) for text in delivered if int(text) % 10 == key]
        assert ours == sorted(ours)


@EITHER_WAY
@virtual_time
async def test_workers_that_join_are_passed_an_even_share_and_nothing_is_doubled(pushed: bool) -> None:
    house = House(shards=6, pushed=pushed)
    await house.join()
    await house.write_for(5)
    await house.join()
    await house.join()
    await house.write_for(20)
    assert await house.owned() == [2, 2, 2]
    each_once_in_order(house, await house.end())


@EITHER_WAY
@virtual_time
async def test_a_batch_under_way_ends_before_its_shard_is_passed_on(pushed: bool) -> None:
    house = House(shards=2, pushed=pushed)
    first = await house.join(seconds=3.0)
    await house.write_for(4)
    second = await house.join(seconds=3.0)
    await house.write_for(4)
    await asyncio.sleep(120)
    delivered = await house.end()
    each_once_in_order(house, delivered)
    for shard in second.shards():
        ended = max(call.ended or 0.0 for call in first.function.calls if shard in str(call.event))
        begun = min(call.begun for call in second.function.calls if shard in str(call.event))
        assert begun >= ended


@EITHER_WAY
@virtual_time
async def test_what_is_left_in_order_is_read_by_another_within_two_seconds(pushed: bool) -> None:
    house = House(shards=4, pushed=pushed)
    first = await house.join()
    await house.join()
    await house.write_for(10)
    await house.leave(first)
    house.workers.remove(first)
    granted = len(house.stage.notes.of(PartitionGranted))
    await asyncio.sleep(HANDED_OVER)
    assert len(house.stage.notes.of(PartitionGranted)) - granted == 2
    assert await house.owned() == [4]
    await house.write_for(5)
    delivered = [*texts(first.function), *await house.end()]
    assert sorted(delivered, key=int) == [str(number) for number in range(house.sent)]


@EITHER_WAY
@virtual_time
async def test_a_worker_that_is_cut_off_starts_nothing_once_others_may_have_its_shards(pushed: bool) -> None:
    house = House(shards=4, pushed=pushed)
    first = await house.join()
    second = await house.join()
    await house.write_for(10)
    cut = asyncio.get_running_loop().time()
    first.line.cut = True
    await house.write_for(40)
    late = [call.begun for call in first.function.calls if call.begun > cut + LEASE]
    assert late == []
    assert await house.owned() == [4]
    for shard in first.shards():
        begun = [call.begun for call in second.function.calls if shard in str(call.event) and call.begun > cut]
        assert min(begun) <= cut + TAKE_OVER
    first.line.cut = False
    await house.write_for(30)
    assert await house.owned() == [2, 2]
    assert [event.reason for event in house.stage.notes.of(PartitionLost)].count("lost") == 2
    delivered = await house.end()
    assert set(delivered) == {str(number) for number in range(house.sent)}


@virtual_time
async def test_a_store_that_is_away_for_minutes_stops_the_work_and_costs_no_shard() -> None:
    house = House(shards=2)
    worker = await house.join()
    await house.write_for(5)
    worker.line.cut = True
    cut = asyncio.get_running_loop().time()
    await house.write_for(120)
    healed = asyncio.get_running_loop().time()
    assert [call.begun for call in worker.function.calls if cut + LEASE < call.begun] == []
    worker.line.cut = False
    await asyncio.sleep(LEASE)
    assert any(call.begun > healed for call in worker.function.calls)
    await house.write_for(5)
    each_once_in_order(house, await house.end())
    assert house.stage.notes.of(PartitionLost) == []
    assert any(event.operation == "renew" for event in house.stage.notes.of(SourceTroubled))


@virtual_time
async def test_a_lease_whose_heir_is_gone_is_read_again() -> None:
    house = House(shards=2)
    await house.join()
    await house.write_for(2)
    rows = [row for row in await house.store.load("mapping") if row.partition]
    await house.store.ask("mapping", rows[:1], "nobody")
    await house.write_for(2 * LEASE + 5)
    assert await house.owned() == [2]
    each_once_in_order(house, await house.end())


@EITHER_WAY
@pytest.mark.rule("8-5")
@virtual_time
async def test_children_wait_for_parents_that_another_worker_reads(pushed: bool) -> None:
    house = House(shards=3, pushed=pushed)
    for _ in range(3):
        await house.join(seconds=0.1)
    await house.write_for(8)
    house.scale(6)
    await house.write_for(20)
    house.scale(3)
    await house.write_for(20)
    assert sum(await house.owned()) == 3
    each_once_in_order(house, await house.end())


@EITHER_WAY
@virtual_time
async def test_a_position_that_is_set_back_is_read_again_from_there(pushed: bool) -> None:
    """`pollers seek` on a mapping that runs: the owner loses the shard, and takes it again."""
    house = House(shards=1, pushed=pushed)
    await house.join()
    await house.write_for(5)
    await asyncio.sleep(5)
    (row,) = [row for row in await house.store.load("mapping") if row.partition]
    (taken,) = await house.store.take("mapping", [row], "seek")
    await house.store.save("mapping", Row(Partition(row.partition), tenure=taken.tenure))
    await house.store.leave("mapping", [taken])
    await asyncio.sleep(10)
    delivered = await house.end()
    assert Counter(delivered) == Counter([str(number) for number in range(house.sent)] * 2)


@virtual_time
async def test_a_mapping_that_is_set_back_as_a_whole_begins_anew_while_it_runs() -> None:
    house = House(shards=3)
    await house.join()
    await house.join()
    await house.write_for(5)
    await asyncio.sleep(5)
    rows = await house.store.load("mapping")
    await house.store.remove("mapping", [row.partition for row in rows])
    await asyncio.sleep(15)
    delivered = await house.end()
    assert Counter(delivered) == Counter([str(number) for number in range(house.sent)] * 2)
