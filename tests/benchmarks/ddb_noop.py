"""Read a page of 1,000 changes of 1 KB, invoke a function that does nothing: against the shortest aiobotocore loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from measure import compare, report
from streams import bare, client_alone, dynamodb, ours, stub

__all__ = ["run"]

BAR = 0.95


async def run(*, quick: bool) -> int:
    records, rounds = (20_000, 3) if quick else (40_000, 5)
    async with stub(1_000):
        variants: dict[str, Callable[[], Awaitable[float]]] = {
            "bare loop": lambda: bare("dynamodbstreams", records),
            "our client alone": lambda: client_alone("dynamodbstreams", records),
            "pollers": lambda: ours(dynamodb(), records),
        }
        rows = await compare(variants, "bare loop", rounds, {"pollers": BAR})
    return report("ddb_noop", "records per CPU second", rows)
