"""Kafka in this process: topics, records and faults, for tests and the demo, without a client's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from pollers.errors import PollersError
from pollers.testing.kafka.coordinator import APIS as COORDINATED
from pollers.testing.kafka.coordinator import Coordinator
from pollers.testing.kafka.front import HOST, Front
from pollers.testing.kafka.mock import MockCluster

__all__ = ["EmbeddedKafka", "EmbeddedTopic"]

PATIENCE: Final = 30.0  # seconds for one record, or one answer
APIS: Final = {
    "Produce": 0,
    "Fetch": 1,
    "ListOffsets": 2,
    "Metadata": 3,
    "OffsetCommit": 8,
    "OffsetFetch": 9,
    "FindCoordinator": 10,
    "JoinGroup": 11,
    "Heartbeat": 12,
    "LeaveGroup": 13,
    "SyncGroup": 14,
}


class EmbeddedKafka:
    """A cluster on 127.0.0.1 from entering to leaving: `with EmbeddedKafka() as kafka:`. For any thread.

    It is librdkafka's mock: no transactions, no administration, no look-up by time (a mapping that starts at a moment
    finds the end), and about 5 MB kept of each partition. Raises `KafkaNotInstalled` without confluent-kafka.
    """

    def __init__(self, brokers: int = 1) -> None:
        self._mock = MockCluster(brokers)
        self._front = _Fronted(self._mock.servers)
        self.servers = ""  # host:port, comma-separated; known once entered
        self._producer: Any = None

    def __enter__(self) -> Self:
        from confluent_kafka import Producer

        self.servers = self._front.start()
        # Straight to the mock: what a test lets its consumers suffer on the way is not the producer's.
        settings = {"bootstrap.servers": self._mock.servers, "linger.ms": 0, "log_level": 0}
        self._producer = Producer({**settings, "message.timeout.ms": int(PATIENCE * 1_000)})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer = None
        self._front.close()
        self._mock.close()

    def create_topic(self, name: str, partitions: int = 1) -> EmbeddedTopic:
        """A new topic. Raises `PollersError` where it is there already."""
        self._mock.create_topic(name, partitions)
        return EmbeddedTopic(self, name, partitions)

    def put(
        self,
        topic: str,
        value: str | bytes | None,
        key: str | bytes | None = None,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> tuple[int, int]:
        """Write a record, None is a tombstone; returns its partition and its offset once the cluster has it.

        Without `partition` its key decides. Raises `PollersError`.
        """
        written: list[Any] = []
        where = {} if partition is None else {"partition": partition}
        tell = {"on_delivery": lambda error, message: written.append((error, message))}
        self._producer.produce(topic, value=value, key=key, headers=list(headers), **where, **tell)
        self._producer.flush(PATIENCE)
        if not written or written[0][0] is not None:
            reason = written[0][0].str() if written else f"no answer within {PATIENCE:g} s"
            raise PollersError(f"A record of {topic} was not written: {reason}.")
        message = written[0][1]
        return message.partition(), message.offset()

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """By partition: the offset at which a group goes on. Those of which it has committed nothing are left out."""
        from confluent_kafka import Consumer, TopicPartition

        settings = {"bootstrap.servers": self._mock.servers, "group.id": group, "log_level": 0}
        consumer = Consumer(settings)
        try:
            known = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
            kept = consumer.committed([TopicPartition(topic, number) for number in known], timeout=PATIENCE)
        finally:
            consumer.close()
        return {one.partition: one.offset for one in kept if one.offset >= 0}

    # Faults

    def fail(self, api: str, *errors: str) -> None:
        """Answer the next requests of one API with these errors, in their order, whoever asks.

        Names are Kafka's: `fail("Fetch", "NOT_LEADER_FOR_PARTITION")`; "_TRANSPORT" cuts the connection.
        """
        from confluent_kafka import KafkaError

        codes = [getattr(KafkaError, error) for error in errors]
        if APIS[api] in COORDINATED:
            self._front.call(lambda coordinator: coordinator.fail(APIS[api], codes))
        else:
            self._mock.fail(APIS[api], codes)

    def down(self, broker: int | None = None) -> None:
        """Take a broker, or all, from the net: connections are cut, and none is taken. They keep what they have."""
        self._mock.down(*_one(broker))

    def up(self, broker: int | None = None) -> None:
        """Bring a broker back, or all."""
        self._mock.up(*_one(broker))

    def lead(self, topic: str, partition: int, broker: int) -> None:
        """Have another broker lead a partition; they are counted from 1."""
        self._mock.lead(topic, partition, broker)

    def coordinate(self, group: str, broker: int) -> None:
        """Have another broker coordinate a group."""
        self._mock.coordinate(group, broker)
        self._front.call(lambda coordinator: coordinator.move(group, broker))


def _one(broker: int | None) -> tuple[int, ...]:
    return () if broker is None else (broker,)


class EmbeddedTopic:
    """A handle on one topic of an embedded Kafka."""

    def __init__(self, kafka: EmbeddedKafka, name: str, partitions: int) -> None:
        self.kafka = kafka
        self.name = name
        self.partitions = partitions
        self.servers = kafka.servers

    def put(
        self,
        value: str | bytes | None,
        key: str | bytes | None = None,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> tuple[int, int]:
        """As `EmbeddedKafka.put`."""
        return self.kafka.put(self.name, value, key, partition=partition, headers=headers)

    def committed(self, group: str) -> dict[int, int]:
        """As `EmbeddedKafka.committed`."""
        return self.kafka.committed(group, self.name)


class _Fronted:
    """The front of a cluster, in a thread of its own."""

    def __init__(self, servers: str) -> None:
        self._front = Front(int(server.rpartition(":")[2]) for server in servers.split(","))
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="embedded-kafka", daemon=True)

    def start(self) -> str:
        """Returns its addresses."""
        self._thread.start()
        self._started.wait()
        return self._servers

    def call(self, action: Callable[[Coordinator], None]) -> None:
        """Have something done to the groups."""
        self._loop.call_soon_threadsafe(action, self._front.coordinator)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        self._servers = ",".join(f"{HOST}:{port}" for port in await self._front.start())
        self._started.set()
        await self._leave.wait()
        await self._front.close()
