"""A queue of the embedded SQS as a test sees it: send, and look at what is left, without a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pollers.testing.front import EmbeddedAws
    from pollers.testing.service import Answer
    from pollers.testing.sqs.queue import Queue

__all__ = ["Counts", "EmbeddedQueue"]


class Counts(NamedTuple):
    """Messages by where they stand."""

    waiting: int
    in_flight: int
    delayed: int


class EmbeddedQueue:
    """A handle on one queue. Not for use inside the loop that serves the embedded services."""

    def __init__(self, aws: EmbeddedAws, url: str) -> None:
        self.url = url
        self.name = url.rpartition("/")[2]
        self.arn = f"arn:aws:sqs:{aws.region}:{url.split('/')[-2]}:{self.name}"
        self._aws = aws

    def send(self, body: str, **members: Any) -> str:
        """SendMessage; `members` as the API names them (MessageGroupId, DelaySeconds ...). Returns the message id."""
        answer = self._call("SendMessage", MessageBody=body, **members)
        return str(answer["MessageId"])

    def counts(self) -> Counts:
        """As they are now."""
        delayed, waiting, in_flight, _ = self._aws.run(lambda: self._now().counts)
        return Counts(waiting, in_flight, delayed)

    def bodies(self) -> list[str]:
        """The bodies of all messages in the queue, in flight or not, in the order sent. Nothing is received."""
        return self._aws.run(lambda: self._now().bodies())

    def _now(self) -> Queue:
        queue = self._aws.sqs.queue(self.name)
        queue.advance(self._aws.sqs.now())
        return queue

    def _call(self, action: str, **members: Any) -> Answer:
        answer = self._aws.run(lambda: self._aws.sqs.call(action, {"QueueUrl": self.url, **members}))
        assert isinstance(answer, dict)  # only ReceiveMessage may wait
        return answer
