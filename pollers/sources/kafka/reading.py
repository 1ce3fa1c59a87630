"""The partitions that are ours, and the one loop that fetches for those whose readers wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pollers.errors import LostGrant, SourceError
from pollers.flow.records import Grant, Page, Raw
from pollers.sources.kafka.port import Brought, Consumer, Fetched, OutOfRange, Unreadable
from pollers.sources.kafka.shape import KafkaShape
from pollers.sources.kafka.starts import Starts
from pollers.sources.kafka.watch import Watch
from pollers.spi import Change, Troubled

__all__ = ["PAGE", "Held", "Reading", "pause"]

WAIT: Final = 0.5  # seconds that a fetch waits for records
PAGE: Final = 2_000  # records of a page at most
FIRST, CAP = 0.5, 15.0  # seconds before the next try after a fault


def pause(failures: int) -> float:
    """Seconds before the next try after so many faults in a row."""
    return float(min(FIRST * 2.0 ** min(failures - 1, 10), CAP))


@dataclass(slots=True, eq=False)
class Held:
    """One partition while it is ours."""

    number: int
    grant: Grant
    base: int  # where it was read from first: what is committed while nothing is finished
    gap: str  # to be said with the next page
    next: int  # the offset behind `rest`
    reader: asyncio.Future[Page] | None = None  # who waits for its next page
    limit: int = 0  # records that its reader wants
    rest: Sequence[Raw] = ()  # fetched and not handed out, as the reader wanted fewer
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # released, or lost

    @property
    def waits(self) -> bool:
        """Whether somebody waits for its next page."""
        return self.reader is not None and not self.reader.done()

    def give(self, page: Page) -> None:
        """Let its reader have this, if one waits."""
        if self.reader is not None and not self.reader.done():
            self.reader.set_result(page)

    def stop(self) -> None:
        """Let its reader go, and nothing more be read."""
        self.rest = ()
        self.give(Page((), 0))


class Reading:
    """Partitions of one topic, as one member of its group reads them."""

    def __init__(
        self,
        starts: Starts,
        watch: Watch,
        requests: Counter[tuple[str, str]],
        tell: Callable[[Change], None],
        wall: Callable[[], float],
    ) -> None:
        """`watch` is told what was read, `tell` what failed and is tried again, `requests` counts."""
        self.held: dict[int, Held] = {}
        self._starts = starts
        self._watch = watch
        self._requests = requests
        self._tell = tell
        self._wall = wall
        self._demand = asyncio.Event()

    def of(self, grant: Grant) -> Held:
        """The partition of a grant. Raises `LostGrant` when it is no longer ours."""
        held = self.held.get(int(grant.partition.rpartition("-")[2]))
        if held is None or held.grant is not grant:
            raise LostGrant(f"{grant.partition} belongs to another member of {self._starts.group} by now.")
        return held

    def drop(self, held: Held) -> None:
        """Read and settle no more of it; a rebalance that waits for it goes on."""
        if self.held.get(held.number) is held:
            del self.held[held.number]
        held.stop()
        held.ended.set()

    def waiting(self) -> list[int]:
        """The partitions whose readers wait for more."""
        return [held.number for held in self.held.values() if held.waits]

    async def read(self, consumer: Consumer, shape: KafkaShape, held: Held, limit: int) -> Page:
        """The partition's next records; waits for some."""
        if held.rest or held.gap:
            return self._page(consumer, shape, held, limit)
        come: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        held.reader, held.limit = come, limit
        self._demand.set()
        consumer.want(held.number)
        try:
            return await come
        except asyncio.CancelledError:
            if come.done() and not come.cancelled():
                return come.result()  # it was called off between the page's coming and its own turn
            raise
        finally:
            held.reader = None

    async def run(self, consumer: Consumer, shape: KafkaShape) -> None:
        """The one loop that asks the cluster for records. Raises `SourceError` for what nobody but a person mends."""
        failures = 0
        while True:
            wanted = {number: min(self.held[number].limit, PAGE) for number in self.waiting()}
            if not wanted:
                self._demand.clear()
                await self._demand.wait()
                continue
            try:
                brought = await consumer.fetch(wanted, WAIT)
            except SourceError as error:
                if error.missing:
                    raise
                failures += 1
                self._requests["Fetch", "error"] += 1
                self._tell(Troubled("fetch", str(error), pause(failures)))
                await asyncio.sleep(pause(failures))
                continue
            failures = 0
            await self._hand_out(consumer, shape, brought)
            await asyncio.sleep(0)  # records may be there without a wait: others get their turn

    async def _hand_out(self, consumer: Consumer, shape: KafkaShape, brought: Sequence[Brought]) -> None:
        """Give readers what came for them.

        Without a wait in between: what was fetched is of those who have the partitions now, and a rebalance could give
        them to us anew, at other offsets. What was revoked in the meantime is read on by its next owner.
        """
        beyond: list[tuple[Held, int]] = []
        for one in brought:
            self._requests["Fetch", "ok" if isinstance(one, Fetched) else "error"] += 1
            held = self.held.get(one.partition)
            if held is None:
                continue
            match one:
                case Fetched():
                    held.rest, held.next = one.records, one.next
                    self._watch.read(held.number)
                    self._answer(consumer, shape, held)
                case OutOfRange():
                    beyond.append((held, one.offset))
                case Unreadable():
                    if held.reader is not None and held.waits:
                        held.reader.set_exception(one.error)
        for held, offset in beyond:
            if await self._overtaken(consumer, held, offset):
                self._answer(consumer, shape, held)

    def _answer(self, consumer: Consumer, shape: KafkaShape, held: Held) -> None:
        if held.waits:
            held.give(self._page(consumer, shape, held, held.limit))

    def _page(self, consumer: Consumer, shape: KafkaShape, held: Held, limit: int) -> Page:
        """What is there for a reader, up to its limit."""
        records = held.rest[:limit] if len(held.rest) > limit else held.rest
        held.rest = held.rest[limit:]
        position = records[-1].offset if held.rest else held.next - 1
        gap, held.gap = held.gap, ""
        return Page(
            records,
            nbytes=shape.size_bounds(records),
            position=(position, 0) if position >= 0 and (records or held.next) else None,
            behind=self._behind(shape, records, consumer.lag(held.number), more=bool(held.rest)),
            gap=gap,
        )

    def _behind(self, shape: KafkaShape, records: Sequence[Raw], lag: int | None, *, more: bool) -> float | None:
        """Seconds: the age of the last record where more are in the log."""
        if lag is None or not records:
            return 0.0 if lag == 0 else None
        return max(0.0, self._wall() - shape.arrived(records[-1])) if lag or more else 0.0

    async def _overtaken(self, consumer: Consumer, held: Held, offset: int) -> bool:
        """Records were deleted faster than they were read. Whether it is known where to go on; if not, it comes again.

        Raises `SourceError` where reading is to stop then.
        """
        which = (held.number,)
        try:
            oldest, newest = await consumer.beginning(which), await consumer.end(which)
        except SourceError as error:
            self._tell(Troubled("fetch", str(error), FIRST))
            await asyncio.sleep(FIRST)
            return False
        if self.held.get(held.number) is not held:
            return False
        to, _, held.gap = self._starts.out(held.number, offset, oldest[held.number], newest[held.number])
        consumer.seek(held.number, to)
        held.rest, held.next = (), to
        return True
