"""Where groups begin and go on, gaps, added partitions, twins and crashes: on a real broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete
from kafka_broker import KafkaBroker

from pollers import EventSourceMapping, Pollers
from pollers.errors import SourceError
from pollers.kafka.connection import KafkaConnection
from pollers.sources.kafka.client import KafkaConsumer
from pollers.sources.kafka.source import KafkaSource
from pollers.telemetry import Event, PartitionGranted, PollerCrashed, RecordsMissed
from pollers.testing.functions import ScriptedFunction


class Topic:
    """A topic of its own, a producer, and mappings that read it under one group."""

    def __init__(self, broker: KafkaBroker) -> None:
        self.broker = broker
        self.name = f"topic-{time.time_ns()}"
        self.events: list[Event] = []

    async def open(self, partitions: int = 1, config: dict[str, str] | None = None) -> None:
        await self.broker.create_topic(self.name, partitions, config)
        self.producer = AIOKafkaProducer(bootstrap_servers=self.broker.servers)
        await self.producer.start()

    async def put(self, *values: str, partition: int = 0, stamp: int | None = None) -> None:
        for value in values:
            await self.producer.send_and_wait(self.name, value.encode(), partition=partition, timestamp_ms=stamp)

    def notice(self, event: Event) -> None:
        self.events.append(event)

    def granted(self) -> bool:
        return any(isinstance(event, PartitionGranted) for event in self.events)

    def mapping(self, function: ScriptedFunction, **options: Any) -> EventSourceMapping:
        source = KafkaSource(self.name, KafkaConnection((self.broker.servers,)), group=self.name, **options)
        return EventSourceMapping(source, function, name=self.name, maximum_batching_window_in_seconds=0)

    @asynccontextmanager
    async def read(self, **options: Any) -> AsyncIterator[ScriptedFunction]:
        function = ScriptedFunction(timeout=5.0)
        async with Pollers([self.mapping(function, **options)], observers=[self]):
            yield function

    async def read_until(self, *values: str, **options: Any) -> list[str]:
        """Run a mapping until it has seen these; everything that it saw."""
        async with self.read(**options) as function:
            await until(lambda: set(values) <= set(seen(function)))
        return seen(function)

    async def committed(self) -> int | None:
        """The offset that the group goes on at; of a topic with one partition."""
        async with self.admin() as admin:
            kept = await admin.list_consumer_group_offsets(self.name)
        return next((one.offset for one in kept.values()), None)

    async def begun(self, partitions: int) -> bool:
        """Whether the group has committed so many partitions."""
        async with self.admin() as admin:
            return len(await admin.list_consumer_group_offsets(self.name)) == partitions

    async def count(self, last: str) -> int:
        """How many records somebody finds who reads all of it, up to that one."""
        consumer = AIOKafkaConsumer(self.name, bootstrap_servers=self.broker.servers, auto_offset_reset="earliest")
        found = 0
        async with consumer:
            async for record in consumer:
                found += 1
                if record.value == last.encode():
                    return found
        raise AssertionError

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


def seen(function: ScriptedFunction) -> list[str]:
    from base64 import b64decode

    records = (one for call in function.calls for some in call.event["records"].values() for one in some)
    return [b64decode(one.get("value", "")).decode() for one in records]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


async def until_async(question: Callable[[], Awaitable[object]], answer: object) -> None:
    async with asyncio.timeout(60):
        while await question() != answer:
            await asyncio.sleep(0.2)


@pytest.fixture
async def topic(kafka_broker: KafkaBroker) -> AsyncIterator[Topic]:
    topic = Topic(kafka_broker)
    await topic.open()
    yield topic
    await topic.producer.stop()


@pytest.mark.rule("8-8", "5.7-4", "12-22")
async def test_a_committed_offset_wins_over_the_starting_position(topic: Topic) -> None:
    await topic.put("a", "b")
    assert await topic.read_until("a", "b") == ["a", "b"]
    await topic.put("c")
    assert await topic.read_until("c", starting_position="LATEST") == ["c"]


@pytest.mark.rule("12-24", "8-1")
async def test_latest_is_the_moment_of_the_first_start_also_for_a_mapping_that_was_stopped_at_once(
    topic: Topic,
) -> None:
    await topic.put("before")
    async with topic.read(starting_position="LATEST"):
        await until(topic.granted)
    await topic.put("while stopped")
    assert await topic.read_until("while stopped", starting_position="LATEST") == ["while stopped"]


@pytest.mark.rule("12-24")
async def test_members_that_begin_a_group_together_begin_at_one_latest(kafka_broker: KafkaBroker) -> None:
    topic = Topic(kafka_broker)
    await topic.open(partitions=4)
    for number in range(4):
        await topic.put("old", partition=number)
    async with topic.read(starting_position="LATEST") as one, topic.read(starting_position="LATEST") as two:
        await until_async(partial(topic.begun, 4), True)
        for number in range(4):
            await topic.put(f"new {number}", partition=number)
        await until(lambda: len(set(seen(one) + seen(two))) == 4)
    await topic.producer.stop()
    assert sorted(seen(one) + seen(two)) == [f"new {number}" for number in range(4)]


@pytest.mark.rule("12-24")
async def test_partitions_that_are_added_later_are_read_from_their_beginning(topic: Topic) -> None:
    await topic.put("old")
    async with topic.read(starting_position="LATEST") as function:
        await until(topic.granted)
        await topic.put("new")
        await until(lambda: "new" in seen(function))
    async with topic.admin() as admin:
        await admin.create_partitions({topic.name: NewPartitions(2)})
    await topic.producer.client.force_metadata_update()
    await topic.put("on the new partition", partition=1)
    assert await topic.read_until("on the new partition", starting_position="LATEST") == ["on the new partition"]


@pytest.mark.rule("8-2", "8-8")
async def test_a_moment_begins_at_the_first_record_since(topic: Topic) -> None:
    await topic.put("before", stamp=1_700_000_000_000)
    await topic.put("at", "after", stamp=1_700_000_100_000)
    start = datetime.fromtimestamp(1_700_000_050, UTC)
    assert await topic.read_until("at", "after", starting_position=start) == ["at", "after"]


@pytest.mark.rule("12-21")
@pytest.mark.parametrize(("policy", "expected"), [("earliest", ["d", "e"]), ("latest", ["e"])])
async def test_an_offset_that_was_deleted_goes_on_by_the_policy_and_is_said(
    topic: Topic, policy: str, expected: list[str]
) -> None:
    await topic.put("a")
    await topic.read_until("a")
    await topic.put("b", "c", "d")
    async with topic.admin() as admin:
        await admin.delete_records({TopicPartition(topic.name, 0): RecordsToDelete(before_offset=3)})
    async with topic.read(out_of_range=policy) as function:
        await until(lambda: any(isinstance(event, RecordsMissed) for event in topic.events))
        await topic.put("e")
        await until(lambda: "e" in seen(function))
    assert seen(function) == expected


@pytest.mark.rule("12-21")
async def test_an_offset_that_was_deleted_can_stop_the_mapping(topic: Topic) -> None:
    await topic.put("a")
    await topic.read_until("a")
    await topic.put("b", "c")
    async with topic.admin() as admin:
        await admin.delete_records({TopicPartition(topic.name, 0): RecordsToDelete(before_offset=2)})
    async with topic.read(out_of_range="stop") as function:
        await until(lambda: any(isinstance(event, PollerCrashed) for event in topic.events))
    assert seen(function) == []
    (reason,) = [event.reason for event in topic.events if isinstance(event, PollerCrashed)]
    assert "offset 1, which group" in reason


WAYS = pytest.mark.parametrize("batchwise", [True, False], ids=["batch by batch", "getmany"])


@WAYS
async def test_transactions_and_their_markers_leave_no_gap_in_what_is_committed(topic: Topic, batchwise: bool) -> None:
    consumer = partial(KafkaConsumer, batchwise=batchwise)
    producer = AIOKafkaProducer(bootstrap_servers=topic.broker.servers, transactional_id=topic.name)
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(topic.name, b"kept", partition=0)
    await producer.begin_transaction()
    await producer.send_and_wait(topic.name, b"aborted", partition=0)
    await producer.abort_transaction()
    await topic.put("last")
    await producer.stop()
    assert await topic.read_until("last", consumer=consumer) == ["kept", "last"]
    assert await topic.committed() == 5  # kept, a marker, aborted, a marker, last


@WAYS
async def test_markers_at_the_end_of_a_log_are_committed_as_well(topic: Topic, batchwise: bool) -> None:
    consumer = partial(KafkaConsumer, batchwise=batchwise)
    producer = AIOKafkaProducer(bootstrap_servers=topic.broker.servers, transactional_id=topic.name)
    await producer.start()
    async with topic.read(consumer=consumer) as function:
        async with producer.transaction():
            await producer.send_and_wait(topic.name, b"kept", partition=0)
        await until(lambda: seen(function) == ["kept"])
        await until_async(topic.committed, 2)
        await producer.begin_transaction()
        await producer.send_and_wait(topic.name, b"open", partition=0)
        await asyncio.sleep(1.0)
        assert seen(function) == ["kept"], "nobody reads what may be aborted"
        await producer.abort_transaction()
        await until_async(topic.committed, 4)
    await producer.stop()
    assert seen(function) == ["kept"]


@WAYS
async def test_what_was_compacted_away_leaves_no_gap_in_what_is_committed(
    kafka_broker: KafkaBroker, batchwise: bool
) -> None:
    topic = Topic(kafka_broker)
    eager = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "100"}
    await topic.open(config={**eager, "segment.ms": "100", "delete.retention.ms": "0"})
    for number in range(40):
        await topic.producer.send_and_wait(topic.name, f"{number}".encode(), key=f"k{number % 4}".encode(), partition=0)
    await asyncio.sleep(0.3)
    await topic.producer.send_and_wait(topic.name, b"last", key=b"last", partition=0)
    await until_async(partial(topic.count, "last"), 5)
    expected = ["36", "37", "38", "39", "last"]
    read = await topic.read_until("last", consumer=partial(KafkaConsumer, batchwise=batchwise))
    assert read == expected
    assert await topic.committed() == 41
    await topic.producer.stop()


async def test_a_topic_that_is_not_there_is_said_before_anything_is_read(kafka_broker: KafkaBroker) -> None:
    source = KafkaSource("nowhere", KafkaConnection((kafka_broker.servers,)))
    with pytest.raises(SourceError, match="no such topic") as caught:
        async with Pollers([EventSourceMapping(source, ScriptedFunction(), name="nowhere")]):
            pass
    assert caught.value.missing


async def test_a_cluster_that_is_not_there_is_said() -> None:
    source = KafkaSource("orders", KafkaConnection(("127.0.0.1:1",)))
    with pytest.raises(SourceError, match="cannot be reached"):
        async with Pollers([EventSourceMapping(source, ScriptedFunction(), name="nowhere")]):
            pass


@pytest.mark.rule("12-22")
async def test_what_is_finished_above_the_committed_offset_is_not_delivered_again(topic: Topic) -> None:
    """Key lanes: one key's batch fails for ever, the others finish; a restart repeats only the failing one."""
    from pollers.spi import Failed, Returned
    from pollers.testing.functions import Invoked

    for number in range(20):
        await topic.producer.send_and_wait(topic.name, f"{number}".encode(), key=f"k{number}".encode(), partition=0)

    def answer(call: Invoked) -> Any:
        first = next(iter(call.event["records"].values()))[0]
        return Failed("ValueError", "no") if first["offset"] == 3 else Returned()

    failing = ScriptedFunction(answer, timeout=5.0)
    source = KafkaSource(topic.name, KafkaConnection((topic.broker.servers,)), group=topic.name, lanes="key")
    options = {"name": topic.name, "batch_size": 1, "maximum_batching_window_in_seconds": 0}
    async with Pollers([EventSourceMapping(source, failing, **options)]):  # type: ignore[arg-type]
        await until(lambda: len(set(seen(failing))) == 20)
    assert await topic.read_until("3", lanes="key") == ["3"]


