"""Writes to topics: as little of a producer as a failure destination needs, by aiokafka.

Not an idempotent one: a delivery that is tried again is a new one to the cluster all the same, such a producer waits
without end where this one says what is wrong, and it wants a right that AWS's own does not ask for
(kafka-cluster:WriteDataIdempotently).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from pollers.errors import SourceError
from pollers.kafka.connection import KafkaConnection, client_settings
from pollers.kafka.reasons import obstacle

__all__ = ["KafkaProducer", "Message", "Producer"]

Message = tuple[bytes | None, bytes]  # key and value

PATIENCE: Final = 10.0  # seconds for one request, and after which a message that no broker took is given up
PAUSE: Final = 1.0  # seconds before the client tries again by itself, which it logs each time
LARGEST: Final = 2**30  # bytes of a message: what the topic takes is the broker's to say


class Producer(Protocol):
    """Writes to the topics of one cluster."""

    async def start(self) -> None:
        """Connect. Raises `SourceError`."""

    async def topics(self) -> Collection[str]:
        """Those that this user may see. Raises `SourceError`."""

    async def send(self, topic: str, messages: Iterable[Message]) -> None:
        """Return once every replica in sync has all of them. Raises `SourceError`; then some may be there."""

    async def stop(self) -> None:
        """Let go. May be called twice, and without `start`."""


class KafkaProducer:
    """A `Producer` by aiokafka."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._producer: Any = None

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(
            **client_settings(self._connection),
            client_id="pollers",
            acks="all",
            # The record is in there as base64: compressed, it takes hardly more room than it did in its own topic.
            compression_type="gzip",
            max_request_size=LARGEST,
            request_timeout_ms=int(PATIENCE * 1_000),
            retry_backoff_ms=int(PAUSE * 1_000),
        )
        try:
            await self._producer.start()
        except KafkaError as error:
            await self.stop()
            raise await self._unusable(error) from error

    async def topics(self) -> Collection[str]:
        try:
            cluster = await self._producer.client.fetch_all_metadata()
        except KafkaError as error:
            raise await self._unusable(error) from error
        known: Collection[str] = cluster.topics()
        return known

    async def send(self, topic: str, messages: Iterable[Message]) -> None:
        sent: list[asyncio.Future[Any]] = []
        try:
            for key, value in messages:
                sent.append(await self._producer.send(topic, value, key=key))
            await asyncio.gather(*sent)
        except KafkaError as error:
            raise await self._unusable(error, topic) from error
        finally:
            for one in sent:  # nobody waits for the others any more
                one.cancel()

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _unusable(self, error: KafkaError, topic: str = "") -> SourceError:
        """What went wrong, where, and what to do about it."""
        match error:
            case MessageSizeTooLargeError():
                remedy = "Raise its max.message.bytes."
                return SourceError(f"topic {topic}", "the message is larger than it takes", remedy)
            case NotEnoughReplicasError():
                return SourceError(f"topic {topic}", "too few of its replicas are in sync", "See to the brokers.")
            case TopicAuthorizationFailedError():
                remedy = "Grant it Write and Describe."
                return SourceError(f"topic {topic}", "the user may not write to it", remedy, missing=True)
            case UnknownTopicOrPartitionError():
                # The client says so, too, when it could not ask.
                gone = SourceError(f"topic {topic}", "the cluster has no such topic", "Create it.", missing=True)
                return await obstacle(self._connection) or gone
            case _:
                where = f"topic {topic}" if topic else ", ".join(self._connection.servers)
                other = SourceError(where, f"{type(error).__name__}: {error}", "It is tried again.")
                return await obstacle(self._connection) or other
