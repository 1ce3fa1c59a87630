"""One shard: where its iterator stands, what is missed is said, and when it is read again."""

from __future__ import annotations

import asyncio

import pytest
from stream_doubles import LIKE_DYNAMODB, ScriptedStream, record

from pollers.aws.errors import CallFailed
from pollers.flow.records import Page, Partition
from pollers.sources.shards.pace import Pace
from pollers.sources.shards.reader import Reader, ShardGone, Terms
from pollers.sources.shards.stream import Where
from pollers.testing.loop import clock, virtual_time


class Bench:
    """One reader of one shard, in virtual time."""

    def __init__(self, stream: ScriptedStream, *, idle_poll: float = 5.0) -> None:
        self.stream = stream
        self.pace = Pace(stream.habits.interval, stream.habits.bytes_per_second)
        self.terms = Terms(stream, self.pace, idle_poll, clock(), asyncio.get_running_loop().time)

    def reader(
        self,
        shard: Partition,
        *,
        last: int | None = None,
        begun: bool = False,
        start: float | None = None,
        fresh: bool = False,
        saved: float = 0.0,
    ) -> Reader:
        return Reader(self.terms, shard, last=last, begun=begun, start=start, fresh=fresh, saved=saved)

    async def read(self, reader: Reader, limit: int = 1_000) -> Page:
        """Read when it is the shard's turn."""
        while True:
            page = await reader.read(limit)
            if page.records or page.gap or page.end or page.behind is not None:
                return page
            await asyncio.sleep(page.pause)


def sequences(page: Page) -> list[int]:
    return [int(raw["SequenceNumber"]) for raw in page.records]


@virtual_time
async def test_a_shard_is_read_in_order_to_its_end_and_its_children_are_named() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", 1, 2, 3, closed=True)
    stream.add("b", parents=("a",))
    bench = Bench(stream)
    reader = bench.reader(shard)
    first, last = await bench.read(reader, 2), await bench.read(reader, 2)
    assert (sequences(first), first.end, first.position) == ([1, 2], False, (2, 0))
    assert (sequences(last), last.end, last.position) == ([3], True, (3, 0))
    assert [child.partition for child in reader.children] == ["b"]


@pytest.mark.rule("8-6")
@virtual_time
async def test_an_expired_iterator_is_opened_again_behind_the_last_record_read() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", 1, 2, 3)
    bench = Bench(stream)
    reader = bench.reader(shard)
    assert sequences(await bench.read(reader, 2)) == [1, 2]
    stream.fail("records", "ExpiredIteratorException")
    assert sequences(await bench.read(reader, 2)) == [3]
    assert stream.iterators[-1] == (shard, Where("AFTER_SEQUENCE_NUMBER", sequence=2))


@virtual_time
async def test_a_record_that_was_finished_in_part_is_read_again_until_it_was_read() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", 1, 2, 3)
    bench = Bench(stream)
    reader = bench.reader(shard, last=2, begun=True)
    stream.fail("records", "ExpiredIteratorException")
    assert sequences(await bench.read(reader, 1)) == [2]
    stream.fail("records", "ExpiredIteratorException")
    assert sequences(await bench.read(reader, 1)) == [3]


@pytest.mark.rule("8-7")
@virtual_time
async def test_a_trimmed_iterator_goes_on_at_the_horizon_and_says_what_may_be_missing() -> None:
    stream = ScriptedStream(LIKE_DYNAMODB)
    shard = stream.add("a", 1)
    bench = Bench(stream)
    reader = bench.reader(shard)
    await bench.read(reader)
    stream.content[shard] = [record(7)]
    stream.fail("records", "TrimmedDataAccessException")
    gap = await bench.read(reader)
    assert "sequence number 1" in gap.gap
    assert not gap.records
    stream.iterators.clear()
    assert sequences(await bench.read(reader)) == [7]
    assert stream.iterators == [(shard, Where("TRIM_HORIZON"))]


@pytest.mark.rule("8-7", "12-14")
@virtual_time
async def test_a_saved_position_that_was_trimmed_goes_on_at_the_horizon_and_is_said_once() -> None:
    stream = ScriptedStream(LIKE_DYNAMODB)
    shard = stream.add("a", 7, 8)
    stream.fail("iterator", "TrimmedDataAccessException")
    bench = Bench(stream)
    reader = bench.reader(shard, last=3)
    page = await bench.read(reader)
    assert sequences(page) == [7, 8]
    assert "sequence number 3" in page.gap
    stream.put(shard, 9)
    assert (await bench.read(reader)).gap == ""


@pytest.mark.rule("12-14")
@virtual_time
async def test_a_service_that_skips_a_gap_without_a_word_is_found_out_by_its_oldest_record() -> None:
    stream = ScriptedStream()
    stream.retention = 86_400.0
    shard = stream.add("a", 7, 8)
    bench = Bench(stream)
    now = clock().wall()
    assert "sequence number 3" in (await bench.read(bench.reader(shard, last=3, saved=now - 90_000))).gap
    # Written within the retention, or with its own neighbor still there: nothing can be missing.
    assert (await bench.read(bench.reader(shard, last=3, saved=now - 60))).gap == ""
    assert (await bench.read(bench.reader(shard, last=7, saved=now - 90_000))).gap == ""


