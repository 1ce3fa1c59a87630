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
from typing import Any, Final, Literal, TypeAlias

from pollers.clock import Clock
from pollers.errors import ConfigurationError, LostGrant, PollersError, Problem, SourceError
from pollers.flow.records import Delivery, Grant, Page, Partition, Progress, Shape
from pollers.kafka.connection import KafkaConnection
from pollers.sources.kafka.client import KafkaConsumer, twin
from pollers.sources.kafka.commits import Commits
from pollers.sources.kafka.finished import RANGES, encode
from pollers.sources.kafka.port import Committed, Consumer, ConsumerTerms
from pollers.sources.kafka.reading import PAGE, Held, Reading, pause
from pollers.sources.kafka.shape import KafkaShape
from pollers.sources.kafka.starts import OutOfRangePolicy, Start, StartingPosition, Starts
from pollers.sources.kafka.watch import Watch
from pollers.spi import Change, Granted, Lost, Revoked, Troubled

__all__ = ["KafkaSource"]

Lanes: TypeAlias = Literal["partition", "key", "none"]

SETTLE: Final = 1.0  # seconds between two commits of a partition
WINDOW: Final = 0.5  # seconds that a batch waits for more. AWS: 3.1-3
DRAIN: Final = 10.0  # seconds beyond a function's timeout in which partitions are given up
MARGIN: Final = 2.0  # seconds of them that are left for the last commit and for joining again
TURN: Final = 0.2  # seconds between two looks whether another member has said where the group begins
SAID: Final = 50  # looks after which that is said
TWINS: Final = 30.0  # seconds within which a static member that is put out twice has a twin


