"""Apache Kafka: the partitions of one topic, as a consumer group gives them to its members.

One loop fetches for all partitions whose readers wait; the others are not asked for, so that nothing piles up here. A
commit is the offset behind everything that is finished, with what is finished above it in its metadata.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from pollers.clock import Clock
from pollers.errors import ConfigurationError, LostGrant, PollersError, Problem, SourceError
from pollers.flow.records import Delivery, Grant, Page, Partition, Progress, Raw, Resume, Shape
from pollers.sources.kafka.client import Committed, Consumer, ConsumerTerms, Fetched, KafkaConsumer, OutOfRange
from pollers.sources.kafka.connection import KafkaConnection
from pollers.sources.kafka.finished import RANGES, decode, encode
from pollers.sources.kafka.shape import KafkaShape
from pollers.spi import Change, Granted, Lost, Revoked, Troubled

__all__ = ["KafkaSource"]

Start: TypeAlias = Literal["TRIM_HORIZON", "LATEST"] | datetime
OutOfRangePolicy: TypeAlias = Literal["earliest", "latest", "stop"]
Lanes: TypeAlias = Literal["partition", "key", "none"]

SETTLE: Final = 1.0  # seconds between two commits of a partition
WINDOW: Final = 0.5  # seconds that a batch waits for more. AWS: 3.1-3
DRAIN: Final = 10.0  # seconds beyond a function's timeout in which partitions are given up
MARGIN: Final = 2.0  # seconds of them that are left for the last commit and for joining again
WAIT: Final = 0.5  # seconds that a fetch waits for records
PAGE: Final = 2_000  # records of a page at most
STALL: Final = 60.0  # seconds with records in the log, a reader waiting and nothing read, before that is said
LOOK: Final = 5.0  # seconds between two looks for that
TWINS: Final = 30.0  # seconds within which a static member that is put out twice has a twin
FIRST, CAP = 0.5, 15.0  # seconds before the next try after a fault


@dataclass(slots=True, eq=False)
class _Held:
    """One partition while it is ours."""

    number: int
    grant: Grant
    base: int  # where it was read from first: what is committed while nothing is finished
    gap: str = ""  # to be said with the next page
    reader: asyncio.Future[Page] | None = None  # who waits for its next page
    limit: int = 0
    rest: Sequence[Raw] = ()  # fetched and not handed out, as the reader wanted fewer
    next: int = 0  # the offset behind `rest`
    read_at: float = 0.0  # loop time: when something was read last, or nothing was there to be read
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # released, or lost

    @property
    def waits(self) -> bool:
        """Whether somebody waits for its next page."""
        return self.reader is not None and not self.reader.done()


class KafkaSource:
    """Records of one topic, partition by partition.

    - `connection`: the cluster; a callable is asked when the source is opened, so that secrets are read then.
    - `group`: the consumer group; by default the mapping's identity. Its committed offsets win over everything.
    - `starting_position`: where a group begins that has committed nothing: "TRIM_HORIZON" (the oldest record), "LATEST"
      (what comes from now on), or a moment.
    - `lanes`: what is kept in order: the "partition", each "key" by itself, or "none".
    - `out_of_range`: what a committed offset means that the log no longer has: the "earliest" record that is left, the
      "latest", or "stop".
    - `instance`: the id of a static member (`group.instance.id`), one for each process.
    - `arn`: of an MSK cluster; those of a self-managed cluster are named in the event by their servers only.

    Raises `ConfigurationError`.
    """

    name = "kafka"

    def __init__(
        self,
        topic: str,
        connection: KafkaConnection | Callable[[], Awaitable[KafkaConnection]],
        *,
        servers: Sequence[str] = (),
        group: str | None = None,
        starting_position: Start = "TRIM_HORIZON",
        lanes: Lanes = "partition",
        out_of_range: OutOfRangePolicy = "earliest",
        instance: str | None = None,
        arn: str = "",
        clock: Clock | None = None,
        consumer: Callable[[ConsumerTerms], Consumer] = KafkaConsumer,
    ) -> None:
        """`servers`: as the event names them, where `connection` is not known yet. `consumer`: for tests."""
        if not topic:
            raise ConfigurationError([Problem("topic", "a topic has a name.", "Give the topic to read.")])
        if isinstance(connection, KafkaConnection):
            servers = connection.servers
        self.arn = arn or f"kafka://{','.join(servers)}/{topic}"
        self.delivery = _delivery(lanes)
        self.shape: Shape = KafkaShape(topic, servers, arn)
        self.warnings: Sequence[str] = ()
        self._requests: Counter[tuple[str, str]] = Counter()
        self.requests: Mapping[tuple[str, str], int] = self._requests
        self._topic = topic
        self._connection = connection
        self._msk = arn
        self._group = group
        self._start = starting_position
        self._out_of_range = out_of_range
        self._instance = instance
        self._clock = clock or Clock()
        self._make = consumer
        self._timeout = 0.0
        self._consumer: Consumer | None = None
        self._fresh = False  # the consumer has not joined yet
        self._held: dict[int, _Held] = {}
        self._generation = 0
        self._assigned: frozenset[int] = frozenset()
        self._due: dict[int, tuple[Committed, asyncio.Future[None]]] = {}  # commits that are to go together
        self._told: asyncio.Queue[Change | None] | None = None
        self._demand = asyncio.Event()
        self._lost_at: list[float] = []

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        """The group is the mapping's where none is named; the rebalance timeout follows from the function's."""
        self._group = self._group or mapping
        self._timeout = timeout

    @property
    def ours_until(self) -> float:
        """Loop time by which the group has given our partitions to others unless it heard of us."""
        return math.inf if self._consumer is None else self._consumer.alive_until

    @property
    def _rebalance(self) -> float:
        return self._timeout + DRAIN

    async def open(self) -> None:
        """See that the cluster can be reached and has the topic. Raises `SourceError`."""
        if not isinstance(self._connection, KafkaConnection):
            self._connection = await self._connection()
        self.shape = KafkaShape(self._topic, self._connection.servers, self._msk)
        if not self._msk:
            self.arn = f"kafka://{','.join(self._connection.servers)}/{self._topic}"
        await self._connect()

    async def _connect(self) -> Consumer:
        assert isinstance(self._connection, KafkaConnection), "open comes first"
        assert self._group is not None, "fit comes first"
        terms = ConsumerTerms(self._connection, self._topic, self._group, self._instance, self._rebalance)
        self._consumer = self._make(terms)
        self._fresh = True
        await self._consumer.start()
        return self._consumer

    def stop(self) -> None:
        """Partitions come to those that are members: `close` ends that, once everything is released."""

    # What the group gives and takes

    async def changes(self) -> AsyncIterator[Change]:
        """Partitions as the group assigns and revokes them."""
        self._told = told = asyncio.Queue[Change | None]()
        self._held.clear()
        if not self._fresh or self._consumer is None:  # the mapping starts again: as a new member
            await self._leave()
            await self._connect()
        assert self._consumer is not None
        self._fresh = False
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            work = [tasks.create_task(self._fetch(self._consumer)), tasks.create_task(self._watch(self._consumer))]
            self._consumer.join(self)
            while (change := await told.get()) is not None:
                yield change
            for task in work:
                task.cancel()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done while the mapping runs. The group may still speak to us when a fault has ended that."""
        try:
            self._tasks.create_task(work)
        except RuntimeError:
            work.close()

    def _tell(self, change: Change) -> None:
        if self._told is not None:
            self._told.put_nowait(change)

    def assigned(self, partitions: Collection[int]) -> None:
        """The group's assignment; each partition is granted once it is known where to begin."""
        self._assigned = frozenset(partitions)
        self._generation += 1
        self._do(self._begin(self._generation, sorted(partitions)))

    async def revoked(self, partitions: Collection[int], *, lost: bool) -> None:
        """Wait until what runs has ended and is committed, as far as the rebalance allows; lost ones are only told."""
        self._assigned = frozenset()
        self._generation += 1
        held = [one for one in self._held.values() if one.number in partitions]
        if lost:
            self._lose(held)
            if self._instance is not None:
                self._look_for_twin()
            return
        deadline = asyncio.get_running_loop().time() + self._rebalance - MARGIN
        for one in held:
            self._stop_reading(one)
            self._tell(Revoked(one.grant, deadline))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline + MARGIN / 2):
                for one in held:
                    await one.ended.wait()
        self._lose([one for one in held if not one.ended.is_set()])

    def _lose(self, held: Sequence[_Held]) -> None:
        for one in held:
            self._drop(one)
            self._tell(Lost(one.grant))

    def _look_for_twin(self) -> None:
        """A static member that is put out again and again has a twin: they would take turns for ever."""
        now = asyncio.get_running_loop().time()
        self._lost_at = [moment for moment in self._lost_at if now - moment < TWINS] + [now]
        if len(self._lost_at) > 1:
            self._do(self._refuse_twin())

    async def _refuse_twin(self) -> None:
        raise SourceError(
            f"consumer group {self._group}",
            f"another process is the static member {self._instance!r} as well",
            "Give each process an id of its own.",
            missing=True,
        )

    # Where a partition begins

    async def _begin(self, generation: int, partitions: Sequence[int]) -> None:
        """Find where each is read from, and grant it. Tried again until the group decides otherwise."""
        failures = 0
        while generation == self._generation and partitions:
            try:
                starts = await self._starts(partitions)
            except SourceError as error:
                if error.missing:
                    raise
                failures += 1
                delay = min(FIRST * 2.0 ** min(failures - 1, 10), CAP)
                self._tell(Troubled("begin", str(error), delay))
                await asyncio.sleep(delay)
                continue
            if generation == self._generation:
                for number in partitions:
                    self._grant(number, *starts[number])
            return

    async def _starts(self, partitions: Sequence[int]) -> dict[int, tuple[int, Resume, str]]:
        """Of each: the offset to read from, what is finished already, and a sentence about what is missing."""
        consumer = self._member()
        committed = await consumer.committed(partitions)
        oldest = await consumer.beginning(partitions)
        newest = await consumer.end(partitions)
        new = [number for number in partitions if number not in committed]
        starts = await self._first(new, oldest) if new else {}
        found: dict[int, tuple[int, Resume, str]] = {}
        for number in partitions:
            kept = committed.get(number)
            if kept is None:
                found[number] = starts[number], Resume(), ""
            elif oldest[number] <= kept.offset <= newest[number]:
                above = decode(kept.offset, kept.metadata)
                found[number] = kept.offset, Resume((kept.offset - 1, 0) if kept.offset else None, above), ""
            else:
                found[number] = self._out(number, kept.offset, oldest[number], newest[number])
        return found

    async def _first(self, partitions: Sequence[int], oldest: Mapping[int, int]) -> dict[int, int]:
        """Where a group begins that has committed nothing of these. AWS: 8-8; ours: 12-24."""
        consumer = self._member()
        if self._start == "TRIM_HORIZON":
            return {number: oldest[number] for number in partitions}
        if isinstance(self._start, datetime):
            moment = self._start if self._start.tzinfo else self._start.replace(tzinfo=UTC)
            starts = await consumer.at(partitions, moment.timestamp())
        else:
            everything = await consumer.partitions()
            if await consumer.committed(everything):  # the group has begun; these partitions were added since
                return {number: oldest[number] for number in partitions}
            # Those of other members too: the first commit of all tells a new partition from a new group.
            starts = await consumer.end(everything)
        # So that a restart before the first record skips nothing.
        await consumer.commit({number: Committed(offset, "") for number, offset in starts.items()})
        return starts

    def _out(self, number: int, offset: int, oldest: int, newest: int) -> tuple[int, Resume, str]:
        """A committed offset that the log does not have (12-21)."""
        name = f"{self._topic}-{number}"
        which = "was deleted" if offset < oldest else "was never there, so the topic may have been made anew"
        if self._out_of_range == "stop":
            reason = f"offset {offset}, which group {self._group} goes on at, {which}"
            remedy = 'Set the group\'s offsets, or pollers = { out_of_range = "earliest" }.'
            raise SourceError(name, reason, remedy, missing=True)
        to = oldest if self._out_of_range == "earliest" else newest
        gap = f"offset {offset}, where reading was to go on, {which}; it goes on at {to}, the {self._out_of_range}"
        return to, Resume((to - 1, 0) if to else None), gap

    def _grant(self, number: int, offset: int, resume: Resume, gap: str) -> None:
        grant = Grant(Partition(f"{self._topic}-{number}"), self._generation, resume)
        held = _Held(number, grant, offset, gap, read_at=asyncio.get_running_loop().time())
        self._held[number] = held
        self._member().seek(number, offset)
        self._tell(Granted(grant))

    # Reading

    async def read(self, grant: Grant, limit: int) -> Page:
        """The partition's next records; waits for some. Raises `LostGrant` when it is no longer ours."""
        held = self._of(grant)
        if held.rest or held.gap:
            return self._page(held, limit)
        held.limit = limit
        held.reader = asyncio.get_running_loop().create_future()
        self._demand.set()
        self._member().want(held.number)
        try:
            return await held.reader
        finally:
            held.reader = None

    async def _fetch(self, consumer: Consumer) -> None:
        """The one loop that asks the cluster for records."""
        failures = 0
        while True:
            wanted = {held.number: held for held in self._held.values() if held.waits}
            if not wanted:
                self._demand.clear()
                await self._demand.wait()
                continue
            limit = min(PAGE * len(wanted), sum(held.limit for held in wanted.values()))
            try:
                fetched = await consumer.fetch(wanted, limit, WAIT)
            except OutOfRange as error:
                await self._overtaken(error.offsets)
                continue
            except SourceError as error:
                if error.missing:
                    raise
                failures += 1
                self._requests["Fetch", "error"] += 1
                delay = min(FIRST * 2.0 ** min(failures - 1, 10), CAP)
                self._tell(Troubled("fetch", str(error), delay))
                await asyncio.sleep(delay)
                continue
            failures = 0
            if fetched:
                self._requests["Fetch", "ok"] += 1
            for one in fetched:
                self._hand_out(one)
            await asyncio.sleep(0)  # records may be there without a wait: others get their turn

    def _hand_out(self, fetched: Fetched) -> None:
        held = self._held.get(fetched.partition)
        if held is None:
            return  # it was revoked in the meantime; its next owner reads on from what was committed
        held.rest, held.next = fetched.records, fetched.next
        held.read_at = asyncio.get_running_loop().time()
        if held.reader is not None and held.waits:
            held.reader.set_result(self._page(held, held.limit))

    def _page(self, held: _Held, limit: int) -> Page:
        """What is there for a reader, up to its limit."""
        records = held.rest[:limit] if len(held.rest) > limit else held.rest
        held.rest = held.rest[limit:]
        position = records[-1].offset if held.rest else held.next - 1
        gap, held.gap = held.gap, ""
        size = self.shape.size_bound
        return Page(
            records,
            nbytes=sum([size(raw) for raw in records]),
            position=(position, 0) if position >= 0 and (records or held.next) else None,
            behind=self._behind(held, records),
            gap=gap,
        )

    def _behind(self, held: _Held, records: Sequence[Raw]) -> float | None:
        """Seconds: the age of the last record where more are in the log."""
        lag = self._member().lag(held.number)
        if lag is None or not records:
            return 0.0 if lag == 0 else None
        return max(0.0, self._clock.wall() - self.shape.arrived(records[-1])) if lag or held.rest else 0.0

    async def _overtaken(self, offsets: Mapping[int, int]) -> None:
        """Records were deleted faster than they were read."""
        consumer = self._member()
        try:
            oldest, newest = await consumer.beginning(offsets), await consumer.end(offsets)
        except SourceError as error:
            self._tell(Troubled("fetch", str(error), FIRST))
            await asyncio.sleep(FIRST)
            return
        for number, offset in offsets.items():
            held = self._held.get(number)
            if held is None:
                continue
            to, _, held.gap = self._out(number, offset, oldest[number], newest[number])
            consumer.seek(number, to)
            self._hand_out(Fetched(number, (), to))

    async def _watch(self, consumer: Consumer) -> None:
        """See that what is in the log and wanted is read: a client may look alive and read nothing."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK)
            now = loop.time()
            for held in list(self._held.values()):
                if not held.waits or not consumer.lag(held.number):
                    held.read_at = now  # nobody wants more, or there is no more
                elif now - held.read_at > STALL:
                    reason = f"{held.grant.partition} has records that nothing was read of for {STALL:g} s"
                    raise SourceError(f"consumer group {self._group}", reason, "The client is made anew.")

    # Settling

    async def settle(self, grant: Grant, progress: Progress) -> None:
        """Commit. Partitions that settle at once share a request. Raises `LostGrant`."""
        held = self._of(grant)
        offset = held.base if progress.safe is None else progress.safe[0] + 1
        done = asyncio.get_running_loop().create_future()
        first = not self._due
        self._due[held.number] = Committed(offset, encode(offset, progress.above)), done
        if first:
            await self._commit()
        await done

    async def _commit(self) -> None:
        """Commit everything that is due by now, and tell those who wait for it."""
        due: dict[int, tuple[Committed, asyncio.Future[None]]] = {}
        error: Exception | None = SourceError(
            f"consumer group {self._group}", "a commit was cut off", "It is repeated."
        )
        try:
            await asyncio.sleep(0)  # whoever settles at the same time shares the request
            due, self._due = self._due, {}
            await self._member().commit({number: kept for number, (kept, _) in due.items()})
            error = None
        except PollersError as failure:
            error = failure
        finally:
            self._requests["OffsetCommit", "ok" if error is None else "error"] += 1
            for number, (_, done) in (due or self._due).items():
                self._answer(number, done, error)
            if not due:
                self._due = {}

    def _answer(self, number: int, done: asyncio.Future[None], error: Exception | None) -> None:
        if isinstance(error, LostGrant) and (held := self._held.get(number)) is not None:
            self._drop(held)
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
            done.exception()  # its settler may have been called off: then nobody asks for it

    async def keep(self, grant: Grant) -> None:
        """Heartbeats are the client's, for all partitions at once."""

    async def release(self, grant: Grant) -> None:
        """Read and settle no more of it; a rebalance that waits for it goes on."""
        held = self._held.get(int(grant.partition.rpartition("-")[2]))
        if held is not None and held.grant is grant:
            self._drop(held)

    async def close(self) -> None:
        """Leave the group."""
        if self._told is not None:
            self._told.put_nowait(None)
        for held in list(self._held.values()):
            self._drop(held)
        await self._leave()

    async def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()

    # Whose it is

    def _of(self, grant: Grant) -> _Held:
        held = self._held.get(int(grant.partition.rpartition("-")[2]))
        if held is None or held.grant is not grant:
            raise LostGrant(f"{grant.partition} belongs to another member of {self._group} by now.")
        return held

    def _member(self) -> Consumer:
        if self._consumer is None:
            raise SourceError(f"consumer group {self._group}", "it was left", "Open the source again.")
        return self._consumer

    def _stop_reading(self, held: _Held) -> None:
        held.rest = ()
        if held.reader is not None and held.waits:
            held.reader.set_result(Page((), 0))

    def _drop(self, held: _Held) -> None:
        if self._held.get(held.number) is held:
            del self._held[held.number]
        self._stop_reading(held)
        held.ended.set()


def _delivery(lanes: Lanes) -> Delivery:
    """Kafka's row of the table of sources. AWS: 4-5, 3.2-2; ours: `lanes` (13-8)."""
    return Delivery(
        lane=lanes,
        slots=1 if lanes == "partition" else None,
        mixed=True,
        spans=True,
        redelivers=False,
        page=PAGE,
        oversize="discard",
        settle_every=SETTLE,
        window_default=WINDOW,
        ranges=RANGES,
    )