@virtual_time
async def test_a_shard_that_the_stream_does_not_have_is_gone() -> None:
    bench = Bench(ScriptedStream())
    with pytest.raises(ShardGone):
        await bench.reader(Partition("nowhere")).read(10)


@virtual_time
async def test_a_throttle_is_waited_out_ever_longer_and_is_no_error() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", 1)
    bench = Bench(stream)
    reader = bench.reader(shard)
    stream.fail("records", *["ProvisionedThroughputExceededException"] * 5)
    pauses = []
    for _ in range(5):
        page = await reader.read(10)
        pauses.append(page.pause)
        assert page.behind is None  # nobody must take it for the end of the shard
        await asyncio.sleep(page.pause)
    assert all(
        low <= pause <= high for pause, low, high in zip(pauses, (0.5, 1, 2, 4, 5), (1, 2, 4, 8, 10), strict=True)
    )
    assert sequences(await bench.read(reader)) == [1]


@virtual_time
async def test_other_errors_are_raised_and_the_shard_goes_on_where_it_was() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", 1, 2)
    bench = Bench(stream)
    reader = bench.reader(shard)
    await bench.read(reader, 1)
    await asyncio.sleep(1)
    stream.fail("records", "AccessDeniedException")
    with pytest.raises(CallFailed):
        await reader.read(1)
    assert sequences(await bench.read(reader, 1)) == [2]


@pytest.mark.rule("8-1")
@virtual_time
async def test_starting_positions_become_iterators() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", 1)
    bench = Bench(stream)
    await bench.read(bench.reader(shard))
    await bench.read(bench.reader(shard, start=50.0))
    await bench.read(bench.reader(shard, start=50.0, last=1))
    assert [where for _, where in stream.iterators] == [
        Where("TRIM_HORIZON"),
        Where("AT_TIMESTAMP", moment=50.0),
        Where("AFTER_SEQUENCE_NUMBER", sequence=1),
    ]


@pytest.mark.rule("12-19")
@virtual_time
async def test_where_iterators_know_no_moments_older_records_are_skipped_and_count_as_read() -> None:
    stream = ScriptedStream(LIKE_DYNAMODB)
    shard = stream.add("a")
    stream.put(shard, 1, 2, arrived=10.0)
    stream.put(shard, 3, arrived=20.0)
    bench = Bench(stream)
    reader = bench.reader(shard, start=20.7)  # the service dates by the second
    old = await bench.read(reader, 2)
    assert (sequences(old), old.position) == ([], (2, 0))
    assert sequences(await bench.read(reader, 2)) == [3]


@pytest.mark.rule("12-19")
@virtual_time
async def test_a_first_start_at_latest_reads_no_old_records_at_all() -> None:
    stream = ScriptedStream(LIKE_DYNAMODB)
    shard = stream.add("a", 1, 2)
    bench = Bench(stream)
    reader = bench.reader(shard, start=20.7, fresh=True)
    await reader.read(10)
    assert stream.iterators == [(shard, Where("LATEST"))]


@pytest.mark.rule("13-10", "3.2-8")
@virtual_time
async def test_a_quiet_shard_is_read_less_often_until_records_come() -> None:
    stream = ScriptedStream()
    shard = stream.add("a")
    bench = Bench(stream)
    reader = bench.reader(shard)
    pauses = []
    for _ in range(9):
        page = await bench.read(reader)
        pauses.append(page.pause)
        await asyncio.sleep(page.pause)
    assert pauses == [1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    stream.put(shard, 1)
    assert (await bench.read(reader)).pause == 1.0


@virtual_time
async def test_a_shard_with_more_is_read_again_at_once_as_far_as_the_service_allows() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", *range(10))
    bench = Bench(stream)
    reader = bench.reader(shard)
    page = await bench.read(reader, 5)
    assert page.behind == 5
    assert page.pause == pytest.approx(0.2)


@virtual_time
async def test_two_readers_of_a_shard_share_its_turns() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", *range(10))
    bench = Bench(stream)
    one, other = bench.reader(shard), bench.reader(shard)
    assert (await one.read(1)).records
    turned_away = await other.read(1)
    assert not turned_away.records
    assert turned_away.pause == pytest.approx(0.2)


@pytest.mark.rule("8-6")
@virtual_time
async def test_a_large_read_is_followed_by_the_rest_that_the_service_asks_for() -> None:
    bench = Bench(ScriptedStream())
    now = bench.terms.time()
    assert bench.pace.take(Partition("a"), now) == 0
    assert bench.pace.spend(Partition("a"), 10 << 20, now) == pytest.approx(5.0)


@virtual_time
async def test_larger_pages_are_asked_for_only_while_far_behind() -> None:
    stream = ScriptedStream()
    shard = stream.add("a", *range(1_200))
    bench = Bench(stream)
    reader = bench.reader(shard)
    await bench.read(reader, 20_000)
    await bench.read(reader, 20_000)
    await asyncio.sleep(1)
    await bench.read(reader, 20_000)
    assert stream.limits == [1_000, 10_000, 1_000]


@virtual_time
async def test_where_nobody_says_how_far_behind_two_empty_reads_mean_caught_up() -> None:
    stream = ScriptedStream(LIKE_DYNAMODB, says_behind=False)
    shard = stream.add("a")
    bench = Bench(stream)
    reader = bench.reader(shard)
    first = await reader.read(10)
    await asyncio.sleep(first.pause)
    second = await reader.read(10)
    assert (first.behind, second.behind) == (None, 0.0)
