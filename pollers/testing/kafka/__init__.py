"""Kafka for tests and the demo: librdkafka's mock cluster, from the wheel of confluent-kafka."""

from __future__ import annotations

from pollers.testing.kafka.mock import REMEDY, KafkaNotInstalled

try:
    from pollers.testing.kafka.cluster import EmbeddedKafka, EmbeddedTopic
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "aiokafka":
        raise
    raise KafkaNotInstalled(f"The embedded Kafka needs aiokafka. {REMEDY}") from None

__all__ = ["EmbeddedKafka", "EmbeddedTopic", "KafkaNotInstalled"]
