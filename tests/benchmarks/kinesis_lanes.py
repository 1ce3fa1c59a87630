"""Pages of 1,000 records over 97 keys in ten lanes (ParallelizationFactor 10): against one lane, and a bare loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from measure import compare, report
from streams import bare, kinesis, ours, stub

__all__ = ["run"]


async def run(*, quick: bool) -> int:
    records, rounds = (40_000, 3) if quick else (80_000, 5)
    async with stub(1_000):
        variants: dict[str, Callable[[], Awaitable[float]]] = {
            "bare loop": lambda: bare("kinesis", records),
            "one lane": lambda: ours(kinesis(), records),
            "ten lanes": lambda: ours(kinesis(10), records),
        }
        rows = await compare(variants, "bare loop", rounds, {"ten lanes": 0.95})
    return report("kinesis_lanes", "records per CPU second", rows)
