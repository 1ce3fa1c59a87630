"""The one place that knows aiokafka: a `Consumer` by its means.

Its limits are handled here. Rebalances are eager: all partitions are revoked at every one. There is no callback for
partitions that are lost rather than revoked: the coordinator has forgotten its generation by then, which tells them. It
commits under whatever generation it has by the time a commit is sent. A second member with the same static id is not
noticed: see `source`. Private names are used where the client shows no public ones, and the version is pinned for them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    UnsupportedSaslMechanismError,
)
from aiokafka.structs import OffsetAndMetadata

from pollers.errors import LostGrant, SourceError
from pollers.kafka.connection import client_settings
from pollers.kafka.reasons import obstacle
from pollers.sources.kafka import batches
from pollers.sources.kafka.port import Brought, Committed, ConsumerTerms, Fetched, Listener, OutOfRange, Unreadable

__all__ = ["KafkaConsumer", "no_topic", "twin", "unusable"]

SESSION: Final = 10.0  # seconds without a heartbeat after which the group counts a member as dead
BEAT: Final = 1.0  # seconds between heartbeats: it is also how soon a member hears of a rebalance
METADATA: Final = 60.0  # seconds after which new partitions are noticed (12-23)
PATIENCE: Final = 30.0  # seconds for one request
AGAIN: Final = 0.1  # seconds before a commit is sent again that the coordinator could not take
UNKNOWN: Final = "UnknownError"  # the client's name for every error of a broker that it does not know
PARTING: Final = 5.0  # seconds to leave the group in; without a broker it is not told


class KafkaConsumer:
    """A `Consumer` by aiokafka."""

    def __init__(self, terms: ConsumerTerms, *, batchwise: bool = batches.KNOWN) -> None:
        """`batchwise`: take what was fetched from the client's inside; its public `getmany` is slower."""
        self.alive_until = math.inf
        self._terms = terms
        self._batchwise = batchwise
        self._consumer: Any = None
        self.generation = -1

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
        except (KafkaError, ValueError) as error:  # a ValueError: SCRAM with somebody who does not know the password
            await self.close()
            raise await obstacle(terms.connection) or unusable(error, terms) from error
        if terms.topic not in known:
            await self.close()
            raise no_topic(terms.topic)
        self._note_heartbeats()

    def join(self, listener: Listener) -> None:
        self._consumer.subscribe([self._terms.topic], listener=_Rebalances(self._consumer, listener, self._joined))

    def check(self) -> None:
        # The coordination waits for somebody to take note of its errors, and does nothing until then.
        try:
            self._consumer._coordinator.check_errors()
        except KafkaError as error:
            raise unusable(error, self._terms) from error

    def _joined(self) -> None:
        self.alive_until = asyncio.get_running_loop().time() + SESSION
        self.generation = self._consumer._coordinator.generation

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

    def position(self, partition: int) -> int | None:
        one = self._name(partition)
        subscription = self._consumer._subscription.subscription
        if subscription is None or subscription.assignment is None or one not in subscription.assignment.tps:
            return None
        state = subscription.assignment.state_value(one)
        return state.position if state.has_valid_position else None

    async def fetch(self, wanted: Mapping[int, int], timeout: float) -> Sequence[Brought]:
        named = {self._name(partition): limit for partition, limit in wanted.items()}
        self.check()
        try:
            if self._batchwise:
                found = await batches.fetched(self._consumer._fetcher, named, timeout)
                return [self._brought(one, what) for one, what in found.items()]
            return await self._getmany(named, timeout)
        except OffsetOutOfRangeError as error:
            return [OutOfRange(one.partition, offset) for one, offset in error.args[0].items()]
        except NoOffsetForPartitionError:
            return []  # of a partition that was not sought yet
        except KafkaError as error:
            raise unusable(error, self._terms) from error

    async def _getmany(self, named: Mapping[TopicPartition, int], timeout: float) -> Sequence[Brought]:
        """By the client's public means. Where nothing but markers were read only the position tells."""
        before = {one: self.position(one.partition) for one in named}
        limit = sum(named.values())
        found = await self._consumer.getmany(*named, timeout_ms=int(timeout * 1_000), max_records=limit)
        moved = [one for one in named if one in found or before[one] not in (None, self.position(one.partition))]
        return [
            Fetched(one.partition, found.get(one, ()), position)
            for one in moved
            if (position := self.position(one.partition)) is not None
        ]

    def _brought(self, one: TopicPartition, what: Fetched | KafkaError) -> Brought:
        match what:
            case Fetched():
                return what
            case OffsetOutOfRangeError():
                return OutOfRange(one.partition, what.args[0][one])
            case _:
                return Unreadable(one.partition, unusable(what, self._terms))

    def want(self, partition: int) -> None:
        if self._batchwise:
            batches.wake(self._consumer._fetcher)

    async def commit(self, offsets: Mapping[int, Committed]) -> None:
        wanted = {self._name(one): OffsetAndMetadata(kept.offset, kept.metadata) for one, kept in offsets.items()}
        coordinator, generation = self._consumer._coordinator, self.generation
        while True:
            try:
                await coordinator.ensure_coordinator_known()
                async with coordinator._commit_lock:
                    # The client's own loop would go on under a later generation, for partitions of others by then.
                    if coordinator.generation != generation:
                        raise LostGrant("The group has gone on without us; what was not committed is delivered again.")
                    await asyncio.shield(coordinator._do_commit_offsets(None, wanted))
                return
            except (UnknownMemberIdError, IllegalGenerationError) as error:
                reason = "The group has gone on without us; what was not committed is delivered again."
                raise LostGrant(reason) from error
            except KafkaError as error:
                # While the group rebalances it may refuse; what is revoked has time to be committed.
                if not error.retriable and not isinstance(error, RebalanceInProgressError):
                    raise unusable(error, self._terms) from error
                await asyncio.sleep(AGAIN)

    def lag(self, partition: int) -> int | None:
        position = self.position(partition)
        if position is None:
            return None
        high = self._consumer.last_stable_offset(self._name(partition))
        return None if high is None or high < 0 else max(0, high - position)

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        # In a task of its own: where a broker is gone the client ends with a cancellation that is nobody's.
        parting = asyncio.create_task(consumer.stop())
        try:
            await asyncio.wait([parting], timeout=PARTING)
        finally:
            parting.cancel()
        await asyncio.wait([parting])
        if parting.cancelled() or parting.exception() is not None:
            await _abandon(consumer)

    async def _asked(self, question: Any) -> Any:
        try:
            return await question
        except KafkaError as error:
            raise unusable(error, self._terms) from error

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


