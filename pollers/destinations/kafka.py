"""A topic of the source's cluster as failure destination: a message for each record. AWS: semantics 5.9-9.

A message has its record's key, so that records of one key keep their order there. A delivery that failed half-way is
repeated as a whole: a record is known by its partition and offset.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from pollers.destinations.documents import of_each_record
from pollers.errors import ConfigurationError, Problem, SourceError, Undelivered
from pollers.kafka.connection import KafkaConnection
from pollers.kafka.producer import KafkaProducer, Producer
from pollers.spi import Failure

__all__ = ["KafkaDestination"]

PATIENCE: Final = 30.0  # seconds for one document

_TOPIC: Final = re.compile(r"[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,248}")


class KafkaDestination:
    """Produces failed records, each with its document, to a topic.

    - `connection`: the source's own; a callable is asked whenever a producer is made, as secrets may change.

    Raises `ConfigurationError` for what is no topic's name.
    """

    def __init__(
        self,
        topic: str,
        connection: KafkaConnection | Callable[[], Awaitable[KafkaConnection]],
        *,
        producer: Callable[[KafkaConnection], Producer] = KafkaProducer,
    ) -> None:
        """`topic`: its name, or kafka://name. `producer`: for tests."""
        self._topic = topic.removeprefix("kafka://")
        if not _TOPIC.fullmatch(self._topic):
            raise ConfigurationError([Problem("destination", f"{topic} is not the name of a topic.")])
        self.name = f"kafka://{self._topic}"
        self._connection = connection
        self._make = producer
        self._producer: Producer | None = None
        self._turn = asyncio.Lock()  # of those who need a producer

    async def open(self) -> None:
        """See that the topic exists. Raises SourceError. Whether it may be written to shows with a document."""
        producer = await self._ready()
        if self._topic not in await producer.topics():
            remedy = "Create it, correct the name, or let this user describe it; pollers creates no topics."
            raise SourceError(self.name, "the cluster has no such topic", remedy, missing=True)

    async def deliver(self, failure: Failure) -> None:
        """Return once every replica in sync has each record. Raises Undelivered."""
        if "KafkaBatchInfo" not in failure.document:
            raise Undelivered(self.name, "a topic takes records of Kafka only")
        if failure.partition.rpartition("-")[0] == self._topic:
            raise Undelivered(self.name, "the records come from this very topic")
        messages = zip(failure.keys, of_each_record(failure), strict=True)
        try:
            async with asyncio.timeout(PATIENCE):
                await (await self._ready()).send(self._topic, messages)
        except (SourceError, TimeoutError) as error:
            await self.close()  # the next delivery begins with a new producer
            reason = str(error).rstrip(".") or f"there was no answer within {PATIENCE:g} s"
            raise Undelivered(self.name, reason) from error

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _ready(self) -> Producer:
        """A producer that is connected. Raises SourceError."""
        async with self._turn:
            if self._producer is None:
                connection = self._connection
                producer = self._make(connection if isinstance(connection, KafkaConnection) else await connection())
                await producer.start()
                self._producer = producer
            return self._producer
