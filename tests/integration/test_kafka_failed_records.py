"""Failed records in a topic of a real broker: there once, with their keys and in order, and nothing lost on the way."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from kafka_broker import KafkaBroker

from pollers import (
    EventSourceMapping,
    KafkaConnection,
    KafkaDestination,
    KafkaSource,
    Pollers,
    SourceError,
    Undelivered,
)
from pollers.spi import Failed, Failure, Partition
from pollers.telemetry import DeliveryHeld, Event
from pollers.testing.functions import ScriptedFunction


class Topics:
    """A source topic, and one for what failed."""

    def __init__(self, broker: KafkaBroker) -> None:
        self.broker = broker
        self.connection = KafkaConnection((broker.servers,))
        self.source = f"orders-{time.time_ns()}"
        self.failed = f"{self.source}-failed"
        self.held: list[DeliveryHeld] = []

    async def put(self, *records: tuple[bytes | None, bytes]) -> None:
        await self.broker.create_topic(self.source)
        producer = AIOKafkaProducer(bootstrap_servers=self.broker.servers)
        await producer.start()
        for key, value in records:
            await producer.send_and_wait(self.source, value, key=key, partition=0)
        await producer.stop()

    def notice(self, event: Event) -> None:
        if isinstance(event, DeliveryHeld):
            self.held.append(event)

    def pollers(self) -> Pollers:
        """All that is read of the source topic fails."""
        mapping = EventSourceMapping(
            KafkaSource(self.source, self.connection),
            ScriptedFunction(lambda call: Failed("ValueError", "no"), timeout=5.0),
            name=self.source,
            maximum_retry_attempts=0,
            maximum_batching_window_in_seconds=0,
            on_failure=KafkaDestination(self.failed, self.connection),
            backoff=0.5,
        )
        return Pollers([mapping], observers=[self])

    async def found(self, expected: int) -> list[ConsumerRecord[Any, Any]]:
        """What is in the topic for what failed, a second after so many are."""
        consumer = AIOKafkaConsumer(self.failed, bootstrap_servers=self.broker.servers, auto_offset_reset="earliest")
        await consumer.start()
        found: list[ConsumerRecord[Any, Any]] = []
        async with asyncio.timeout(60):
            while len(found) < expected:
                found += [one for some in (await consumer.getmany(timeout_ms=200)).values() for one in some]
        found += [one for some in (await consumer.getmany(timeout_ms=1_000)).values() for one in some]
        await consumer.stop()
        return found

    async def allow(self, size: int) -> None:
        """Bytes of a message in the topic for what failed."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.servers)
        await admin.start()
        sizes = {"max.message.bytes": str(size)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, self.failed, sizes)])
        await admin.close()


@pytest.fixture
def topics(kafka_broker: KafkaBroker) -> Topics:
    return Topics(kafka_broker)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


def original(message: ConsumerRecord[Any, Any]) -> bytes:
    event = json.loads(json.loads(message.value)["payload"])
    ((record,),) = event["records"].values()
    return b64decode(record["value"])


@pytest.mark.rule("5.9-9", "12-5")
async def test_each_failed_record_is_there_once_with_its_key_and_in_order(topics: Topics) -> None:
    await topics.broker.create_topic(topics.failed)
    records = [(None if number % 5 == 0 else b"k%d" % (number % 3), b"%d" % number) for number in range(40)]
    await topics.put(*records)
    async with topics.pollers():
        found = await topics.found(40)
    assert [(message.key, original(message)) for message in found] == records
    info = [json.loads(message.value)["KafkaBatchInfo"]["recordInfo"] for message in found]
    assert [one["offset"] for one in info] == list(map(str, range(40)))
    async with topics.pollers():  # nothing of it comes again
        await asyncio.sleep(2)
    assert len(await topics.found(40)) == 40


async def test_a_topic_that_is_not_there_is_said_before_anything_is_read(topics: Topics) -> None:
    await topics.put((None, b"a"))
    with pytest.raises(SourceError, match="the cluster has no such topic") as caught:
        async with topics.pollers():
            pass
    assert caught.value.resource == f"kafka://{topics.failed}"


@pytest.mark.rule("13-1")
async def test_a_topic_that_does_not_take_a_message_holds_its_record_until_it_does(topics: Topics) -> None:
    await topics.broker.create_topic(topics.failed, config={"max.message.bytes": "100"})
    await topics.put((b"key", b"a"))
    async with topics.pollers():
        await until(lambda: len(topics.held) > 1)
        await topics.allow(1_000_000)
        found = await topics.found(1)
    assert [original(message) for message in found] == [b"a"]
    assert "larger than it takes. Raise its max.message.bytes" in topics.held[0].reason


@pytest.mark.rule("13-1")
async def test_a_cluster_that_was_away_gets_the_record_when_it_is_back(own_kafka_broker: KafkaBroker) -> None:
    topics = Topics(own_kafka_broker)
    await topics.broker.create_topic(topics.failed)
    record = {"topic": "orders", "partition": 0, "offset": 7, "timestamp": 0, "value": "YQ=="}
    event = {"records": {"orders-0": [record]}}
    failure = Failure({"KafkaBatchInfo": {}}, event, [b"key"], "m-1", Partition("orders-0"))
    destination = KafkaDestination(topics.failed, topics.connection)
    await destination.open()
    await asyncio.to_thread(own_kafka_broker.kill)
    with pytest.raises(Undelivered) as caught:
        await destination.deliver(failure)
    assert "cannot be reached" in caught.value.reason
    await asyncio.to_thread(own_kafka_broker.start)
    await destination.deliver(failure)
    await destination.close()
    assert [original(message) for message in await topics.found(1)] == [b"a"]
