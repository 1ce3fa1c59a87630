"""A topic as failure destination: one message per document, without its payload. AWS: semantics 5.9-1, 5.9-3."""

from __future__ import annotations

from typing import Final

from pollers.aws.arn import Arn
from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed, Kind
from pollers.destinations.documents import without_payload
from pollers.errors import ConfigurationError, Problem, Undelivered
from pollers.spi import Failure

__all__ = ["SnsDestination"]

LARGEST: Final = 262_144  # bytes. AWS: of a message


class SnsDestination:
    """Publishes documents to a standard topic, named by its ARN. `clients` are shared and not closed."""

    def __init__(self, topic: str, *, clients: Clients | None = None) -> None:
        """Raises ConfigurationError for what is no topic's ARN, and for a FIFO topic."""
        self.name = topic
        self._clients = clients or Clients()
        self._owned = clients is None
        self._client = self._clients.get("sns", _region(topic))

    async def open(self) -> None:
        """See that the topic exists. Raises SourceError. Whether it may be written to shows with a document."""
        try:
            await self._client.call("GetTopicAttributes", TopicArn=self.name)
        except CallFailed as failure:
            if failure.kind is not Kind.DENIED:  # who may only publish sees no more of a topic
                raise failure.about(self.name) from failure.__cause__

    async def deliver(self, failure: Failure) -> None:
        """Return once SNS has the document. Raises Undelivered."""
        document = without_payload(failure)
        if len(document) > LARGEST:
            raise Undelivered(self.name, f"it has {len(document)} bytes, and a message of SNS at most {LARGEST}")
        try:
            await self._client.call("Publish", TopicArn=self.name, Message=document.decode())
        except CallFailed as error:
            raise Undelivered(self.name, str(error).rstrip(".")) from error

    async def close(self) -> None:
        if self._owned:
            await self._clients.close()


def _region(topic: str) -> str:
    try:
        arn = Arn.parse(topic)
    except ValueError as error:
        raise ConfigurationError([Problem("destination", f"{error}.")]) from None
    if arn.service != "sns" or not arn.region:
        message = f"{topic} is not the ARN of a topic."
        raise ConfigurationError([Problem("destination", message, "Write it as arn:aws:sns:region:account:name.")])
    if arn.resource.endswith(".fifo"):  # AWS: 1.2
        message = f"{topic} is a FIFO topic, which cannot be a failure destination."
        raise ConfigurationError([Problem("destination", message, "Name a standard topic.")])
    return arn.region
