"""The reader of one shard that is pushed to: wherever it resumes, what follows comes once, in pages of any size."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pollers.flow.records import Partition, Position
from pollers.sources.kinesis_fanout import PushedReader, PushedStream
from pollers.sources.shards.pace import Pace
from pollers.sources.shards.reader import Terms
from pollers.sources.shards.stream import Where
from pollers.testing.kinesis.aggregates import aggregate
from pollers.testing.loop import clock, run_virtual
from pollers.testing.wireless import Wireless

CONSUMER = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks/consumer/mine:1"
SHARD = Partition("shardId-000000000000")


class Shard:
    """Records by sequence number; each subscription brings so many events of so many records, and ends."""

    def __init__(self, records: Sequence[int], events: Sequence[int]) -> None:
        self.records = [self.record(number, inner) for number, inner in enumerate(records, 1)]
        self.events = events
        self.asked: list[Where] = []

    def record(self, number: int, inner: int) -> dict[str, Any]:
        """A plain record, or one that holds `inner` others."""
        data = aggregate(("k", str(one).encode()) for one in range(inner)) if inner else b"plain"
        text = base64.b64encode(data).decode()
        return {"SequenceNumber": str(number), "ApproximateArrivalTimestamp": 1.0, "Data": text, "PartitionKey": "k"}

    def positions(self, counts: Sequence[int]) -> list[Position]:
        return [(number, one) for number, inner in enumerate(counts, 1) for one in range(inner or 1)]

    def subscription(self, where: Where) -> Iterator[dict[str, Any] | None]:
        self.asked.append(where)
        start = {"TRIM_HORIZON": 0, "AT_SEQUENCE_NUMBER": where.sequence - 1}.get(where.kind, where.sequence)
        for size in self.events:
            records = self.records[start : start + size]
            start += len(records)
            event: dict[str, Any] = {"Records": records, "MillisBehindLatest": 0}
            if start < len(self.records):
                event["ContinuationSequenceNumber"] = str(start)
            yield event
        yield None


class Subscribed(PushedStream):
    """A stream of one shard that needs no service."""

    def __init__(self, shard: Shard) -> None:
        super().__init__(CONSUMER, None, Wireless({"kinesis": None}))  # type: ignore[dict-item]
        self.shard = shard

    async def subscribe(self, partition: Partition, where: Where) -> Any:
        return Events(self.shard.subscription(where))


class Events:
    def __init__(self, events: Iterator[dict[str, Any] | None]) -> None:
        self._events = events

    async def receive(self) -> dict[str, Any] | None:
        return next(self._events)

    def close(self) -> None:
        """Nothing is open."""


async def read(shard: Shard, safe: Position | None, limits: Sequence[int]) -> list[Position]:
    stream, loop = Subscribed(shard), asyncio.get_running_loop()
    terms = Terms(stream, Pace(0.0, None), 0.0, clock(), loop.time)
    reader = PushedReader(stream, terms, SHARD, safe=safe, start=None, saved=clock().wall())
    found: list[Position] = []
    for turn in range(10_000):
        limit = limits[turn % len(limits)]
        page = await reader.read(limit)
        assert len(page.records) <= limit
        found += map(stream.shape.position, page.records)
        assert page.position == (found[-1] if page.records else None)
        if page.end:
            return found
        await asyncio.sleep(page.pause)
    raise AssertionError("it does not come to the end")


@given(
    st.lists(st.integers(0, 7), min_size=1, max_size=12),
    st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.data(),
)
def test_wherever_it_resumes_what_follows_comes_once_and_in_order(
    counts: list[int], events: list[int], limits: list[int], data: st.DataObject
) -> None:
    shard = Shard(counts, events)
    positions = shard.positions(counts)
    safe = data.draw(st.none() | st.sampled_from(positions))
    found = run_virtual(read(shard, safe, limits))
    assert found == [position for position in positions if safe is None or position > safe]
