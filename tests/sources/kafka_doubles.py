"""A topic and its group in memory, and a consumer of them that does what a test says, in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pollers.config.library import EventSourceMapping
from pollers.errors import LostGrant, SourceError
from pollers.kafka.connection import KafkaConnection, Sasl
from pollers.sources.kafka.port import Brought, Committed, ConsumerTerms, Fetched, Listener, OutOfRange, Unreadable
from pollers.sources.kafka.source import KafkaSource
from pollers.testing.functions import ScriptedFunction
from pollers.testing.loop import clock


@dataclass(frozen=True, slots=True)
class Written:
    """A record as the client has it."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = 1_700_000_000_000
    timestamp_type: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True)
class Log:
    """One partition. Offsets without a record are markers, or were compacted away."""

    records: list[Written] = field(default_factory=list)
    oldest: int = 0
    end: int = 0


class Cluster:
    """One topic, one group, and every consumer that was made."""

    def __init__(self, partitions: int = 1) -> None:
        self.logs = {number: Log() for number in range(partitions)}
        self.committed: dict[int, Committed] = {}
        self.requests: list[dict[int, Committed]] = []  # commits, a request each
        self.fetches: list[dict[int, int]] = []
        self.consumers: list[ScriptedConsumer] = []
        self.alone = True  # a consumer that joins is given everything
        self.stalled = False  # fetches bring nothing, whatever there is
        self.down: SourceError | None = None  # what every question is answered with
        self.refused: list[Exception] = []  # what the next commits are answered with
        self.faults: dict[int, list[SourceError]] = defaultdict(list)  # what the next fetches of a partition bring
        self.gates: list[asyncio.Event] = []  # the next questions for the oldest offsets wait for one each
        self.password = "first"
        self.generation = 0
        self.news = asyncio.Event()

    def put(self, *values: str, partition: int = 0, key: str | None = None) -> None:
        log = self.logs[partition]
        for value in values:
            log.records.append(Written(log.end, value.encode(), None if key is None else key.encode()))
            log.end += 1
        self.news.set()

    def skip(self, count: int, partition: int = 0) -> None:
        """Markers of transactions, or what was compacted away."""
        self.logs[partition].end += count
        self.news.set()

    def trim(self, oldest: int, partition: int = 0) -> None:
        log = self.logs[partition]
        log.oldest = oldest
        log.records = [one for one in log.records if one.offset >= oldest]

    def source(self, **options: Any) -> KafkaSource:
        return KafkaSource("topic", self._connection, clock=clock(), consumer=self._consumer, group="group", **options)

    async def _connection(self) -> KafkaConnection:
        """As read from its secret at that moment."""
        return KafkaConnection(("here:9092",), Sasl("PLAIN", "orders", self.password))

    def mapping(self, function: ScriptedFunction, *, batch_size: int = 10, **options: Any) -> EventSourceMapping:
        mapped = {
            name: options.pop(name)
            for name in list(options)
            if name.startswith(("maximum", "function", "on_", "backoff"))
        }
        mapped.setdefault("maximum_batching_window_in_seconds", 0)
        return EventSourceMapping(self.source(**options), function, name="orders", batch_size=batch_size, **mapped)

    def _consumer(self, terms: ConsumerTerms) -> ScriptedConsumer:
        consumer = ScriptedConsumer(self, terms)
        self.consumers.append(consumer)
        return consumer

    @property
    def member(self) -> ScriptedConsumer:
        """The newest."""
        return self.consumers[-1]


class ScriptedConsumer:
    """A `Consumer`: a member alone in its group has all partitions from the moment it joins."""

    def __init__(self, cluster: Cluster, terms: ConsumerTerms) -> None:
        self.generation = -1
        self.alive_until = math.inf
        self.terms = terms
        self.closed = 0
        self.gone = False  # the group has gone on without us
        self.alone = cluster.alone
        self.trouble: SourceError | None = None  # what `check` raises once
        self._cluster = cluster
        self._positions: dict[int, int] = {}
        self._listener: Listener | None = None
        self._woken = asyncio.Event()

    # What tests do

    def assign(self, *partitions: int) -> None:
        assert self._listener is not None
        self.gone = False
        self._cluster.generation += 1
        self.generation = self._cluster.generation
        self._positions.clear()
        self._listener.assigned(partitions)

    async def revoke(self, *, lost: bool = False) -> None:
        """As the coordinator does it at every rebalance: all partitions, and until the listener has returned."""
        assert self._listener is not None
        self.gone = self.gone or lost
        await self._listener.revoked(tuple(self._cluster.logs), lost=lost)
        self._positions.clear()

    # What the source does

    async def start(self) -> None:
        self._answer()

    def join(self, listener: Listener) -> None:
        self._listener = listener
        if self.alone:
            asyncio.get_running_loop().call_soon(self.assign, *self._cluster.logs)

    def check(self) -> None:
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble

    async def partitions(self) -> Collection[int]:
        return self._cluster.logs.keys()

    async def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        self._answer()
        return {number: kept for number, kept in self._cluster.committed.items() if number in partitions}

    async def beginning(self, partitions: Collection[int]) -> dict[int, int]:
        if self._cluster.gates:
            await self._cluster.gates.pop(0).wait()
        self._answer()
        return {number: self._cluster.logs[number].oldest for number in partitions}

    async def end(self, partitions: Collection[int]) -> dict[int, int]:
        self._answer()
        return {number: self._cluster.logs[number].end for number in partitions}

    async def at(self, partitions: Collection[int], moment: float) -> dict[int, int]:
        raise AssertionError("tried on a real broker")

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset

    def position(self, partition: int) -> int | None:
        return self._positions.get(partition)

    async def fetch(self, wanted: Mapping[int, int], timeout: float) -> Sequence[Brought]:
        self._answer()
        self.check()
        self._cluster.fetches.append(dict(wanted))
        self._woken.clear()
        self._cluster.news.clear()
        found = self._found(wanted)
        if not found:
            waits = [asyncio.ensure_future(event.wait()) for event in (self._woken, self._cluster.news)]
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            found = self._found(wanted)
        return found

    def _found(self, wanted: Mapping[int, int]) -> list[Brought]:
        found = [] if self._cluster.stalled else [self._of(number, limit) for number, limit in wanted.items()]
        return [one for one in found if one is not None]

    def _of(self, number: int, limit: int) -> Brought | None:
        if self._cluster.faults[number]:
            return Unreadable(number, self._cluster.faults[number].pop(0))
        log, position = self._cluster.logs[number], self._positions.get(number)
        if position is None or position == log.end:
            return None
        if not log.oldest <= position <= log.end:
            return OutOfRange(number, position)
        records = [one for one in log.records if one.offset >= position][:limit]
        more = any(one.offset > records[-1].offset for one in log.records) if records else False
        self._positions[number] = records[-1].offset + 1 if more else log.end
        return Fetched(number, records, self._positions[number])

    def want(self, partition: int) -> None:
        self._woken.set()

    async def commit(self, offsets: Mapping[int, Committed]) -> None:
        self._answer()
        if self.gone:
            raise LostGrant("The group has gone on.")
        if self._cluster.refused:
            raise self._cluster.refused.pop(0)
        self._cluster.requests.append(dict(offsets))
        self._cluster.committed.update(offsets)

    def lag(self, partition: int) -> int | None:
        return None

    async def close(self) -> None:
        self.closed += 1

    def _answer(self) -> None:
        if self._cluster.down is not None:
            raise self._cluster.down
