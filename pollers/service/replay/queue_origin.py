"""Failure documents in a queue, one a message. Replayed ones are deleted, all others go back.

Every document is received before the first is replayed, since they are replayed in the order of their records. Each
look counts as a receive: a queue with a dead-letter queue of its own should allow a few.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from pollers.aws.arn import QueueName
from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed, Kind
from pollers.aws.queues import queue_url
from pollers.service.replay.origins import Found

__all__ = ["QueueOrigin"]

VISIBILITY: Final = 300  # seconds for which messages stay away should this process be killed
BEAT: Final = 100.0  # seconds between two extensions
_WAIT: Final = 1  # seconds of a long poll: it asks every server, so that an empty answer is an empty queue
_SKEW: Final = 60.0  # seconds that this machine's clock may be behind SQS's
_MOST: Final = 10  # messages of one call

_log = logging.getLogger(__name__)


class QueueOrigin:
    """One standard queue. A document's handle is its message's id."""

    def __init__(self, clients: Clients, queue: QueueName, name: str) -> None:
        self._poll = clients.get("sqs", queue.region, "poll")
        self._call = clients.get("sqs", queue.region)
        self._queue = queue
        self._name = name
        self._url = ""
        self._held: dict[str, dict[str, Any]] = {}  # messages by their ids

    async def look(self) -> AsyncIterator[Found]:
        """What is in the queue, until it is empty, or what is left was sent after this began."""
        self._url = await queue_url(self._call, self._queue, self._name)
        begun = time.time() + _SKEW
        while messages := await self._receive():
            for message in messages:
                known = message["MessageId"] in self._held
                self._held[message["MessageId"]] = message  # a later receive has the handle that counts
                if not known:
                    yield Found(f"message {message['MessageId']}", message["MessageId"], message["Body"].encode())
            if all(_sent(message) > begun for message in messages):
                return

    async def fetch(self, handle: str) -> bytes:
        body: str = self._held[handle]["Body"]
        return body.encode()

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            await self._hide(list(self._held), VISIBILITY)

    async def done(self, handle: str) -> None:
        """Delete the message. Raises `CallFailed`; then it comes back when its visibility timeout ends."""
        message = self._held.pop(handle)
        await self._call.call("DeleteMessage", QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])

    async def leave(self, handles: Sequence[str]) -> None:
        await self._hide(handles, 0)
        for handle in handles:
            del self._held[handle]

    async def close(self) -> None:
        await self.leave(list(self._held))

    async def _receive(self) -> list[dict[str, Any]]:
        try:
            answer = await self._poll.call(
                "ReceiveMessage",
                QueueUrl=self._url,
                MaxNumberOfMessages=_MOST,
                WaitTimeSeconds=_WAIT,
                VisibilityTimeout=VISIBILITY,
                MessageSystemAttributeNames=["SentTimestamp"],
            )
        except CallFailed as failure:
            if failure.kind is Kind.FULL:  # AWS: 120,000 are in flight; the others are for another time
                return []
            raise failure.about(self._name) from failure.__cause__
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    async def _hide(self, handles: Sequence[str], seconds: int) -> None:
        """Set the visibility timeouts. What cannot be set ends by itself, so that a failure is only told."""
        for first in range(0, len(handles), _MOST):
            held = [self._held[handle] for handle in handles[first : first + _MOST] if handle in self._held]
            if not held:  # all were deleted while earlier ones were extended
                continue
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": seconds}
                for index, message in enumerate(held)
            ]
            try:
                await self._call.call("ChangeMessageVisibilityBatch", QueueUrl=self._url, Entries=entries)
            except CallFailed as failure:
                _log.warning("%s: the visibility of %d messages was not set: %s", self._name, len(entries), failure)


def _sent(message: dict[str, Any]) -> float:
    """Seconds since the epoch; 0 where the service does not say."""
    return int(message.get("Attributes", {}).get("SentTimestamp", "0")) / 1_000
