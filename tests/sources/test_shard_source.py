"""Shards become grants: parents first, positions kept, children found, and what is missing said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from stream_doubles import LIKE_DYNAMODB, ScriptedStream

from pollers.aws.client import Clients
from pollers.errors import ConfigurationError, LostGrant, SourceError
from pollers.flow.records import Grant, Page, Partition, Progress
from pollers.sources.shards.discovery import AUDIT, LATEST
from pollers.sources.shards.pace import Paces
from pollers.sources.shards.source import ShardSource
from pollers.sources.shards.stream import Where
from pollers.spi import Change, Granted, Row, Store, Troubled
from pollers.stores.memory import MemoryStore
from pollers.testing.loop import clock, virtual_time


def source_of(stream: ScriptedStream, store: Store, *, start: float | None = None, factor: int = 1) -> ShardSource:
    made = ShardSource(
        stream,
        {},
        start=start,
        parallelization_factor=factor,
        lanes="shard",
        idle_poll=5.0,
        store=store,
        clients=Clients(),
        owns_clients=False,
        paces=Paces(),
        clock=clock(),
    )
    made.fit(mapping="orders", batch_size=100, window=0.0, timeout=3.0)
    return made


class Followed:
    """An opened source whose changes are heard as they come."""

    def __init__(self, source: ShardSource) -> None:
        self.source = source
        self.changes: list[Change] = []
        self.grants: dict[str, Grant] = {}

    async def follow(self) -> None:
        async for change in self.source.changes():
            self.changes.append(change)
            if isinstance(change, Granted):
                self.grants[change.grant.partition] = change.grant

    def notes(self) -> list[str]:
        return [change.note for change in self.changes if isinstance(change, Granted) and change.note]

    async def read(self, shard: str, limit: int = 100) -> Page:
        while True:
            page = await self.source.read(self.grants[shard], limit)
            if page.records or page.end or page.behind is not None:
                return page
            await asyncio.sleep(page.pause)

    async def finish(self, shard: str) -> None:
        """Read it to its end, as the engine does, and say that everything in it is processed."""
        while not (page := await self.read(shard)).end:
            await asyncio.sleep(page.pause)
        await self.source.settle(self.grants[shard], Progress(safe=page.position, finished=True))
        await self.source.release(self.grants[shard])
        await asyncio.sleep(0.1)


@asynccontextmanager
async def following(source: ShardSource) -> AsyncIterator[Followed]:
    await source.open()
    followed = Followed(source)
    task = asyncio.create_task(followed.follow())
    await asyncio.sleep(0.1)
    try:
        yield followed
    finally:
        await source.close()
        await asyncio.wait([task], timeout=1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def family() -> ScriptedStream:
    stream = ScriptedStream()
    stream.add("a", 1, 2, closed=True)
    stream.add("b", 3, parents=("a",))
    stream.add("c", 4, parents=("a",))
    return stream


@pytest.mark.rule("8-5")
@virtual_time
async def test_children_are_granted_once_their_parent_is_finished() -> None:
    async with following(source_of(family(), MemoryStore())) as followed:
        assert list(followed.grants) == ["a"]
        await followed.finish("a")
        assert list(followed.grants) == ["a", "b", "c"]
        assert not followed.notes()


@pytest.mark.rule("8-4")
@virtual_time
async def test_children_of_a_mapping_that_began_at_latest_are_read_from_their_beginning() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", 1)
    async with following(source_of(stream, MemoryStore(), start=LATEST)) as followed:
        stream.close(shard)
        stream.add("b", 2, 3, parents=("a",))
        await followed.finish("a")
        assert [raw["SequenceNumber"] for raw in (await followed.read("b")).records] == ["2", "3"]
    assert stream.iterators[-1] == ("b", Where("TRIM_HORIZON"))


@pytest.mark.rule("8-1")
@virtual_time
async def test_latest_leaves_closed_shards_alone() -> None:
    stream = family()
    async with following(source_of(stream, MemoryStore(), start=LATEST)) as followed:
        assert list(followed.grants) == ["b", "c"]


@virtual_time
async def test_children_that_the_service_does_not_name_are_listed_until_they_show() -> None:
    stream = ScriptedStream()
    stream.says_children = False
    stream.add("a", 1, closed=True)
    async with following(source_of(stream, MemoryStore())) as followed:
        await followed.finish("a")
        assert list(followed.grants) == ["a"]
        stream.add("b", parents=("a",))
        await asyncio.sleep(AUDIT / 2)
        assert list(followed.grants) == ["a", "b"]
        assert Partition("a") in stream.listings  # only what is new was asked for, as long as that could help


@virtual_time
async def test_a_stream_without_children_to_show_is_not_listed_without_end() -> None:
    stream = ScriptedStream()
    stream.add("a", closed=True)
    async with following(source_of(stream, MemoryStore())) as followed:
        await followed.finish("a")
        before = len(stream.listings)
        await asyncio.sleep(600)
        assert len(stream.listings) - before < 80


@virtual_time
async def test_a_parent_that_aged_out_counts_as_finished_and_that_is_said() -> None:
    stream = ScriptedStream()
    stream.add("b", 3, parents=("a",))
    async with following(source_of(stream, MemoryStore())) as followed:
        assert list(followed.grants) == ["b"]
        assert followed.notes() == ["a, from which it came, had left the stream before; what it held cannot be read"]


@virtual_time
async def test_a_parent_that_a_listing_left_out_is_still_read_first() -> None:
    stream = ScriptedStream()
    parent = stream.add("a", 1, closed=True)
    stream.add("b", 2, parents=("a",))
    hidden = stream.listed.pop(parent)
    async with following(source_of(stream, MemoryStore())) as followed:
        assert list(followed.grants) == ["a"]
        stream.listed[parent] = hidden
        await followed.finish("a")
        assert list(followed.grants) == ["a", "b"]


@pytest.mark.rule("8-3", "12-22")
@virtual_time
async def test_a_restart_goes_on_behind_what_was_finished_and_knows_what_is_above() -> None:
    stream, store = ScriptedStream(), MemoryStore()
    stream.add("a", 1, 2, 3, 4, 5)
    async with following(source_of(stream, store)) as followed:
        await followed.read("a")
        above = (((4, 0), (4, 0)),)
        await followed.source.settle(followed.grants["a"], Progress(safe=(2, 0), above=above, state={"n": 1}))
    async with following(source_of(stream, store, start=LATEST)) as followed:
        resume = followed.grants["a"].resume
        assert (resume.safe, resume.above, resume.state) == ((2, 0), above, {"n": 1})
        assert [raw["SequenceNumber"] for raw in (await followed.read("a")).records] == ["3", "4", "5"]


@pytest.mark.rule("12-19")
@virtual_time
async def test_latest_before_the_first_record_is_the_moment_of_the_first_start() -> None:
    stream, store = ScriptedStream(), MemoryStore()
    shard = stream.add("a")
    begun = clock().wall()
    async with following(source_of(stream, store, start=LATEST)):
        pass
    await asyncio.sleep(100)
    stream.put(shard, 1, arrived=begun + 50)
    async with following(source_of(stream, store, start=LATEST)) as followed:
        assert len((await followed.read("a")).records) == 1
    assert stream.iterators[-1][1] == Where("AT_TIMESTAMP", moment=begun)


@pytest.mark.rule("12-19")
@virtual_time
async def test_a_mapping_that_starts_again_by_itself_skips_nothing_of_what_came_since_its_first_start() -> None:
    stream = ScriptedStream(LIKE_DYNAMODB)
    shard = stream.add("a")
    source = source_of(stream, MemoryStore(), start=LATEST)
    async with following(source) as followed:
        stream.put(shard, 1, arrived=clock().wall() + 1)
        again = Followed(source)  # as after a fault of ours, before anything was read
        task = asyncio.create_task(again.follow())
        await asyncio.sleep(1)
        assert len((await again.read("a")).records) == 1
        task.cancel()
    assert followed.grants


@virtual_time
async def test_a_finished_shard_is_not_read_again_after_a_restart() -> None:
    stream, store = family(), MemoryStore()
    async with following(source_of(stream, store)) as followed:
        await followed.finish("a")
    async with following(source_of(stream, store)) as followed:
        assert list(followed.grants) == ["b", "c"]


@pytest.mark.parametrize(
    ("row", "granted"),
    [
        (Row(Partition("b"), parents=(Partition("a"),), safe=(5, 0)), ["b", "c"]),  # begun: a is finished and forgotten
        (Row(Partition("b"), parents=(Partition("a"),), start=0.0), ["b", "c"]),  # begun at LATEST: never heard of a
        (Row(Partition("b"), parents=(Partition("a"),)), ["a"]),
    ],
)
@virtual_time
async def test_what_others_have_read_and_forgotten_is_not_read_again(row: Row, granted: list[str]) -> None:
    """As the Kinesis Client Library leaves its leases."""

    class Left(MemoryStore):
        """Rows that were not written here."""

        async def load(self, mapping: str) -> Sequence[Row]:
            return [replace(row, saved=0.0) for row in await super().load(mapping)]

    stream, store = family(), Left()
    await store.create("orders", [row])
    async with following(source_of(stream, store)) as followed:
        assert list(followed.grants) == granted


@virtual_time
async def test_a_shard_that_aged_out_while_nobody_read_it_ends_with_a_gap() -> None:
    stream, store = ScriptedStream(), MemoryStore()
    shard = stream.add("a", 1, closed=True)
    stream.add("b", 2, parents=("a",))
    async with following(source_of(stream, store)):
        pass
    del stream.listed[shard], stream.content[shard]
    async with following(source_of(stream, store)) as followed:
        page = await followed.read("a")
        assert page.end
        assert "has left the stream" in page.gap
        await followed.source.settle(followed.grants["a"], Progress(finished=True))
        await asyncio.sleep(1)
        assert list(followed.grants) == ["a", "b"]


@virtual_time
async def test_a_shard_that_is_gone_with_its_stream_is_an_error_and_no_end() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", 1)
    async with following(source_of(stream, MemoryStore())) as followed:
        del stream.listed[shard], stream.content[shard]
        stream.fail("open", "ResourceNotFoundException")
        with pytest.raises(SourceError) as caught:
            await followed.read("a")
        assert caught.value.missing


@virtual_time
async def test_a_stream_that_was_made_anew_is_refused_with_the_way_out() -> None:
    stream, store = ScriptedStream(), MemoryStore()
    stream.add("a", 1)
    async with following(source_of(stream, store)):
        pass
    stream.origin = "second"
    with pytest.raises(SourceError, match=r"earlier stream of this name.*pollers seek"):
        await source_of(stream, store).open()


@virtual_time
async def test_a_second_reader_of_the_same_positions_takes_them_over_and_the_first_notices() -> None:
    stream, store = ScriptedStream(), MemoryStore()
    stream.add("a", 1)
    async with following(source_of(stream, store)) as first, following(source_of(stream, store)):
        with pytest.raises(LostGrant):
            await first.source.settle(first.grants["a"], Progress(safe=(1, 0)))


@virtual_time
async def test_a_listing_that_fails_is_said_and_tried_again() -> None:
    stream = family()
    source = source_of(stream, MemoryStore())
    stream.fail("shards", "LimitExceededException", "LimitExceededException")
    async with following(source) as followed:
        await asyncio.sleep(5)
        troubles = [change for change in followed.changes if isinstance(change, Troubled)]
        assert [trouble.operation for trouble in troubles] == ["discover", "discover"]
        assert list(followed.grants) == ["a"]


@virtual_time
async def test_finished_shards_are_forgotten_once_they_left_the_stream_for_good() -> None:
    stream, store = family(), MemoryStore()
    async with following(source_of(stream, store)) as followed:
        await followed.finish("a")
        del stream.listed[Partition("a")], stream.content[Partition("a")]
        await asyncio.sleep(4 * AUDIT)
        assert [row.partition for row in await store.load("orders")] == ["", "b", "c"]
    async with following(source_of(stream, store)) as followed:
        assert sorted(followed.grants) == ["b", "c"]


@virtual_time
async def test_positions_in_memory_are_warned_of() -> None:
    source = source_of(ScriptedStream(), MemoryStore())
    await source.open()
    assert "kept in memory" in source.warnings[0]


@pytest.mark.parametrize(("factor", "lane", "slots"), [(1, "partition", 1), (10, "hash", 10)])
def test_parallelization_factor_is_the_number_of_lanes_of_a_shard(factor: int, lane: str, slots: int) -> None:
    async def delivery() -> tuple[str, int | None]:
        made = source_of(ScriptedStream(LIKE_DYNAMODB), MemoryStore(), factor=factor).delivery
        return made.lane, made.slots

    assert virtual_time(delivery)() == (lane, slots)


@virtual_time
async def test_a_parallelization_factor_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="between 1 and 10"):
        source_of(ScriptedStream(), MemoryStore(), factor=11)
