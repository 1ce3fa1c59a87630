"""The Kafka source keeps what every source must, on the embedded cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pollers.kafka.connection import KafkaConnection
from pollers.sources.kafka.source import KafkaSource
from pollers.spi import Source
from pollers.testing.conformance import CHECKS
from pollers.testing.kafka import EmbeddedKafka, EmbeddedTopic


class TopicStage:
    def __init__(self, topic: EmbeddedTopic, **options: Any) -> None:
        self.topic = topic
        self.options = options

    def source(self) -> Source:
        connection = KafkaConnection((self.topic.servers,))
        return KafkaSource(self.topic.name, connection, group=self.topic.name, **self.options)

    async def put(self, text: str, key: str) -> None:
        await asyncio.to_thread(self.topic.put, text, key)


@pytest.mark.parametrize("lanes", ["key"])
async def test_a_topic_is_a_source(lanes: str, pollers_kafka: EmbeddedKafka) -> None:
    """All checks side by side: what they wait for is the cluster's time."""
    async with asyncio.TaskGroup() as tasks:
        for check in CHECKS:
            topic = pollers_kafka.create_topic(check.__name__, partitions=3)
            tasks.create_task(check(TopicStage(topic, lanes=lanes)))
