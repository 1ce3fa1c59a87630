"""The Kafka source keeps what every source must, on a real broker."""

from __future__ import annotations

import asyncio
import time
from itertools import product
from typing import Any

from aiokafka import AIOKafkaProducer
from kafka_broker import KafkaBroker

from pollers.kafka.connection import KafkaConnection
from pollers.sources.kafka.source import KafkaSource
from pollers.spi import Source
from pollers.testing.conformance import CHECKS


class TopicStage:
    def __init__(self, topic: str, servers: str, producer: AIOKafkaProducer, **options: Any) -> None:
        self.topic = topic
        self.servers = servers
        self.producer = producer
        self.options = options

    def source(self) -> Source:
        return KafkaSource(self.topic, KafkaConnection((self.servers,)), group=self.topic, **self.options)

    async def put(self, text: str, key: str) -> None:
        await self.producer.send_and_wait(self.topic, text.encode(), key=key.encode())


async def test_a_topic_is_a_source(kafka_broker: KafkaBroker) -> None:
    """All checks side by side, with all kinds of lanes: what they wait for is the cluster's time."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka_broker.servers)
    await producer.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            for check, lanes in product(CHECKS, ("partition", "key", "none")):
                topic = f"{check.__name__}-{lanes}-{time.time_ns()}"
                await kafka_broker.create_topic(topic, partitions=3)
                tasks.create_task(check(TopicStage(topic, kafka_broker.servers, producer, lanes=lanes)))
    finally:
        await producer.stop()