class KafkaSource:
    """Records of one topic, partition by partition.

    - `connection`: the cluster; a callable is asked whenever a client is made, as secrets may change.
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
        starting_position: StartingPosition = "TRIM_HORIZON",
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
        self._shape = KafkaShape(topic, servers, arn)
        self.shape: Shape = self._shape
        self.warnings: Sequence[str] = ()
        self._requests: Counter[tuple[str, str]] = Counter()
        self.requests: Mapping[tuple[str, str], int] = self._requests
        self._topic = topic
        self._connection = connection
        self._msk = arn
        self._group = group
        self._starting_position: StartingPosition = starting_position
        self._out_of_range: OutOfRangePolicy = out_of_range
        self._instance = instance
        self._clock = clock or Clock()
        self._make = consumer
        self._timeout = 0.0
        self._consumer: Consumer | None = None
        self._fresh = False  # the consumer has not joined yet
        self._assignments = 0  # how many there were, and revocations
        self._commits = Commits(self._commit)
        self._told: asyncio.Queue[Change | None] | None = None
        self._lost_at: list[float] = []

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        """The group is the mapping's where none is named; the rebalance timeout follows from the function's."""
        self._group = self._group or mapping
        self._timeout = timeout
        self._starts = Starts(self._topic, self._group, self._starting_position, self._out_of_range)
        self._watch = Watch(self._group, self._topic, self._rebalance)
        self._reading = Reading(self._starts, self._watch, self._requests, self._tell, self._clock.wall)

    @property
    def ours_until(self) -> float:
        """Loop time by which the group has given our partitions to others unless it heard of us."""
        return math.inf if self._consumer is None else self._consumer.alive_until

    @property
    def _rebalance(self) -> float:
        return self._timeout + DRAIN

    async def open(self) -> None:
        """See that the cluster can be reached and has the topic. Raises `SourceError`."""
        connection = await self._connect()
        self._shape = self.shape = KafkaShape(self._topic, connection.servers, self._msk)
        if not self._msk:
            self.arn = f"kafka://{','.join(connection.servers)}/{self._topic}"

    async def _connect(self) -> KafkaConnection:
        assert self._group is not None, "fit comes first"
        connection = self._connection if isinstance(self._connection, KafkaConnection) else await self._connection()
        terms = ConsumerTerms(connection, self._topic, self._group, self._instance, self._rebalance)
        consumer = self._make(terms)
        await consumer.start()
        self._consumer, self._fresh = consumer, True
        return connection

    def stop(self) -> None:
        """Partitions come to those that are members: `close` ends that, once everything is released."""

    # What the group gives and takes

    async def changes(self) -> AsyncIterator[Change]:
        """Partitions as the group assigns and revokes them."""
        self._told = told = asyncio.Queue[Change | None]()
        self._reading.held.clear()
        if not self._fresh or self._consumer is None:  # the mapping starts again: as a new member
            await self._leave()
            await self._connect()
        assert self._consumer is not None
        self._fresh = False
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            work = [
                tasks.create_task(self._reading.run(self._consumer, self._shape)),
                tasks.create_task(self._watch.run(self._consumer, self._reading.waiting)),
            ]
            self._watch.joining()
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
        self._watch.joined()
        self._assignments += 1
        self._do(self._begin(self._assignments, sorted(partitions)))

    async def revoked(self, partitions: Collection[int], *, lost: bool) -> None:
        """Wait until what runs has ended and is committed, as far as the rebalance allows; lost ones are only told."""
        self._watch.joining()
        self._assignments += 1
        held = [one for one in self._reading.held.values() if one.number in partitions]
        if lost:
            self._lose(held)
            if self._instance is not None:
                self._look_for_twin()
            return
        deadline = asyncio.get_running_loop().time() + self._rebalance - MARGIN
        for one in held:
            one.stop()
            self._tell(Revoked(one.grant, deadline))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline + MARGIN / 2):
                for one in held:
                    await one.ended.wait()
        self._lose([one for one in held if not one.ended.is_set()])

    def _lose(self, held: Sequence[Held]) -> None:
        for one in held:
            self._reading.drop(one)
            self._tell(Lost(one.grant))

    def _look_for_twin(self) -> None:
        """A static member that is put out again and again has a twin: they would take turns for ever."""
        now = asyncio.get_running_loop().time()
        self._lost_at = [moment for moment in self._lost_at if now - moment < TWINS] + [now]
        if len(self._lost_at) > 1:
            self._do(self._refuse_twin())

    async def _refuse_twin(self) -> None:
        raise twin(str(self._group), str(self._instance))

    # Where a partition begins

    async def _begin(self, assignment: int, partitions: Sequence[int]) -> None:
        """Find where each is read from, and grant it. Tried again until the group decides otherwise."""
        failures = turns = 0
        while assignment == self._assignments and partitions:
            try:
                starts = await self._starts.of(self._member(), partitions)
            except LostGrant:
                return  # another assignment follows
            except SourceError as error:
                if error.missing:
                    raise
                failures += 1
                self._tell(Troubled("begin", str(error), pause(failures)))
                await asyncio.sleep(pause(failures))
                continue
            if starts is None:
                turns += 1
                if turns % SAID == 0:
                    reason = f"the member that has the first partition has not said where group {self._group} begins"
                    self._tell(Troubled("begin", reason, TURN))
                await asyncio.sleep(TURN)
                continue
            if assignment == self._assignments:
                for number in partitions:
                    self._grant(number, starts[number])
            return

    def _grant(self, number: int, start: Start) -> None:
        grant = Grant(Partition(f"{self._topic}-{number}"), self._member().generation, start.resume)
        self._reading.held[number] = Held(number, grant, base=start.offset, gap=start.gap, next=start.offset)
        self._member().seek(number, start.offset)
        self._tell(Granted(grant))

    # Reading

    async def read(self, grant: Grant, limit: int) -> Page:
        """The partition's next records; waits for some. Raises `LostGrant` when it is no longer ours."""
        return await self._reading.read(self._member(), self._shape, self._reading.of(grant), limit)

    # Settling

    async def settle(self, grant: Grant, progress: Progress) -> None:
        """Commit. Partitions that settle at once share a request. Raises `LostGrant`."""
        held = self._reading.of(grant)
        offset = held.base if progress.safe is None else progress.safe[0] + 1
        try:
            await self._commits.add(held.number, Committed(offset, encode(offset, progress.above)))
        except LostGrant:
            self._reading.drop(held)
            raise

    async def _commit(self, offsets: Mapping[int, Committed]) -> None:
        try:
            await self._member().commit(offsets)
        except PollersError:
            self._requests["OffsetCommit", "error"] += 1
            raise
        self._requests["OffsetCommit", "ok"] += 1

    async def keep(self, grant: Grant) -> None:
        """Heartbeats are the client's, for all partitions at once."""

    async def release(self, grant: Grant) -> None:
        """Read and settle no more of it; a rebalance that waits for it goes on."""
        with suppress(LostGrant):
            self._reading.drop(self._reading.of(grant))

    async def close(self) -> None:
        """Leave the group."""
        if self._told is not None:
            self._told.put_nowait(None)
            for held in list(self._reading.held.values()):
                self._reading.drop(held)
        await self._leave()

    async def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()

    # Whose it is

    def _member(self) -> Consumer:
        if self._consumer is None:
            raise SourceError(f"consumer group {self._group}", "it was left", "Open the source again.")
        return self._consumer


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
