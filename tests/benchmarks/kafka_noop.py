"""Read records of a topic, invoke a function that does nothing: against the shortest correct aiokafka loop.

Four partitions of a real broker; records of 100 bytes and of 1 KB.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from measure import compare, report
from topics import KafkaBroker, bare, broker, fill, lacks, ours

__all__ = ["run"]

BARS = {100: 2.5, 1_000: 1.4}


async def run(*, quick: bool) -> int:
    if reason := lacks():
        print(f"\nkafka_noop: {reason}")
        return 0
    async with broker() as running:
        return max([await _compare(running, nbytes, bar, quick) for nbytes, bar in BARS.items()])


async def _compare(broker: KafkaBroker, nbytes: int, bar: float, quick: bool) -> int:
    records = min(400_000, 100_000_000 // nbytes) // (4 if quick else 1)
    topic = await fill(broker, records, nbytes, partitions=4)
    variants: dict[str, Callable[[], Awaitable[float]]] = {
        "bare getmany": lambda: bare(broker.servers, topic, records),
        "pollers, getmany": lambda: ours(broker.servers, topic, records, batchwise=False),
        "pollers": lambda: ours(broker.servers, topic, records),
    }
    rows = await compare(variants, "bare getmany", 2 if quick else 5, {"pollers": bar})
    return report(f"kafka_noop {nbytes} B", "records per CPU second", rows)
