"""Which of a queue's visible messages come next: the oldest, or the oldest of each message group."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Protocol

from pollers.sources.memory.messages import Message

__all__ = ["GroupOrder", "LooseOrder", "Order"]


class Order(Protocol):
    """The visible messages of a queue."""

    def add(self, message: Message) -> None:
        """It is visible, for the first time or again."""

    def take(self, limit: int) -> list[Message]:
        """At most `limit` messages, which are out from now on."""

    def left(self, message: Message) -> None:
        """It is out no longer: gone, or about to be added again."""


class LooseOrder:
    """Every message by itself, the oldest first."""

    def __init__(self) -> None:
        self._visible: list[tuple[int, Message]] = []  # a heap

    def add(self, message: Message) -> None:
        heapq.heappush(self._visible, (message.number, message))

    def take(self, limit: int) -> list[Message]:
        taken: list[Message] = []
        while self._visible and len(taken) < limit:
            _, message = heapq.heappop(self._visible)
            if not message.gone:
                taken.append(message)
        return taken

    def left(self, message: Message) -> None:
        """Nothing waits for it."""


class GroupOrder:
    """By message group: while messages of a group are out, the rest of it waits. AWS: 4-2, 4-10."""

    def __init__(self) -> None:
        self._visible: dict[str, list[tuple[int, Message]]] = {}  # by group, heaps that are never empty
        self._out: Counter[str] = Counter()
        self._open: dict[str, None] = {}  # groups with visible messages and none out, longest first

    def add(self, message: Message) -> None:
        group = _group(message)
        heapq.heappush(self._visible.setdefault(group, []), (message.number, message))
        self._look(group)

    def take(self, limit: int) -> list[Message]:
        taken: list[Message] = []
        while self._open and len(taken) < limit:
            group = next(iter(self._open))
            del self._open[group]
            visible = self._visible[group]
            while visible and len(taken) < limit:
                taken.append(heapq.heappop(visible)[1])
                self._out[group] += 1
            if not visible:
                del self._visible[group]
        return taken

    def left(self, message: Message) -> None:
        group = _group(message)
        self._out[group] -= 1
        if not self._out[group]:
            del self._out[group]
            self._look(group)

    def _look(self, group: str) -> None:
        if group in self._visible and group not in self._out:
            self._open[group] = None


def _group(message: Message) -> str:
    assert message.group is not None, "a FIFO queue takes no message without a group"
    return message.group
