"""Read a page of 1,000 records, invoke a function that does nothing: against the shortest correct aiobotocore loop.

Sixteen shards side by side through the same stub, with the ordinary client; records of 1 KB and of 100 bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from measure import compare, report
from streams import bare, client_alone, kinesis, ours, stub

__all__ = ["run"]

BAR = 0.95


async def run(*, quick: bool) -> int:
    records, rounds = (40_000, 3) if quick else (80_000, 5)
    codes = []
    for nbytes in (1_000, 100):
        async with stub(nbytes):
            variants: dict[str, Callable[[], Awaitable[float]]] = {
                "bare loop": lambda: bare("kinesis", records),
                "our client alone": lambda: client_alone("kinesis", records),
                "pollers": lambda: ours(kinesis(), records),
            }
            rows = await compare(variants, "bare loop", rounds, {"pollers": BAR})
        codes.append(report(f"kinesis_noop {nbytes} B", "records per CPU second", rows))
    return max(codes)
