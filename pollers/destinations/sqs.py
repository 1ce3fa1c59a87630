"""A queue as failure destination: one message per document, without its payload. AWS: semantics 5.9-1, 5.9-3."""

from __future__ import annotations

from typing import Final

from pollers.aws.arn import QueueName
from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed, Kind
from pollers.aws.queues import queue_url
from pollers.destinations.documents import without_payload
from pollers.errors import ConfigurationError, Problem, Undelivered
from pollers.spi import Failure

__all__ = ["SqsDestination"]

LARGEST: Final = 1_048_576  # bytes. AWS: of a message, unless the queue allows less


class SqsDestination:
    """Sends documents to a standard queue, named by ARN, URL or name. `clients` are shared and not closed."""

    def __init__(self, queue: str, *, clients: Clients | None = None, region: str | None = None) -> None:
        """Raises ConfigurationError for what names no queue, and for a FIFO queue."""
        self.name = queue
        self._queue = _named(queue)
        self._clients = clients or Clients()
        self._owned = clients is None
        self._client = self._clients.get("sqs", self._queue.region or region)
        self._url = ""
        self._largest = LARGEST

    async def open(self) -> None:
        """Find the queue. Raises SourceError. Whether it may be written to shows with the first document."""
        self._url = await queue_url(self._client, self._queue, self.name)
        try:
            answer = await self._client.call("GetQueueAttributes", QueueUrl=self._url, AttributeNames=["All"])
        except CallFailed as failure:
            if failure.kind is not Kind.DENIED:  # who may only send sees no more of a queue
                raise failure.about(self.name) from failure.__cause__
        else:
            largest = answer.get("Attributes", {}).get("MaximumMessageSize", "")
            self._largest = int(largest) if largest.isdigit() else LARGEST

    async def deliver(self, failure: Failure) -> None:
        """Return once SQS has the document. Raises Undelivered."""
        document = without_payload(failure)
        if len(document) > self._largest:
            reason = f"it has {len(document)} bytes, and the queue takes {self._largest}; raise its MaximumMessageSize"
            raise Undelivered(self.name, reason)
        try:
            await self._client.call("SendMessage", QueueUrl=self._url, MessageBody=document.decode())
        except CallFailed as error:
            raise Undelivered(self.name, str(error).rstrip(".")) from error

    async def close(self) -> None:
        if self._owned:
            await self._clients.close()


def _named(queue: str) -> QueueName:
    try:
        named = QueueName.parse(queue)
    except ValueError as error:
        raise ConfigurationError([Problem("destination", f"{error}.")]) from None
    if named.fifo:  # AWS: 1.2
        message = f"{queue} is a FIFO queue, which cannot be a failure destination."
        raise ConfigurationError([Problem("destination", message, "Name a standard queue.")])
    return named
