"""The queues of one account in one region, and what concerns several: names, URLs, redrive, long polls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from urllib.parse import urlsplit

from pollers.testing.service import Answer
from pollers.testing.sqs.attributes import Settings, complete, differing, refused
from pollers.testing.sqs.errors import NAMESPACE, fault, missing_parameter, no_such_queue
from pollers.testing.sqs.fifo import Attempt
from pollers.testing.sqs.limits import Limits, check_queue_name
from pollers.testing.sqs.messages import Message, view
from pollers.testing.sqs.polls import LongPolls, Wish
from pollers.testing.sqs.queue import Queue
from pollers.testing.trouble import Trouble

__all__ = ["Account"]

_FIRST_SEQUENCE = 18_849_496_460_467_696_128  # AWS: 20 digits, ascending in each group


class Account:
    """Owns the queues. `ids` returns a new UUID on each call."""

    def __init__(self, region: str, number: str, ids: Callable[[], str], limits: Limits) -> None:
        self.region = region
        self.number = number  # the account's, twelve digits
        self.ids = ids
        self.limits = limits
        self.endpoint = f"https://sqs.{region}.amazonaws.com"
        self.trouble = Trouble(NAMESPACE)
        self.polls = LongPolls(self.take)
        self._queues: dict[str, Queue] = {}  # by name
        self._deleted: dict[str, float] = {}  # name to the time of DeleteQueue
        self._sequences = count(_FIRST_SEQUENCE, 256)

    def queues(self) -> Iterable[Queue]:
        return self._queues.values()

    def named(self, name: str) -> Queue:
        """Raises QueueDoesNotExist."""
        queue = self._queues.get(name)
        if queue is None:
            raise no_such_queue()
        return queue

    def at(self, url: object) -> Queue:
        """The queue of a request's QueueUrl: a URL, or its last part. Its long polls are looked at after the call."""
        if not isinstance(url, str) or not url:
            raise missing_parameter("QueueUrl")
        parts = urlsplit(url).path.strip("/").split("/")
        if len(parts) > 1 and parts[-2] != self.number:
            raise no_such_queue()
        queue = self.named(parts[-1])
        self.polls.touch(queue)
        return queue

    def url(self, queue: Queue) -> str:
        return f"{self.endpoint}/{self.number}/{queue.name}"

    def arn(self, name: str) -> str:
        return f"arn:aws:sqs:{self.region}:{self.number}:{name}"

    def create(self, name: str, given: Mapping[str, str], tags: Mapping[str, str], now: float) -> Queue:
        """A new queue, or the existing one when nothing given differs from it."""
        existing = self._queues.get(name)
        if existing is not None:
            other = differing(given, existing.texts)
            if other is not None:
                message = f"A queue already exists with the same name and a different value for attribute {other}"
                raise fault("QueueNameExists", message)
            return existing
        texts = complete(given, None)
        check_queue_name(name, fifo="FifoQueue" in texts)
        self._check_redrive(Settings.of(texts), texts, self.arn(name))
        if name in self._deleted and now < self._deleted[name] + self.limits.recreate_after:
            raise fault(
                "QueueDeletedRecently",
                f"You must wait {self.limits.recreate_after:.0f} seconds after deleting a queue before you can create "
                "another with the same name.",
            )
        queue = Queue(self.ids(), name, self.arn(name), texts, now, self.limits)
        queue.tags.update(tags)
        self._queues[name] = queue
        return queue

    def configure(self, queue: Queue, given: Mapping[str, str], now: float) -> None:
        texts = complete(given, queue.texts)
        settings = Settings.of(texts)
        if "RedrivePolicy" in given:
            self._check_redrive(settings, texts, queue.arn)
        queue.configure(texts, settings, now)

    def remove(self, queue: Queue, now: float) -> None:
        """Delete the queue; whoever waits on it learns that it does not exist."""
        del self._queues[queue.name]
        self._deleted[queue.name] = now
        self.polls.end(queue, no_such_queue())

    def next_sequence(self) -> int:
        return next(self._sequences)

    def take(self, queue: Queue, wish: Wish, now: float) -> Answer | None:
        """Receive from the queue; None when it has nothing to give."""
        queue.advance(now)
        messages = self._repeated(queue, wish, now)
        if not messages:
            messages = queue.receive(wish.limit, wish.visibility, now, self._redrive(queue, now))
        if not messages:
            return None
        if wish.attempt is not None:
            queue.attempts.keep(wish.attempt, Attempt(messages), now)
        return {"Messages": [view(message, queue.handle(message), wish.selection) for message in messages]}

    def _repeated(self, queue: Queue, wish: Wish, now: float) -> list[Message]:
        attempt = queue.attempts.find(wish.attempt, now) if wish.attempt is not None else None
        if attempt is None or not attempt.repeatable():
            return []
        return queue.repeat(attempt, wish.visibility, now)

    def _redrive(self, queue: Queue, now: float) -> Callable[[Message], None] | None:
        """How spent messages leave the queue; None where they stay: no policy, or no such dead-letter queue."""
        redrive = queue.settings.redrive
        target = self._by_arn(redrive.target) if redrive is not None else None
        if target is None:
            return None

        def move(message: Message) -> None:
            target.adopt(message, queue.arn, self.next_sequence(), now)
            self.polls.touch(target)

        return move

    def _by_arn(self, arn: str) -> Queue | None:
        queue = self._queues.get(arn.rpartition(":")[2])
        return queue if queue is not None and queue.arn == arn else None

    def _check_redrive(self, settings: Settings, texts: Mapping[str, str], source: str) -> None:
        if settings.redrive is None:
            return
        text = texts["RedrivePolicy"]
        target = self._by_arn(settings.redrive.target)
        if target is None:
            raise refused("RedrivePolicy", text, "Dead letter target does not exist.")
        if target.settings.fifo is not settings.fifo:
            raise refused("RedrivePolicy", text, "Dead-letter queue must be same type of queue as the source.")
        if target.settings.allow is not None and not target.settings.allow.admits(source):
            raise refused(
                "RedrivePolicy", text, "The dead-letter queue's RedriveAllowPolicy does not allow this queue."
            )
