"""What the engine costs per batch on top of the function's call: one lane, no filter, no failure.

Counted in empty awaits, `await f(batch)` with an empty async f, net of the loop around it, measured in the same run.
The source hands out pages made beforehand, and the function does nothing, so that only the engine is left.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from pollers.engine.mapping import Mapping as Pair
from pollers.engine.supervisor import Pollers
from pollers.flow.records import DataRule, Delivery, Grant, Page, Partition, Parts, Policy, Position, Progress
from pollers.spi import Change, Function, Granted, Invocation, Outcome, Returned

__all__ = ["run"]

BAR = 200.0  # empty awaits per batch
SIZES = (1, 10, 100, 1_000)


class Numbers:
    """Records are whole numbers, their own positions."""

    data_rule = DataRule("data", "drop", plain=False)

    def position(self, raw: int) -> Position:
        return (raw, 0)

    def identifier(self, partition: Partition, raw: int) -> str:
        return str(raw)

    def key(self, raw: int) -> bytes:
        return b"key"

    def arrived(self, raw: int) -> float:
        return 0.0

    def size_bound(self, raw: int) -> int:
        return 20

    def view(self, partition: Partition, raw: int) -> Mapping[str, Any]:
        return {}

    def data(self, raw: int) -> str:
        return ""

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"Records": [raw for _, records in parts for raw in records]}

    def failure(self, parts: Parts) -> dict[str, Any]:
        return {}


class Pages:
    """A log of so many pages, each the same list of records at new positions as far as the engine can see."""

    name = "pages"
    arn = "arn:aws:kinesis:none:000000000000:stream/pages"
    warnings: Sequence[str] = ()
    ours_until = math.inf
    requests: Mapping[tuple[str, str], int] = {}
    shape = Numbers()

    def __init__(self, pages: int, batch_size: int) -> None:
        size = 10 * batch_size
        self._left = pages
        self._records = list(range(size))
        self.delivery = Delivery(
            lane="partition", slots=1, mixed=False, spans=False, redelivers=False, page=size, settle_every=1.0
        )

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        pass

    async def open(self) -> None:
        pass

    async def changes(self) -> AsyncIterator[Change]:
        yield Granted(Grant(Partition("0")))
        await asyncio.Event().wait()

    def stop(self) -> None:
        """No partitions come by themselves."""

    async def read(self, grant: Grant, limit: int) -> Page:
        if not self._left:
            await asyncio.Event().wait()
        self._left -= 1
        return Page(self._records, nbytes=20 * len(self._records), position=(self._records[-1], 0))

    async def settle(self, grant: Grant, progress: Progress) -> None:
        pass

    async def keep(self, grant: Grant) -> None:
        pass

    async def release(self, grant: Grant) -> None:
        pass

    async def close(self) -> None:
        pass


class Nothing:
    """A function that does nothing, until it has done so often enough."""

    def __init__(self, calls: int) -> None:
        self.function = Function("nothing", "arn:aws:lambda:none:000000000000:function:nothing")
        self.enough = asyncio.Event()
        self._left = calls

    async def open(self) -> None:
        pass

    async def invoke(self, invocation: Invocation) -> Outcome:
        self._left -= 1
        if not self._left:
            self.enough.set()
        return Returned()

    async def close(self) -> None:
        pass


async def engine(batch_size: int, pages: int) -> float:
    """CPU seconds per batch."""
    target = Nothing(10 * pages)
    mapping = Pair("floor", Pages(pages, batch_size), target, Policy(batch_size=batch_size))
    begun = time.process_time()
    async with Pollers([mapping]):
        await target.enough.wait()
        return (time.process_time() - begun) / (10 * pages)


async def empty_await(times: int = 100_000) -> float:
    """CPU seconds of `await f(batch)`, net of the loop around it."""

    async def f(batch: object) -> None:
        pass

    begun = time.process_time()
    for _ in range(times):
        pass
    loop = time.process_time() - begun
    begun = time.process_time()
    for _ in range(times):
        await f(None)
    return (time.process_time() - begun - loop) / times


async def run(*, quick: bool) -> int:
    pages, rounds = (300, 5) if quick else (1_000, 11)
    print("\nengine_floor  (empty awaits per batch, bar 200)")
    worst, medians = 0.0, []
    for size in SIZES:
        await engine(size, 50)
        counts = []
        for _ in range(rounds):
            unit = await empty_await()
            counts.append(await engine(size, pages) / unit)
        low, middle, high = statistics.quantiles(counts, n=4, method="inclusive")
        medians.append(middle)
        worst = max(worst, middle)
        print(f"  batch of {size:5}: {middle:6.0f}  [{low:.0f} .. {high:.0f}]{'' if middle <= BAR else '   MISSED'}")
    units = [await empty_await() for _ in range(2 * rounds)]
    again = statistics.median(units[::2]) / statistics.median(units[1::2])
    print(f"  largest to smallest batch: {medians[-1] / medians[0]:.2f}x; base against itself: {again:.2f}")
    if not 0.9 <= again <= 1.1:
        print("  unreliable: the base against itself is outside 0.9 to 1.1")
        return 3
    return int(worst > BAR)
