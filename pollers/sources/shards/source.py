"""A source whose partitions are the shards of a stream: grants by lineage, reads by the reader of each shard.

Kinesis and DynamoDB Streams share all of it; where they differ is behind `Stream`.
"""

from __future__ import annotations

import asyncio
import math
import os
import platform
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed
from pollers.clock import Clock
from pollers.errors import ConfigurationError, LostGrant, PollersError, Problem
from pollers.flow.lineage import Shard
from pollers.flow.records import Delivery, Grant, Page, Partition, Position, Progress, Shape
from pollers.sources.shards.discovery import Discovery
from pollers.sources.shards.leasing import Leasing
from pollers.sources.shards.pace import Pace, Paces
from pollers.sources.shards.positions import Positions
from pollers.sources.shards.reader import Reader, ShardGone, Terms
from pollers.sources.shards.stream import Stream
from pollers.spi import Change, Granted, Lost, Row, Store, Troubled

__all__ = ["Lanes", "OpenReader", "ShardReader", "ShardSource", "shared_reader"]

Lanes = Literal["shard", "key", "none"]

_SETTLE: Final = 1.0  # seconds between two settles of a shard
_HANDOVER: Final = 2.0  # seconds beyond a function's timeout, in which a shard that somebody asked for is passed on
_AGAIN: Final = 0.5, 30.0  # seconds after a discovery that failed, and at most


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is known once the stream was seen."""

    origin: str  # which stream of its name it is
    pace: Pace
    positions: Positions
    leasing: Leasing
    discovery: Discovery
    terms: Terms


class ShardReader(Protocol):
    """Reads one shard, one read at a time."""

    partition: Partition

    @property
    def children(self) -> Sequence[Shard]:
        """Once it was read to its end, where the service names them."""

    async def read(self, limit: int) -> Page:
        """The next records. Raises `CallFailed`, and `ShardGone` where the stream has no such shard."""

    async def close(self) -> None:
        """Read no more. Nothing of the shard is asked for afterwards."""


class OpenReader(Protocol):
    """Makes the reader of a shard. What each argument says stands with `Reader`."""

    def __call__(
        self,
        terms: Terms,
        partition: Partition,
        /,
        *,
        safe: Position | None,  # the last record that is finished
        start: float | None,
        fresh: bool,
        saved: float,
    ) -> ShardReader: ...


def shared_reader(
    terms: Terms, partition: Partition, *, safe: Position | None, start: float | None, fresh: bool, saved: float
) -> ShardReader:
    """A reader by GetRecords. Aggregates stay whole for it: one that is finished in part is read again."""
    last, begun = (None, False) if safe is None else (safe[0], safe[1] > 0)
    return Reader(terms, partition, last=last, begun=begun, start=start, fresh=fresh, saved=saved)


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
        reader: OpenReader = shared_reader,
        waits: bool = False,
    ) -> None:
        """`start`: a moment to begin at, LATEST, or None for the oldest record. `waits`: a read waits for records."""
        self.name = stream.name
        self.arn = stream.arn
        self.delivery = _delivery(parallelization_factor, lanes, stream.habits.page, paced=not waits)
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
        self._reader = reader
        self._mapping = ""
        self._timeout = 0.0
        self._open: _Opened | None = None
        self._readers: dict[Grant, ShardReader] = {}
        self._news = asyncio.Event()  # something about the shards has changed
        self._told: asyncio.Queue[Change | None] | None = None
        self._stopping = False

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        """Positions are kept under the mapping's identity; a shard is passed on once a call has had its time."""
        self._mapping, self._timeout = mapping, timeout

    async def open(self) -> None:
        """See that the stream and the store can be used. Raises `SourceError`."""
        loop = asyncio.get_running_loop()
        await self.store.open()
        origin = await self._check()
        habits = self._stream.habits
        self.arn, self.shape = self._stream.arn, self._stream.shape
        pace = self._paces.of(self.arn, habits.interval, habits.bytes_per_second)
        terms = Terms(self._stream, pace, self._idle_poll, self._clock, loop.time)
        positions = Positions(self.store, self._mapping, self.store.worker or self._name())
        await positions.load()
        positions.check_origin(self.arn, origin)
        discovery = Discovery(self._stream, positions, self._start, loop.time, self._clock.wall)
        leasing = Leasing(positions, self.store.lease, self._timeout + _HANDOVER, loop.time)
        self._open = _Opened(origin, pace, positions, leasing, discovery, terms)
        pace.readers += 1
        self.warnings = self._warnings(pace)

    @property
    def _opened(self) -> _Opened:
        assert self._open is not None, "open comes first"
        return self._open

    def _name(self) -> str:
        """A name that no other worker has; it tells people where the worker is."""
        return f"{platform.node() or 'worker'}:{os.getpid()}:{self._clock.ids()[:8]}"

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

    @property
    def ours_until(self) -> float:
        """Loop time from which on another worker may have our shards, as our leases were not renewed."""
        return math.inf if self._open is None else self._open.leasing.until

    def stop(self) -> None:
        """Take no more shards; the leases of those we have are kept up until they are released."""
        self._stopping = True

    async def changes(self) -> AsyncIterator[Change]:
        """Each shard once it may be read and is ours to read; and those that are taken from us, or asked for."""
        await self._drop_all()
        told: asyncio.Queue[Change | None] = asyncio.Queue()
        self._told = told
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(self._find(told.put_nowait))]
            if math.isfinite(self.store.lease):
                work.append(tasks.create_task(self._renew(told.put_nowait)))
            while (change := await told.get()) is not None:
                yield change
            for task in work:
                task.cancel()

    async def _drop_all(self) -> None:
        """Begin anew: after a fault of ours every grant was released."""
        self._opened.leasing.reset()
        for grant in list(self._readers):
            await self._drop(grant)

    async def _find(self, tell: Callable[[Change], None]) -> None:
        """Look for shards that are new and for those that are to be had, until the mapping drains."""
        begun, failures = False, 0
        while not self._stopping:
            self._news.clear()
            try:
                if begun:
                    await self._opened.discovery.look()
                else:
                    await self._opened.discovery.begin(self._opened.origin)
                    begun = True
                for grant, row in await self._take():
                    tell(self._granted(grant, row))
            except PollersError as error:
                failures += 1
                delay = min(_AGAIN[0] * 2.0 ** min(failures - 1, 10), _AGAIN[1])
                tell(Troubled("discover", str(error), delay))
                await self._wait(delay, news=False)
                continue
            failures = 0
            await self._wait(self._look_at() - asyncio.get_running_loop().time())

    def _look_at(self) -> float:
        opened = self._opened
        return min(opened.discovery.due(), opened.leasing.look_at())

    async def _take(self) -> list[tuple[Grant, Row]]:
        """Take what should be ours by now."""
        discovery, positions, leasing = self._opened.discovery, self._opened.positions, self._opened.leasing
        if not discovery.startable() and asyncio.get_running_loop().time() < leasing.look_at():
            return []
        rows = await positions.load()
        if discovery.lacks(rows):
            await discovery.begin(self._opened.origin)
            rows = await positions.load()
        discovery.see(rows)
        return [] if self._stopping else await leasing.take(discovery.ready(rows))

    async def _renew(self, tell: Callable[[Change], None]) -> None:
        """Keep our leases, in a task of its own: nothing that is read or looked for can postpone it."""
        loop, leasing = asyncio.get_running_loop(), self._opened.leasing
        due = loop.time() + leasing.renew_every
        while True:
            await asyncio.sleep(due - loop.time())
            try:
                changes = await leasing.renew()
            except PollersError as error:
                tell(Troubled("renew", str(error), leasing.again))
                due = loop.time() + leasing.again
                continue
            # By the clock, not after the call: a slow call must not make the next renewal late.
            due = max(due + leasing.renew_every, loop.time())
            for change in changes:
                if isinstance(change, Lost):
                    await self._drop(change.grant)
                tell(change)

    def _granted(self, grant: Grant, row: Row) -> Granted:
        opened = self._opened
        self._readers[grant] = self._reader(
            opened.terms,
            grant.partition,
            safe=grant.resume.safe,
            start=row.start,
            fresh=opened.discovery.fresh,
            saved=row.saved,
        )
        return Granted(grant, opened.discovery.started(grant.partition))

    async def _drop(self, grant: Grant) -> None:
        """Read the shard no more."""
        reader = self._readers.pop(grant, None)
        if reader is not None:
            self._opened.pace.forget(grant.partition)
            self._opened.discovery.stopped(grant.partition)
            await reader.close()

    async def _wait(self, seconds: float, *, news: bool = True) -> None:
        """Until there are news of shards, or for so long; without `news` only the end cuts it short."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                while not self._stopping:
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

    async def _ended(self, reader: ShardReader) -> None:
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
        """Keep how far the shard is. Raises `LostGrant` when another worker has taken it."""
        leasing = self._opened.leasing
        try:
            await self._opened.positions.save(grant, progress)
        except LostGrant:
            leasing.drop(grant)
            await self._drop(grant)
            raise
        if progress.finished:
            leasing.drop(grant)
            if self._opened.discovery.finished(grant.partition):
                self._news.set()

    async def keep(self, grant: Grant) -> None:
        """Nothing of a stream runs out while it is held; leases are renewed for all shards at once."""

    async def release(self, grant: Grant) -> None:
        """Read the shard no more, and let others have it."""
        await self._drop(grant)
        if self._open is not None:
            await self._open.leasing.leave(grant)

    async def close(self) -> None:
        """End `changes`, give up what is still held and close what is our own."""
        self._stopping = True
        self._news.set()
        if self._told is not None:
            self._told.put_nowait(None)
        opened = self._open
        if opened is not None:
            for grant in list(self._readers):
                await self._drop(grant)
            self._open = None
            opened.pace.readers -= 1
            with suppress(PollersError):  # they expire, then
                await opened.leasing.leave_all()
        if self._owns_clients:
            await self._clients.close()


def _delivery(factor: int, lanes: Lanes, page: int, *, paced: bool) -> Delivery:
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
        paced=paced,
        page=page,
        oversize="attempt",
        settle_every=_SETTLE,
    )
