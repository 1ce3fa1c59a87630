"""A queue inside the process with SQS's rules: visibility, receive counts, message groups, a dead-letter queue."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

from pollers.sources.memory.messages import Message, Recent, message_attributes
from pollers.sources.memory.order import GroupOrder, LooseOrder, Order

__all__ = ["MemoryQueue"]


class MemoryQueue:
    """Messages that are received, hidden for a while, and received again until they are deleted.

    - `fifo`: messages of a group come in order, and none while an earlier one is out. Its name ends in ".fifo".
    - `visibility_timeout`: seconds that a received message stays hidden.
    - `max_receive_count`: a message received so often goes to `dead_letter` instead of being received again.

    Call it from the thread of the loop that reads it; visibility follows that loop's time. Nothing ever expires.
    """

    def __init__(
        self,
        name: str = "queue",
        *,
        fifo: bool = False,
        visibility_timeout: float = 30.0,
        max_receive_count: int | None = None,
        dead_letter: MemoryQueue | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.fifo: bool = fifo
        if (max_receive_count is None) is not (dead_letter is None):
            raise ValueError("max_receive_count and dead_letter only mean something together.")
        if dead_letter is not None and dead_letter.fifo is not fifo:
            raise ValueError("The dead-letter queue of a FIFO queue is FIFO too, and that of a standard queue is not.")
        self.name = f"{name.removesuffix('.fifo')}.fifo" if fifo else name
        self.arn = f"arn:aws:sqs:memory:000000000000:{self.name}"
        self.visibility_timeout = visibility_timeout
        self.max_receive_count = max_receive_count
        self._dead_letter = dead_letter
        self._wall = wall  # gives sent and received timestamps
        self._messages: dict[str, Message] = {}  # every message that is not deleted, in the order put
        self._order: Order = GroupOrder() if fifo else LooseOrder()
        self._hidden: list[tuple[float, int, Message]] = []  # a heap by the time at which they may become visible
        self._recent = Recent()
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0  # kept here: uvloop's handle does not know it for what is due within a millisecond
        self._last = 0

    def put(
        self,
        body: str,
        *,
        group: str | None = None,
        attributes: Mapping[str, str | bytes | int | float] | None = None,
        deduplication_id: str | None = None,
        delay: float = 0.0,
    ) -> str:
        """Append a message and return its id; within five minutes the same `deduplication_id` appends nothing.

        A FIFO queue needs a `group` and takes no `delay`, which is seconds of the running loop's time.
        """
        self._check(group, deduplication_id, delay)
        now = self._wall()
        if deduplication_id is not None and (known := self._recent.find(deduplication_id, now)) is not None:
            return known
        number = self._next()
        id = str(uuid5(NAMESPACE_URL, f"{self.arn}/{number}"))
        system = {} if group is None else {"MessageGroupId": group}
        if self.fifo:
            system["SequenceNumber"] = f"{number:020d}"
            system["MessageDeduplicationId"] = deduplication_id or id
        if deduplication_id is not None:
            self._recent.keep(deduplication_id, id, now)
        self._add(Message(id, number, body, now, group, system, message_attributes(attributes or {})), delay)
        return id

    def bodies(self) -> list[str]:
        """The bodies of all messages that are not deleted, hidden or not, in the order put. Receives nothing."""
        return [message.body for message in self._messages.values()]

    @property
    def in_flight(self) -> int:
        """How many messages were received and are neither deleted nor visible again. Needs the running loop."""
        self._show_due(asyncio.get_running_loop().time())
        return sum(message.out for message in self._messages.values())

    def __len__(self) -> int:
        return len(self._messages)

    # For whoever receives; times are the running loop's

    def receive(self, limit: int, visibility: float) -> list[Message]:
        """At most `limit` visible messages, hidden for `visibility` seconds from now on."""
        now, wall = asyncio.get_running_loop().time(), self._wall()
        self._show_due(now)
        given: list[Message] = []
        while len(given) < limit and (taken := self._order.take(limit - len(given))):
            for message in taken:
                if self._dead_letter is not None and self.spent(message):
                    self._forget(message)
                    self._dead_letter._adopt(message, self.arn)
                else:
                    given.append(message)
        for message in given:
            message.receives += 1
            message.first_received = message.first_received or wall
            message.received = now
            message.out = True
            self._hide(message, now + visibility)
        return given

    def spent(self, message: Message) -> bool:
        """Whether the next receive would send it to the dead-letter queue."""
        return self.max_receive_count is not None and message.receives >= self.max_receive_count

    def held(self, message: Message, receipt: str) -> bool:
        """Whether the message is still out under this handle."""
        self._show_due(asyncio.get_running_loop().time())
        return message.out and message.receipt == receipt

    def delete(self, message: Message, receipt: str) -> bool:
        """Delete it; False where the handle is too old. AWS: FIFO queues also refuse one that has expired."""
        held = self.held(message, receipt)
        if message.gone:
            return True
        if not held and (self.fifo or message.receipt != receipt):
            return False
        self._forget(message)
        self.wake()
        return True

    def hide(self, message: Message, receipt: str, until: float) -> bool:
        """Let it become visible at `until`, which may have passed; False where it is not out under this handle."""
        if not self.held(message, receipt):
            return False
        if until > asyncio.get_running_loop().time():
            self._hide(message, until)
        else:
            self._show(message)
        return True

    async def changed(self) -> None:
        """Return once a message may have become visible."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        self._arm()
        try:
            await future
        finally:
            del self._waiting[future]
            if not self._waiting:
                self._disarm()

    # Inside

    def _check(self, group: str | None, deduplication_id: str | None, delay: float) -> None:
        if self.fifo and group is None:
            raise ValueError(f"{self.name} is a FIFO queue: give every message a group.")
        if self.fifo and delay:
            raise ValueError(f"{self.name} is a FIFO queue: its messages cannot be delayed one by one.")
        if deduplication_id is not None and not self.fifo:
            raise ValueError(f"{self.name} is not a FIFO queue: it knows no deduplication_id.")

    def _adopt(self, message: Message, origin: str) -> None:
        """Take a message over from another queue. AWS: its id, body and attributes stay (5.6-2)."""
        number = self._next()
        system = {**message.system, "DeadLetterQueueSourceArn": origin}
        if self.fifo:
            system["SequenceNumber"] = f"{number:020d}"
        earlier = message.earlier + message.receives
        self._add(
            replace(message, number=number, system=system, earlier=earlier, receives=0, out=False, gone=False),
            delay=0,
        )

    def _add(self, message: Message, delay: float) -> None:
        self._messages[message.id] = message
        if delay > 0:
            self._hide(message, asyncio.get_running_loop().time() + delay)
        else:
            self._order.add(message)
            self.wake()

    def _next(self) -> int:
        self._last += 1
        return self._last

    def _hide(self, message: Message, until: float) -> None:
        message.visible_at = until
        heapq.heappush(self._hidden, (until, message.number, message))
        if self._waiting:
            self._arm()

    def _show(self, message: Message) -> None:
        message.visible_at = None
        if message.out:
            message.out = False
            self._order.left(message)
        self._order.add(message)
        self.wake()

    def _show_due(self, now: float) -> None:
        while self._hidden and self._hidden[0][0] <= now:
            until, _, message = heapq.heappop(self._hidden)
            if message.visible_at == until:  # otherwise it was hidden anew, or is gone
                self._show(message)

    def _forget(self, message: Message) -> None:
        """Out of the queue, from wherever it stands."""
        del self._messages[message.id]
        message.visible_at = None
        message.out = False
        message.gone = True
        self._order.left(message)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def _arm(self) -> None:
        """One timer, for the next message that may become visible, while somebody waits."""
        if self._hidden and (self._timer is None or self._hidden[0][0] < self._rings_at):
            self._disarm()
            self._rings_at = self._hidden[0][0]
            self._timer = asyncio.get_running_loop().call_at(self._rings_at, self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self.wake()