async def test_two_processes_with_one_static_id_are_told_apart(topic: Topic) -> None:
    """The client alone lets them take turns for ever, both with all partitions."""
    one, two = ScriptedFunction(timeout=5.0), ScriptedFunction(timeout=5.0)
    async with (
        Pollers([topic.mapping(one, instance="node-1")], observers=[topic]),
        Pollers([topic.mapping(two, instance="node-1")], observers=[topic]),
    ):
        await until(lambda: any(isinstance(event, PollerCrashed) for event in topic.events))
    reasons = [event.reason for event in topic.events if isinstance(event, PollerCrashed)]
    assert any("another process is the static member 'node-1'" in reason for reason in reasons)


async def test_a_broker_that_is_killed_and_comes_back_loses_and_doubles_nothing(own_kafka_broker: KafkaBroker) -> None:
    broker = own_kafka_broker
    topic = Topic(broker)
    await topic.open(partitions=2)
    async with topic.read() as function:
        await topic.put(*map(str, range(50)))
        await until(lambda: len(seen(function)) == 50)
        await asyncio.sleep(2.0)  # until that is committed
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(3.0)
        await asyncio.to_thread(broker.start)
        await topic.put(*map(str, range(50, 100)), partition=1)
        await until(lambda: len(set(seen(function))) == 100)
        await asyncio.sleep(1.0)
    await topic.producer.stop()
    assert sorted(seen(function), key=int) == list(map(str, range(100)))


async def test_a_group_is_left_in_time_when_nobody_is_there_to_be_told(own_kafka_broker: KafkaBroker) -> None:
    topic = Topic(own_kafka_broker)
    await topic.open()
    await topic.put("a")
    await topic.producer.stop()
    async with topic.read() as function:
        await until(lambda: seen(function) == ["a"])
        await asyncio.sleep(2.0)  # until that is committed
        await asyncio.to_thread(own_kafka_broker.kill)
        begun = time.monotonic()
    assert time.monotonic() - begun < 30
    assert not [task for task in asyncio.all_tasks() if "kafka" in repr(task.get_coro()).lower()]
