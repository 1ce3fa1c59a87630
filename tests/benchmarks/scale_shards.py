"""Ten thousand shards in one process, each read once a second: what the machinery around the calls costs.

The calls themselves are answered at once by a stream in memory, so that only lineage, positions, heap and engine are
left; they are compared with the plainest program, a task for each shard that reads and sleeps. Also: bytes of memory
for each shard, and how late reads begin.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import tracemalloc

from measure import compare, report
from streams import Nothing

from pollers.aws.client import Clients
from pollers.clock import Clock
from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.flow.lineage import Shard
from pollers.flow.records import Partition
from pollers.sources.kinesis_shape import KinesisShape
from pollers.sources.shards.pace import Paces
from pollers.sources.shards.source import ShardSource
from pollers.sources.shards.stream import Answer, Habits, Where
from pollers.stores.memory import MemoryStore

__all__ = ["run"]

EMPTY = Answer((), "A" * 220, 60, 0.0)


class Quiet:
    """A stream of so many shards in which nothing happens; notes when each shard is read."""

    name = "kinesis"
    arn = "arn:aws:kinesis:us-east-1:000000000000:stream/quiet"
    habits = Habits(by_time=True, poll=1.0, interval=0.2, bytes_per_second=None, page=1_000, far_page=1_000)
    shape = KinesisShape(arn, "us-east-1", "role")
    retention: float | None = None

    def __init__(self, shards: int) -> None:
        self.listed = [Shard(Partition(f"shardId-{number:012}")) for number in range(shards)]
        self.reads = 0
        self.read_at: dict[str, float] = {}
        self.late: list[float] = []

    async def open(self) -> str:
        return "quiet"

    async def shards(self, after: Partition | None = None) -> list[Shard]:
        return self.listed

    async def iterator(self, partition: Partition, where: Where) -> str:
        return f"{partition}{'A' * 200}"

    async def records(self, iterator: str, limit: int) -> Answer:
        self.reads += 1
        now = time.perf_counter()
        if (before := self.read_at.get(iterator)) is not None:
            self.late.append(now - before - 1.0)
        self.read_at[iterator] = now
        return Answer((), iterator, 60, 0.0)


async def plain(shards: int, seconds: float) -> float:
    """A task for each shard. Reads per CPU second."""
    stream = Quiet(shards)

    async def loop(shard: Shard) -> None:
        iterator = await stream.iterator(shard.partition, Where("TRIM_HORIZON"))
        while True:
            await stream.records(iterator, 1_000)
            await asyncio.sleep(1.0)

    tasks = [asyncio.ensure_future(loop(shard)) for shard in stream.listed]
    await asyncio.sleep(1.5)
    begun, before = time.process_time(), stream.reads
    await asyncio.sleep(seconds)
    figure = (stream.reads - before) / (time.process_time() - begun)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return figure


def mapping(stream: Quiet) -> EventSourceMapping:
    source = ShardSource(
        stream,
        {},
        start=None,
        parallelization_factor=1,
        lanes="shard",
        idle_poll=1.0,
        store=MemoryStore(),
        clients=Clients(),
        owns_clients=False,
        paces=Paces(),
        clock=Clock(),
    )
    return EventSourceMapping(source, Nothing())


async def ours(shards: int, seconds: float, late: list[float], cores: list[float]) -> float:
    stream = Quiet(shards)
    async with Pollers([mapping(stream)]):
        await asyncio.sleep(2.5)
        begun, before = time.process_time(), stream.reads
        stream.late.clear()
        await asyncio.sleep(seconds)
        spent = time.process_time() - begun
        late += stream.late
        cores.append(spent / seconds)
        return (stream.reads - before) / spent


async def memory(shards: int) -> float:
    """Bytes for each shard, all that this process keeps of it."""
    stream = Quiet(shards)
    tracemalloc.start()
    try:
        async with Pollers([mapping(stream)]):
            await asyncio.sleep(3.0)
            stream.late.clear()
            held = tracemalloc.take_snapshot().filter_traces((tracemalloc.Filter(True, "*pollers*"),))
            return sum(trace.size for trace in held.traces) / shards
    finally:
        tracemalloc.stop()


async def run(*, quick: bool) -> int:
    shards, seconds, rounds = (10_000, 2.0, 1) if quick else (10_000, 5.0, 3)
    late: list[float] = []
    cores: list[float] = []
    variants = {
        "a task for each shard": lambda: plain(shards, seconds),
        "pollers": lambda: ours(shards, seconds, late, cores),
    }
    rows = await compare(variants, "a task for each shard", rounds, {})
    code = report("scale_shards", "reads per CPU second", rows)
    latest = statistics.quantiles(late, n=100)[98]
    print(
        f"  {shards:,} shards once a second: {statistics.median(cores):.2f} cores, "
        f"{await memory(shards) / 1_024:.2f} KB a shard, reads late by {1_000 * latest:.0f} ms (p99)"
    )
    return code
