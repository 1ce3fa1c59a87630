"""One queue: where each of its messages stands, and what time, receivers and handles do to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from pollers.testing.sqs.attributes import Settings
from pollers.testing.sqs.errors import fault, invalid_handle, invalid_parameter
from pollers.testing.sqs.fifo import Attempt, Memory, Original
from pollers.testing.sqs.handles import Receipt, read_handle, write_handle
from pollers.testing.sqs.limits import LONGEST_VISIBILITY, Limits
from pollers.testing.sqs.messages import Message, State
from pollers.testing.sqs.order import GroupOrder, LooseOrder, Order
from pollers.testing.sqs.schedule import Schedule

__all__ = ["Queue"]


def _visible_at(message: Message) -> float | None:
    return message.visible_at if message.state in (State.DELAYED, State.IN_FLIGHT) else None


def _sent(message: Message) -> float | None:
    return None if message.state is State.GONE else message.sent


class Queue:
    """A standard or FIFO queue without its long polls. `now` is wall time in seconds."""

    def __init__(self, id: str, name: str, arn: str, texts: dict[str, str], now: float, limits: Limits) -> None:
        self.id = id  # unique: a queue made again under the same name is another one
        self.name = name
        self.arn = arn
        self.texts = texts  # attributes as they were given
        self.settings = Settings.of(texts)
        self.tags: dict[str, str] = {}
        self.created = self.modified = now
        self.purged: float | None = None
        self.counts = [0, 0, 0, 0]  # messages by State; GONE stays 0
        self.sends: Memory[Original] = Memory()
        self.attempts: Memory[Attempt] = Memory()
        self._limits = limits
        self._messages: OrderedDict[str, Message] = OrderedDict()  # in the order they came, so mostly by age
        self._hidden: Schedule[Message] = Schedule(_visible_at)
        self._adopted: Schedule[Message] = Schedule(_sent)  # redriven ones are older than their neighbors
        self._order: Order = GroupOrder() if self.settings.fifo else LooseOrder()

    def configure(self, texts: dict[str, str], settings: Settings, now: float) -> None:
        """Take new attributes. AWS: a changed delay is retroactive in FIFO queues only."""
        self.advance(now)
        retime = settings.fifo and settings.delay != self.settings.delay
        self.texts, self.settings, self.modified = texts, settings, now
        if retime:
            for message in self._messages.values():
                if message.state is State.DELAYED:
                    message.visible_at = message.sent + settings.delay
                    self._hidden.push(message)
        self.advance(now)

    def put(self, message: Message, delay: float, now: float) -> None:
        """A new message; invisible for `delay` seconds."""
        self._messages[message.id] = message
        if delay > 0:
            message.visible_at = now + delay
            self._set(message, State.DELAYED)
            self._hidden.push(message)
        else:
            self._set(message, State.READY)
            self._order.add(message)

    def adopt(self, message: Message, origin: str, order: int, now: float) -> None:
        """A redriven message of another queue. AWS: id, body, attributes stay; in a standard queue its age, too."""
        system = {**message.system, "DeadLetterQueueSourceArn": origin}
        sent = message.sent
        if self.settings.fifo:
            sent, system["SequenceNumber"] = now, str(order)
        earlier = message.earlier + message.receives
        message = replace(message, system=system, sent=sent, order=order, receives=0, earlier=earlier)
        self.put(message, 0, now)
        self._adopted.push(message)

    def advance(self, now: float) -> None:
        """Let delays, visibility timeouts and the retention period end."""
        for message in self._hidden.due(now):
            self._show(message)
        born = now - self.settings.retention
        for message in self._adopted.due(born):
            self._remove(message)
        while self._messages:
            oldest = next(iter(self._messages.values()))
            if oldest.sent > born:
                return
            self._remove(oldest)

    def receive(
        self, limit: int, visibility: float, now: float, redrive: Callable[[Message], None] | None
    ) -> list[Message]:
        """At most `limit` messages, invisible from now on. Those received too often go to `redrive`, if given."""
        self.advance(now)
        room = self._limits.in_flight - self.counts[State.IN_FLIGHT]
        taken = self._order.take(min(limit, room), self._spent if redrive is not None else _never)
        for message in taken.spent:
            self._forget(message)
            if redrive is not None:
                redrive(message)
        for message in taken.messages:
            self._give(message, visibility, now)
        return taken.messages

    def full(self) -> bool:
        """As many messages are in flight as SQS allows."""
        return self.counts[State.IN_FLIGHT] >= self._limits.in_flight

    def repeat(self, attempt: Attempt, visibility: float, now: float) -> list[Message]:
        """Give the messages of an attempt again, under the same handles; their visibility timeout starts anew."""
        for message in attempt.messages:
            self._hide(message, visibility, now)
        return attempt.messages

    def handle(self, message: Message) -> str:
        """The newest receipt handle of the message."""
        return write_handle(self.id, message.id, message.receives)

    def delete(self, handle: str, now: float) -> None:
        """Delete by a receipt handle; one that is gone already is a success.

        Standard: an older handle than the newest deletes nothing (AWS: "the message might not be deleted"), the newest
        one works even when it has expired. FIFO: an expired handle is refused.
        """
        self.advance(now)
        message, receipt = self._look_up(handle)
        if message is None:
            return
        current = receipt.number == message.receives
        if self.settings.fifo and not (current and message.state is State.IN_FLIGHT):
            raise invalid_parameter(
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
            )
        if current:
            self._remove(message)

    def change_visibility(self, handle: str, seconds: int, now: float) -> None:
        """Show a message in flight in `seconds`; 0 is at once. AWS: 12 hours after its receive at the latest."""
        self.advance(now)
        message, receipt = self._look_up(handle)
        if message is None or receipt.number != message.receives:
            raise invalid_parameter(
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not "
                "available for visibility timeout change."
            )
        if message.state is not State.IN_FLIGHT:
            raise fault("MessageNotInflight", "The specified message isn't in flight.")
        if now + seconds > message.received + LONGEST_VISIBILITY:
            raise invalid_parameter(
                f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the "
                f"message is beyond the limit [{LONGEST_VISIBILITY} seconds]."
            )
        self._hide(message, seconds, now)

    def purge(self, now: float) -> None:
        """Forget every message, those in flight too."""
        if self.purged is not None and now < self.purged + self._limits.purge_every:
            raise fault(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {self.name} is allowed every "
                f"{self._limits.purge_every:.0f} seconds.",
            )
        self.purged = now
        for message in self._messages.values():
            message.state = State.GONE
        self.counts = [0, 0, 0, 0]
        self._messages.clear()
        self._hidden.clear()
        self._adopted.clear()
        self._order.clear()

    def bodies(self) -> list[str]:
        """Of all its messages, whatever their state, in the order they came."""
        return [message.body for message in self._messages.values()]

    def wake_at(self) -> float | None:
        """When a message becomes visible next."""
        return self._hidden.next_at()

    def _spent(self, message: Message) -> bool:
        redrive = self.settings.redrive
        return redrive is not None and message.receives >= redrive.receives

    def _give(self, message: Message, visibility: float, now: float) -> None:
        message.receives += 1
        message.received = now
        if message.receives == 1 and not message.earlier:
            message.first_received = now
        self._set(message, State.IN_FLIGHT)
        self._hide(message, visibility, now)

    def _hide(self, message: Message, seconds: float, now: float) -> None:
        message.visible_at = now + seconds
        if seconds > 0:
            self._hidden.push(message)
        else:
            self._show(message)

    def _show(self, message: Message) -> None:
        show = self._order.add if message.state is State.DELAYED else self._order.back
        self._set(message, State.READY)
        show(message)

    def _remove(self, message: Message) -> None:
        was_out = message.state is State.IN_FLIGHT
        self._forget(message)
        if was_out:
            self._order.left(message)

    def _forget(self, message: Message) -> None:
        self._set(message, State.GONE)
        del self._messages[message.id]

    def _set(self, message: Message, state: State) -> None:
        if message.state is not State.GONE:
            self.counts[message.state] -= 1
        if state is not State.GONE:
            self.counts[state] += 1
        message.state = state

    def _look_up(self, handle: str) -> tuple[Message | None, Receipt]:
        receipt = read_handle(handle)
        if receipt.queue != self.id:
            raise invalid_handle(handle)
        return self._messages.get(receipt.message), receipt


def _never(message: Message) -> bool:
    return False
