"""What the benchmarks of Kafka share: a broker in a process of its own, full topics, the loops to compare with."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer
from streams import Nothing

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.kafka.connection import KafkaConnection
from pollers.sources.kafka.client import KafkaConsumer
from pollers.sources.kafka.source import KafkaSource

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
from kafka_broker import KafkaBroker, free_ports

__all__ = ["KafkaBroker", "bare", "broker", "fill", "group", "lacks", "ours"]

_numbers = itertools.count()


def lacks() -> str:
    """Why there is no broker here; "" where there can be one."""
    missing = [name for name in ("java", "mvn", "openssl") if shutil.which(name) is None]
    return f"a real broker needs {' and '.join(missing)}, and the benchmark is left out" if missing else ""


@asynccontextmanager
async def broker() -> AsyncIterator[KafkaBroker]:
    """A real one, which takes a core of its own."""
    with tempfile.TemporaryDirectory(prefix="pollers-bench-") as folder:
        running = KafkaBroker(Path(folder), free_ports(KafkaBroker.PORTS))
        try:
            await asyncio.to_thread(running.start)
            yield running
        finally:
            await asyncio.to_thread(running.stop)


async def fill(broker: KafkaBroker, records: int, nbytes: int, *, partitions: int, keys: int = 0) -> str:
    """A topic with so many records; returns its name."""
    name = f"bench-{next(_numbers)}"
    await broker.create_topic(name, partitions)
    await asyncio.to_thread(_produce, broker.servers, name, records, nbytes, partitions, keys)
    return name


def _produce(servers: str, topic: str, records: int, nbytes: int, partitions: int, keys: int) -> None:
    from confluent_kafka import Producer

    producer, value = Producer({"bootstrap.servers": servers, "linger.ms": 20}), b"x" * nbytes
    for number in range(records):
        key = b"key-%d" % (number % keys) if keys else None
        while True:
            try:
                producer.produce(topic, value, key, partition=number % partitions)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()


def group() -> str:
    return f"group-{next(_numbers)}-{time.time_ns()}"


async def bare(servers: str, topic: str, records: int) -> float:
    """What a user would write: `getmany`, a function, a commit a second. Records per CPU second of this process."""

    async def handle(some: list[Any]) -> None:
        pass

    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=servers, group_id=group(), auto_offset_reset="earliest", enable_auto_commit=False
    )
    async with consumer:
        first = await consumer.getmany(timeout_ms=10_000, max_records=1)
        left, committed, begun = records - sum(map(len, first.values())), time.monotonic(), time.process_time()
        while left > 0:
            for some in (await consumer.getmany(timeout_ms=1_000, max_records=500)).values():
                await handle(some)
                left -= len(some)
            await asyncio.sleep(0)  # it does not give way by itself while records are there
            if time.monotonic() - committed > 1.0:
                await consumer.commit()
                committed = time.monotonic()
        await consumer.commit()
        return records / (time.process_time() - begun)


async def ours(servers: str, topic: str, records: int, *, batchwise: bool = True) -> float:
    """The same by a mapping with everything on: order, ledger, commits, deadlines, counters."""
    consumer = partial(KafkaConsumer, batchwise=batchwise)
    source = KafkaSource(topic, KafkaConnection((servers,)), group=group(), consumer=consumer)
    mapping = EventSourceMapping(source, Nothing(), batch_size=500, maximum_batching_window_in_seconds=0)
    async with Pollers([mapping]) as pollers:
        while not pollers.meters()[0].processed:
            await asyncio.sleep(0.001)
        before, begun = pollers.meters()[0].processed, time.process_time()
        while (done := pollers.meters()[0].processed) < records:
            await asyncio.sleep(0.01)
        return (done - before) / (time.process_time() - begun)
