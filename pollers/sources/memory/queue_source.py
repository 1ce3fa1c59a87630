"""Reads a queue in memory as SQS is read."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from pollers.errors import LostGrant
from pollers.flow.records import Delivery, Grant, Page, Partition, Progress, Raw, Shape
from pollers.sources.memory.announcements import Announcements
from pollers.sources.memory.messages import Message
from pollers.sources.memory.queue import MemoryQueue
from pollers.sources.sqs_shape import SqsShape
from pollers.spi import Change, Granted, Lapsed

__all__ = ["MemoryQueueSource"]

PAGE = 10  # messages of one read at most. AWS: of one ReceiveMessage


class MemoryQueueSource:
    """Reads a `MemoryQueue` as SQS is read. Any number of sources read one queue."""

    name = "sqs"

    def __init__(self, queue: MemoryQueue) -> None:
        self.queue = queue
        self.arn = queue.arn
        self.warnings: Sequence[str] = ()
        self.ours_until = math.inf
        self._requests: Counter[tuple[str, str]] = Counter()
        self.requests: Mapping[tuple[str, str], int] = self._requests
        self._visibility = queue.visibility_timeout  # seconds, in force
        self.delivery = _delivery(queue.fifo, self._visibility)
        self._shape = SqsShape(queue.arn, "memory", fifo=queue.fifo, window=0.0)
        self.shape: Shape = self._shape
        self._generation = 0
        self._grant: Grant | None = None
        self._held: dict[str, tuple[Raw, Message]] = {}  # read and not settled, by receipt handle
        self._changes = Announcements()

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        """AWS: a window may need more visibility than the queue gives (3.2-5); it also shows in the event (2.1-4)."""
        if window > 0 and window + timeout > self.queue.visibility_timeout:
            self._visibility = window + timeout + 30.0
        elif timeout > self.queue.visibility_timeout:
            self.warnings = (
                f"{self.queue.name} hides a message for {self.queue.visibility_timeout:g} s and the function may take "
                f"{timeout:g} s. It is kept hidden meanwhile; give the queue six times the function's timeout.",
            )
        self.delivery = replace(self.delivery, beat=self._visibility / 3)
        self._shape = SqsShape(self.arn, "memory", fifo=self.queue.fifo, window=window)
        self.shape = self._shape

    async def open(self) -> None:
        """A queue in memory can always be read."""

    async def changes(self) -> AsyncIterator[Change]:
        """The queue, as one partition; later what lapsed."""
        changes = self._changes.begin()
        self._generation += 1
        self._grant = Grant(Partition(self.queue.name), self._generation)
        self._changes.tell(Granted(self._grant))
        while (change := await changes.get()) is not None:
            yield change

    def stop(self) -> None:
        """No partitions come by themselves."""

    async def read(self, grant: Grant, limit: int) -> Page:
        """The next visible messages, at most `limit` and ten; waits for one."""
        self._check(grant)
        while not (messages := self.queue.receive(min(limit, self.delivery.page), self._visibility)):
            await self.queue.changed()
            self._check(grant)
        self._requests["ReceiveMessage", "ok"] += 1
        records = [message.wire() for message in messages]
        for raw, message in zip(records, messages, strict=True):
            self._held[raw["ReceiptHandle"]] = raw, message
        return Page(records, nbytes=self._shape.size_of(records))

    async def settle(self, grant: Grant, progress: Progress) -> None:
        """Delete what is done; what failed reappears one visibility timeout after its receive; the rest at once."""
        now = asyncio.get_running_loop().time()
        for raw in progress.done:
            if (message := self._let_go(raw)) is not None:
                self._count("DeleteMessage", self.queue.delete(message, raw["ReceiptHandle"]))
        for raw in progress.failed:
            if (message := self._let_go(raw)) is not None:
                self._hide(raw, message, message.received + self._visibility)
        for raw in progress.unstarted:
            if (message := self._let_go(raw)) is not None:
                # Ours (13-4): given back at once, unless that would send it to the dead-letter queue unread.
                spent = self.queue.spent(message)
                self._hide(raw, message, message.received + self._visibility if spent else now)

    async def keep(self, grant: Grant) -> None:
        """Hide everything that is held for another visibility timeout; tell what is no longer ours."""
        until = asyncio.get_running_loop().time() + self._visibility
        lapsed = [raw for raw, message in list(self._held.values()) if not self._hide(raw, message, until)]
        self._lapse(lapsed)

    async def release(self, grant: Grant) -> None:
        """Forget what is held: it reappears when its visibility timeout ends."""
        if grant is self._grant:
            self._grant = None
            self._held.clear()
            self.queue.wake()

    async def close(self) -> None:
        """Forget everything."""
        if self._grant is not None:
            await self.release(self._grant)
        self._changes.close()

    # For tests of what a network or a pause may do

    def expire(self, message_id: str) -> None:
        """Let the visibility timeout of a held message end now: it is the queue's again, and `Lapsed` is told."""
        for raw, message in list(self._held.values()):
            if message.id == message_id:
                self._hide(raw, message, 0.0)
                self._lapse([raw])
                return
        raise ValueError(f"{message_id} is not held. It was never read, or is settled already.")

    def _check(self, grant: Grant) -> None:
        if grant is not self._grant:
            raise LostGrant(f"{self.queue.name} was given up. Read nothing more under this grant.")

    def _let_go(self, raw: Raw) -> Message | None:
        """The message of a record that is held; None when it was settled before."""
        return self._held.pop(raw["ReceiptHandle"], (None, None))[1]

    def _hide(self, raw: Raw, message: Message, until: float) -> bool:
        ok = self.queue.hide(message, raw["ReceiptHandle"], until)
        self._count("ChangeMessageVisibility", ok)
        return ok

    def _count(self, operation: str, ok: bool) -> None:
        self._requests[operation, "ok" if ok else "error"] += 1

    def _lapse(self, records: Sequence[Raw]) -> None:
        for raw in records:
            self._held.pop(raw["ReceiptHandle"], None)
        if records and self._grant is not None:
            self._changes.tell(Lapsed(self._grant, records))


def _delivery(fifo: bool, visibility: float) -> Delivery:
    """SQS's rows of the table of sources."""
    return Delivery(
        lane="group" if fifo else "none",
        slots=None,
        mixed=True,
        spans=False,
        redelivers=True,
        readers=None,
        page=PAGE,
        beat=visibility / 3,
        ramps=not fifo,
    )
