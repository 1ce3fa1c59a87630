"""A source whose partitions are the shards of a stream: grants by lineage, reads by the reader of each shard.

Kinesis and DynamoDB Streams share all of it; where they differ is behind `Stream`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed
from pollers.clock import Clock
from pollers.errors import ConfigurationError, PollersError, Problem
from pollers.flow.records import Delivery, Grant, Page, Progress, Shape
from pollers.sources.shards.discovery import Discovery
from pollers.sources.shards.pace import Pace, Paces
from pollers.sources.shards.positions import Positions
from pollers.sources.shards.reader import Reader, ShardGone, Terms
from pollers.sources.shards.stream import Stream
from pollers.spi import Change, Granted, Row, Store, Troubled

__all__ = ["Lanes", "ShardSource"]

Lanes = Literal["shard", "key", "none"]

_SETTLE: Final = 1.0  # seconds between two settles of a shard
_AGAIN: Final = 0.5, 30.0  # seconds after a discovery that failed, and at most


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is known once the stream was seen."""

    origin: str  # which stream of its name it is
    pace: Pace
    positions: Positions
    discovery: Discovery
    terms: Terms


class ShardSource:
    """What `KinesisSource` and `DynamoDbSource` are made of."""

    def __init__(
        self,
        stream: Stream,
        requests: Mapping[tuple[str, str], int],
        *,
        start: float | None,
        parallelization_factor: int,
        lanes: Lanes,
        idle_poll: float,
        store: Store,
        clients: Clients,
        owns_clients: bool,
        paces: Paces,
        clock: Clock,
    ) -> None:
        """`start`: a moment to begin at, LATEST, or None for the oldest record."""
        self.name = stream.name
        self.arn = stream.arn
        self.delivery = _delivery(parallelization_factor, lanes, stream.habits.page)
        self.shape: Shape = stream.shape
        self.warnings: Sequence[str] = ()
        self.requests = requests
        self.store = store
        self._stream = stream
        self._start = start
        self._idle_poll = idle_poll
        self._clients = clients
        self._owns_clients = owns_clients
        self._paces = paces
        self._clock = clock
        self._mapping = ""
        self._open: _Opened | None = None
        self._readers: dict[Grant, Reader] = {}
        self._news = asyncio.Event()  # something about the shards has changed
        self._closed = False

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        """Positions are kept under the mapping's identity; the rest makes no difference to a stream."""
        self._mapping = mapping

    async def open(self) -> None:
        """See that the stream and the store can be used. Raises `SourceError`."""
        loop = asyncio.get_running_loop()
        await self.store.open()
        origin = await self._check()
        habits = self._stream.habits
        self.arn, self.shape = self._stream.arn, self._stream.shape
        pace = self._paces.of(self.arn, habits.interval, habits.bytes_per_second)
        terms = Terms(self._stream, pace, self._idle_poll, self._clock, loop.time)
        positions = Positions(self.store, self._mapping, self._clock.ids())
        await positions.load()
        positions.check_origin(self.arn, origin)
        discovery = Discovery(self._stream, positions, self._start, loop.time, self._clock.wall)
        self._open = _Opened(origin, pace, positions, discovery, terms)
        pace.readers += 1
        self.warnings = self._warnings(pace)

    @property
    def _opened(self) -> _Opened:
        assert self._open is not None, "open comes first"
        return self._open

    def _warnings(self, pace: Pace) -> list[str]:
        if self.store.url.startswith("memory:"):
            return ["positions are kept in memory: after a restart every shard is read from the starting position"]
        return []

    async def _check(self) -> str:
        try:
            return await self._stream.open()
        except CallFailed as failure:
            raise failure.about(self._stream.arn) from failure.__cause__

    # Which shards are ours

    async def changes(self) -> AsyncIterator[Change]:
        """Each shard once it may be read: its parents are finished, or gone."""
        discovery, positions = self._opened.discovery, self._opened.positions
        self._readers.clear()
        begun, failures = False, 0
        while not self._closed:
            self._news.clear()
            try:
                if begun:
                    await discovery.look()
                else:
                    await discovery.begin(self._opened.origin)
                    begun = True
                taken = await positions.take(startable) if (startable := discovery.startable()) else []
            except PollersError as error:
                failures += 1
                delay = min(_AGAIN[0] * 2.0 ** min(failures - 1, 10), _AGAIN[1])
                yield Troubled("discover", str(error), delay)
                await self._wait(delay, news=False)
                continue
            failures = 0
            for grant, row in taken:
                yield self._granted(grant, row)
            await self._wait(discovery.due() - asyncio.get_running_loop().time())

    def _granted(self, grant: Grant, row: Row) -> Granted:
        opened, safe = self._opened, grant.resume.safe
        self._readers[grant] = Reader(
            opened.terms,
            grant.partition,
            last=None if safe is None else safe[0],
            start=row.start,
            fresh=opened.discovery.fresh,
            saved=row.saved,
        )
        return Granted(grant, opened.discovery.started(grant.partition))

    async def _wait(self, seconds: float, *, news: bool = True) -> None:
        """Until there are news of shards, or for so long; without `news` only the end cuts it short."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                while not self._closed:
                    await self._news.wait()
                    if news:
                        return
                    self._news.clear()

    # Reading and settling

    async def read(self, grant: Grant, limit: int) -> Page:
        """The shard's next records, none when it is not its turn; `pause` says when that is."""
        reader = self._readers[grant]
        try:
            page = await reader.read(limit)
        except ShardGone:
            return await self._gone(grant)
        except CallFailed as failure:
            raise failure.about(f"{grant.partition} of {self.arn}") from failure.__cause__
        if page.end:
            await self._ended(reader)
        return page

    async def _ended(self, reader: Reader) -> None:
        """A shard was read to its end: its children are to be known by the time it is finished."""
        discovery = self._opened.discovery
        new = discovery.ended(reader.partition, reader.children)
        if new:
            with suppress(PollersError):  # they are found by a listing, then
                await discovery.learn(new)
        self._news.set()

    async def _gone(self, grant: Grant) -> Page:
        """The stream does not know the shard: it has aged out, unless it is the stream that is gone or another."""
        origin = await self._check()
        self._opened.positions.check_origin(self.arn, origin)
        self._opened.discovery.ended(grant.partition, ())
        self._news.set()
        return Page((), 0, end=True, gap="the shard has left the stream before it was read to its end")

    async def settle(self, grant: Grant, progress: Progress) -> None:
        """Keep how far the shard is. Raises `LostGrant` when another process has taken it."""
        await self._opened.positions.save(grant, progress)
        if progress.finished and self._opened.discovery.finished(grant.partition):
            self._news.set()

    async def keep(self, grant: Grant) -> None:
        """Nothing of a stream runs out while it is held."""

    async def release(self, grant: Grant) -> None:
        """Read the shard no more."""
        if self._readers.pop(grant, None) is not None:
            self._opened.pace.forget(grant.partition)
            self._opened.discovery.stopped(grant.partition)

    async def close(self) -> None:
        """End `changes` and close what is our own."""
        self._closed = True
        self._news.set()
        if self._open is not None:
            self._open.pace.readers -= 1
            self._open = None
        if self._owns_clients:
            await self._clients.close()


def _delivery(factor: int, lanes: Lanes, page: int) -> Delivery:
    """The row of streams in the table of sources. AWS: 4-3, 4-4; ours: `lanes` (13-8)."""
    if not 1 <= factor <= 10:
        raise ConfigurationError(
            [Problem("parallelization_factor", f"{factor} is not between 1 and 10.", "Give a value in that range.")]
        )
    if factor > 1 and lanes != "shard":
        message = f'it divides shards into lanes, and with lanes="{lanes}" there is nothing to divide.'
        raise ConfigurationError([Problem("parallelization_factor", message, "Leave one of the two out.")])
    if lanes != "shard":
        lane: Literal["partition", "hash", "key", "none"] = lanes
    else:
        lane = "hash" if factor > 1 else "partition"
    return Delivery(
        lane=lane,
        slots=factor if lanes == "shard" else None,
        mixed=lanes != "shard",
        spans=False,
        redelivers=False,
        paced=True,
        page=page,
        oversize="attempt",
        settle_every=_SETTLE,
    )
