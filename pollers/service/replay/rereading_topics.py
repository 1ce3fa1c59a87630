"""Records of a topic once more, from one offset to another, outside of any consumer group."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from pollers.errors import SourceError
from pollers.flow.records import Partition, Raw
from pollers.kafka.connection import KafkaConnection, client_settings
from pollers.kafka.reasons import obstacle
from pollers.service.replay.rereading import Gone

__all__ = ["records_between"]

PATIENCE: Final = 60.0  # seconds for the records of one document


async def records_between(connection: KafkaConnection, partition: Partition, first: int, last: int) -> list[Raw]:
    """All records of a partition from `first` to `last`, both included. Raises `Gone`, and `SourceError`."""
    consumer = AIOKafkaConsumer(
        **client_settings(connection),
        client_id="pollers",
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
    )
    topic, _, number = partition.rpartition("-")
    try:
        async with asyncio.timeout(PATIENCE):
            await consumer.start()
            return await _read(consumer, TopicPartition(topic, int(number)), first, last)
    except KafkaError as error:
        other = SourceError(partition, f"{type(error).__name__}: {error}", "Try again.")
        raise await obstacle(connection) or other from error
    except TimeoutError as error:
        raise SourceError(partition, f"it was not read within {PATIENCE:g} s", "Try again.") from error
    finally:
        await consumer.stop()


async def _read(consumer: Any, where: TopicPartition, first: int, last: int) -> list[Raw]:
    if where.topic not in await consumer.topics():
        raise Gone("the cluster has no such topic")
    consumer.assign([where])
    oldest = (await consumer.beginning_offsets([where]))[where]
    end = (await consumer.end_offsets([where]))[where]
    if first < oldest:
        raise Gone(f"the oldest record left there has offset {oldest}")
    if last >= end:
        raise Gone(f"the newest record there has offset {end - 1}")
    consumer.seek(where, first)
    found: list[Raw] = []
    while await consumer.position(where) <= last:
        for some in (await consumer.getmany(where, timeout_ms=500)).values():
            found += [raw for raw in some if raw.offset <= last]
    if not found or found[0].offset != first:
        raise Gone("the record that it begins with was removed")  # compaction
    return found