async def _abandon(consumer: Any) -> None:
    """End what the client still runs, without a word to anybody: the group finds out by itself."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    tasks = [coordinator._coordination_task, coordinator._heartbeat_task] if coordinator is not None else []
    tasks += [fetcher._fetch_task, *fetcher._pending_tasks] if fetcher is not None else []
    running = [task for task in tasks if task is not None and not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=PARTING)
    await consumer._client.close()


def no_topic(topic: str) -> SourceError:
    """What is said of a topic that is not there, as far as one can see."""
    remedy = "Create it, correct the name, or let this user describe it; pollers creates no topics."
    return SourceError(f"topic {topic}", "the cluster has no such topic", remedy, missing=True)


def twin(group: str, instance: str) -> SourceError:
    """What is said of a static member whose id somebody else has as well."""
    reason = f"another process is the static member {instance!r} as well"
    return SourceError(f"consumer group {group}", reason, "Give each process an id of its own.", missing=True)


def _by_number(offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
    return {one.partition: offset for one, offset in offsets.items()}


def unusable(error: Exception, terms: ConsumerTerms) -> SourceError:
    """What went wrong, where, and what to do about it."""
    servers = ", ".join(terms.connection.servers)
    match error:
        case KafkaError() if terms.instance is not None and UNKNOWN in str(error):
            # Kafka: FENCED_INSTANCE_ID, which the client does not know.
            return twin(terms.group, terms.instance)
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
