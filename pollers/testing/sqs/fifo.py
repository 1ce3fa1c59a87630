"""What a FIFO queue remembers for five minutes: deduplication ids of sends, attempt ids of receives."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from pollers.testing.sqs.limits import DEDUPLICATION_INTERVAL
from pollers.testing.sqs.messages import Message, State

__all__ = ["Attempt", "Memory", "Original"]

V = TypeVar("V")


class Memory(Generic[V]):
    """Values by key, forgotten DEDUPLICATION_INTERVAL seconds after they were kept. A key kept again is new."""

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[float, V]] = {}
        self._ends: deque[tuple[float, Hashable]] = deque()

    def find(self, key: Hashable, now: float) -> V | None:
        self._forget(now)
        found = self._values.get(key)
        return found[1] if found is not None else None

    def keep(self, key: Hashable, value: V, now: float) -> None:
        self._forget(now)
        until = now + DEDUPLICATION_INTERVAL
        self._values[key] = until, value
        self._ends.append((until, key))

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            until, key = self._ends.popleft()
            if key in self._values and self._values[key][0] == until:
                del self._values[key]


class Original(NamedTuple):
    """The message that duplicates are answered with."""

    id: str
    order: int  # sequence number


class Attempt:
    """The messages that one ReceiveRequestAttemptId brought."""

    __slots__ = ("_given", "messages")

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self._given = [(message.receives, message.visible_at) for message in messages]

    def repeatable(self) -> bool:
        """True while none of them was deleted, became visible or had its visibility changed."""
        return all(
            message.state is State.IN_FLIGHT and (message.receives, message.visible_at) == given
            for message, given in zip(self.messages, self._given, strict=True)
        )
