"""The one place that knows aiokafka: what a source needs of a consumer, as a narrow port.

Its limits are handled here. Rebalances are eager: all partitions are revoked at every one. There is no callback for
partitions that are lost rather than revoked: the coordinator has forgotten its generation by then, which tells them. A
second member with the same static id is not noticed: see `source`. Private names are used where the client shows no
public ones, and the version is pinned for them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    AuthenticationFailedError,
    CommitFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.structs import OffsetAndMetadata

from pollers.errors import LostGrant, SourceError
from pollers.flow.records import Raw
from pollers.sources.kafka.connection import KafkaConnection, client_settings

__all__ = ["Committed", "Consumer", "ConsumerTerms", "Fetched", "KafkaConsumer", "Listener", "OutOfRange"]

SESSION: Final = 10.0  # seconds without a heartbeat after which the group counts a member as dead
BEAT: Final = 1.0  # seconds between heartbeats: it is also how soon a member hears of a rebalance
METADATA: Final = 60.0  # seconds after which new partitions are noticed (12-23)
PATIENCE: Final = 30.0  # seconds for one request


@dataclass(frozen=True, slots=True)
class ConsumerTerms:
    """What a consumer is made of."""

    connection: KafkaConnection
    topic: str
    group: str
    instance: str | None  # the static member's id; None: none
    rebalance: float  # seconds that a member has to give its partitions up


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group keeps of a partition."""

    offset: int  # the first one that is not finished
    metadata: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought of a partition."""

    partition: int
    records: Sequence[Raw]
    next: int  # the offset that is read next: behind the last record, and behind markers and gaps


class OutOfRange(Exception):
    """The log has no such offsets: they were deleted, or were never there."""

    def __init__(self, offsets: Mapping[int, int]) -> None:
        self.offsets = offsets
        super().__init__(str(dict(offsets)))


class Listener(Protocol):
    """Is told what the group gives and takes."""

    def assigned(self, partitions: Collection[int]) -> None:
        """These are ours from now on. Nothing is read of them before `seek`."""

    async def revoked(self, partitions: Collection[int], *, lost: bool) -> None:
        """These go to others once this returns; `lost`: they have gone already."""


class Consumer(Protocol):
    """A member of a consumer group that reads one topic. Offsets are those to be read next."""

    alive_until: float  # loop time: without a further heartbeat the group has given our partitions to others by then

    async def start(self) -> None:
        """Connect, and see that the topic is there. Raises `SourceError`."""

    def join(self, listener: Listener) -> None:
        """Join the group."""

    async def partitions(self) -> Collection[int]:
        """All that the topic has."""

    async def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """What the group keeps of these; those of which it keeps nothing are left out."""

    async def beginning(self, partitions: Collection[int]) -> dict[int, int]:
        """The oldest offset of each."""

    async def end(self, partitions: Collection[int]) -> dict[int, int]:
        """The offset of the next record of each."""

    async def at(self, partitions: Collection[int], moment: float) -> dict[int, int]:
        """The first offset at or after a moment (seconds since the epoch); the end where there is none."""

    def seek(self, partition: int, offset: int) -> None:
        """Read on from there."""

    async def fetch(self, wanted: Collection[int], limit: int, timeout: float) -> list[Fetched]:
        """What there is of the wanted partitions, up to `limit` records; waits up to `timeout` seconds for some.

        Raises `OutOfRange`.
        """

    def want(self, partition: int) -> None:
        """A fetch that waits is to bring this partition as well."""

    async def commit(self, offsets: Mapping[int, Committed]) -> None:
        """Raises `LostGrant` where the group has gone on without us."""

    def lag(self, partition: int) -> int | None:
        """Records that are in the log and not read, as far as the last fetch knew; None: not known."""

    async def close(self) -> None:
        """Leave the group. May be called twice."""


class _Always(set[TopicPartition]):
    """Partitions that are wanted. To the client an empty collection means all of them; this one does not."""

    def __bool__(self) -> bool:
        return True


class KafkaConsumer:
    """A `Consumer` by aiokafka."""

    def __init__(self, terms: ConsumerTerms) -> None:
        self.alive_until = math.inf
        self._terms = terms
        self._consumer: Any = None
        self._wanted = _Always()

    async def start(self) -> None:
        terms = self._terms
        self._consumer = AIOKafkaConsumer(
            **client_settings(terms.connection),
            group_id=terms.group,
            group_instance_id=terms.instance,
            client_id="pollers",
            auto_offset_reset="none",  # a position out of range is for the source to decide on (12-21)
            enable_auto_commit=False,
            isolation_level="read_committed",
            metadata_max_age_ms=int(METADATA * 1_000),
            request_timeout_ms=int(PATIENCE * 1_000),
            session_timeout_ms=int(SESSION * 1_000),
            heartbeat_interval_ms=int(BEAT * 1_000),
            rebalance_timeout_ms=int(terms.rebalance * 1_000),
            # The client would leave the group when nothing is fetched for so long, which is how partitions wait
            # for functions here. That a member gets on is the source's to watch.
            max_poll_interval_ms=2**31 - 1,
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        )
        try:
            await self._consumer.start()
            known = await self._consumer.topics()
        except KafkaError as error:
            await self.close()
            raise _unusable(error, terms) from error
        if terms.topic not in known:
            await self.close()
            remedy = "Create it, correct the name, or let this user describe it; pollers creates no topics."
            raise SourceError(f"topic {terms.topic}", "the cluster has no such topic", remedy, missing=True)
        self._note_heartbeats()

    def join(self, listener: Listener) -> None:
        self._consumer.subscribe([self._terms.topic], listener=_Rebalances(self._consumer, listener, self._joined))

    def _joined(self) -> None:
        self.alive_until = asyncio.get_running_loop().time() + SESSION

    def _note_heartbeats(self) -> None:
        """Keep `alive_until`: from the moment a heartbeat was sent, not from when it was answered."""
        coordinator, loop = self._consumer._coordinator, asyncio.get_running_loop()
        beat = coordinator._do_heartbeat

        async def noted() -> bool:
            sent = loop.time()
            alive: bool = await beat()
            if alive:
                self.alive_until = sent + SESSION
            return alive

        coordinator._do_heartbeat = noted

    async def partitions(self) -> Collection[int]:
        known: Collection[int] | None = self._consumer.partitions_for_topic(self._terms.topic)
        return known or ()

    async def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        found = await self._asked(self._consumer._coordinator.fetch_committed_offsets(self._named(partitions)))
        return {
            one.partition: Committed(kept.offset, kept.metadata or "")
            for one, kept in found.items()
            if kept.offset >= 0
        }

    async def beginning(self, partitions: Collection[int]) -> dict[int, int]:
        return _by_number(await self._asked(self._consumer.beginning_offsets(self._named(partitions))))

    async def end(self, partitions: Collection[int]) -> dict[int, int]:
        return _by_number(await self._asked(self._consumer.end_offsets(self._named(partitions))))

    async def at(self, partitions: Collection[int], moment: float) -> dict[int, int]:
        named = self._named(partitions)
        found = await self._asked(self._consumer.offsets_for_times(dict.fromkeys(named, int(moment * 1_000))))
        ends = await self.end([one.partition for one, offset in found.items() if offset is None])
        return {
            one.partition: ends[one.partition] if offset is None else offset.offset for one, offset in found.items()
        }

    def seek(self, partition: int, offset: int) -> None:
        self._consumer.seek(self._name(partition), offset)

    async def fetch(self, wanted: Collection[int], limit: int, timeout: float) -> list[Fetched]:
        consumer, live = self._consumer, self._wanted
        live.clear()
        live.update(self._named(wanted))
        before = {one: self._position(one) for one in live}
        try:
            found = await consumer._fetcher.fetched_records(live, timeout, limit)
        except OffsetOutOfRangeError as error:
            raise OutOfRange(_by_number(error.args[0])) from error
        except NoOffsetForPartitionError:
            return []  # of a partition that was not sought yet
        except KafkaError as error:
            raise _unusable(error, self._terms) from error
        fetched = [Fetched(one.partition, records, self._position(one) or 0) for one, records in found.items()]
        fetched += [
            Fetched(one.partition, (), position)
            for one in live - found.keys()
            if (position := self._position(one)) is not None and one in before and before[one] not in (None, position)
        ]
        return fetched

    def want(self, partition: int) -> None:
        self._wanted.add(self._name(partition))
        for waiter in list(self._consumer._fetcher._fetch_waiters):
            if not waiter.done():
                waiter.set_result(None)

    def _position(self, one: TopicPartition) -> int | None:
        subscription = self._consumer._subscription.subscription
        if subscription is None or subscription.assignment is None or one not in subscription.assignment.tps:
            return None
        state = subscription.assignment.state_value(one)
        return state.position if state.has_valid_position else None

    async def commit(self, offsets: Mapping[int, Committed]) -> None:
        wanted = {self._name(one): OffsetAndMetadata(kept.offset, kept.metadata) for one, kept in offsets.items()}
        subscription = self._consumer._subscription.subscription
        try:
            # The public call refuses partitions that are not assigned; a group that begins commits all of its topic.
            await self._consumer._coordinator.commit_offsets(subscription and subscription.assignment, wanted)
        except CommitFailedError as error:
            raise LostGrant("The group has gone on without us; what was not committed is delivered again.") from error
        except KafkaError as error:
            raise _unusable(error, self._terms) from error

    def lag(self, partition: int) -> int | None:
        one = self._name(partition)
        position = self._position(one)
        if position is None:
            return None
        high = self._consumer.last_stable_offset(one)
        return None if high is None or high < 0 else max(0, high - position)

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _asked(self, question: Any) -> Any:
        try:
            return await question
        except KafkaError as error:
            raise _unusable(error, self._terms) from error

    def _name(self, partition: int) -> TopicPartition:
        return TopicPartition(self._terms.topic, partition)

    def _named(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [self._name(partition) for partition in partitions]


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """Passes on what the coordinator says. It logs and swallows what is raised here, so nothing is."""

    def __init__(self, consumer: Any, listener: Listener, joined: Callable[[], None]) -> None:
        self._consumer = consumer
        self._listener = listener
        self._joined = joined

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        # A member whom the group has forgotten has no generation any more: its partitions are others' by now.
        lost = self._consumer._coordinator.generation < 0
        await self._listener.revoked([one.partition for one in revoked], lost=lost)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._joined()
        self._listener.assigned(sorted(one.partition for one in assigned))


def _by_number(offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
    return {one.partition: offset for one, offset in offsets.items()}


def _unusable(error: KafkaError, terms: ConsumerTerms) -> SourceError:
    """What went wrong, where, and what to do about it."""
    servers = ", ".join(terms.connection.servers)
    match error:
        case GroupAuthorizationFailedError():
            remedy = "Grant it Read on the group."
            return SourceError(f"consumer group {terms.group}", "the user may not join it", remedy, missing=True)
        case TopicAuthorizationFailedError():
            remedy = "Grant it Read and Describe on the topic."
            return SourceError(f"topic {terms.topic}", "the user may not read it", remedy, missing=True)
        case AuthenticationFailedError() | SaslAuthenticationFailed() | UnsupportedSaslMechanismError():
            remedy = "Check the user name, the secret and the mechanism in source_access_configurations."
            return SourceError(servers, f"the cluster does not accept who we are ({error})", remedy, missing=True)
        case KafkaConnectionError():
            remedy = "Check the addresses, and whether the listener wants TLS or SASL."
            return SourceError(servers, f"the cluster cannot be reached ({error})", remedy)
        case _:
            return SourceError(servers, f"{type(error).__name__}: {error}", "It is tried again.")
