"""Which visible message is given out next: any of a standard queue's, the groups' first ones of a FIFO queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from pollers.testing.sqs.messages import Message, State

__all__ = ["GroupOrder", "LooseOrder", "Order", "Taken"]


class Taken(NamedTuple):
    """What `Order.take` removed. The order forgets the spent ones; the others come `back` or have `left`, later."""

    messages: list[Message]
    spent: list[Message]  # received too often


class Order(Protocol):
    """The visible messages of a queue. Knows neither time nor handles."""

    def add(self, message: Message) -> None:
        """The message is visible for the first time."""

    def back(self, message: Message) -> None:
        """A message that was taken is visible again."""

    def left(self, message: Message) -> None:
        """A message that was taken is gone for good."""

    def take(self, limit: int, spent: Callable[[Message], bool]) -> Taken:
        """At most `limit` messages, in the order to give them in."""

    def clear(self) -> None: ...


class LooseOrder:
    """Of a standard queue: first visible, first given."""

    def __init__(self) -> None:
        self._ready: deque[Message] = deque()

    def add(self, message: Message) -> None:
        self._ready.append(message)

    back = add

    def left(self, message: Message) -> None:
        """Nobody waits for it."""

    def take(self, limit: int, spent: Callable[[Message], bool]) -> Taken:
        taken = Taken([], [])
        while self._ready and len(taken.messages) < limit:
            message = self._ready.popleft()
            if message.state is State.READY:  # it may have been deleted, or have expired, where it stood
                (taken.spent if spent(message) else taken.messages).append(message)
        return taken

    def clear(self) -> None:
        self._ready.clear()


class _Group:
    """The visible messages of one message group. Whatever came back stood before everything fresh."""

    __slots__ = ("fresh", "name", "offered", "out", "returned")

    def __init__(self, name: str) -> None:
        self.name = name
        self.fresh: deque[Message] = deque()  # never taken, in the order sent
        self.returned: list[tuple[int, Message]] = []  # a heap by sequence number
        self.out = 0  # taken, and neither back nor gone: while there are any, nothing is given
        self.offered = False  # stands in the queue's line of groups

    def pop(self) -> Message | None:
        while self.returned:
            message = heappop(self.returned)[1]
            if message.state is State.READY:
                return message
        while self.fresh:
            message = self.fresh.popleft()
            if message.state is State.READY:
                return message
        return None


class GroupOrder:
    """Of a FIFO queue: groups take turns.

    A group gives as many as fit in one receive, in order, then none until all of these are back or gone.
    """

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._line: deque[_Group] = deque()  # groups that have something to give, longest waiting first

    def add(self, message: Message) -> None:
        group = self._groups.get(message.group)
        if group is None:
            group = self._groups[message.group] = _Group(message.group)
        group.fresh.append(message)
        self._offer(group)

    def back(self, message: Message) -> None:
        group = self._groups[message.group]
        group.out -= 1
        heappush(group.returned, (message.order, message))
        self._offer(group)

    def left(self, message: Message) -> None:
        group = self._groups[message.group]
        group.out -= 1
        self._offer(group)

    def take(self, limit: int, spent: Callable[[Message], bool]) -> Taken:
        taken = Taken([], [])
        while self._line and len(taken.messages) < limit:
            group = self._line.popleft()
            group.offered = False
            self._take_from(group, limit, spent, taken)
            self._offer(group)
        return taken

    def clear(self) -> None:
        self._groups.clear()
        self._line.clear()

    def _take_from(self, group: _Group, limit: int, spent: Callable[[Message], bool], taken: Taken) -> None:
        while len(taken.messages) < limit:
            message = group.pop()
            if message is None:
                return
            if spent(message):
                taken.spent.append(message)
            else:
                taken.messages.append(message)
                group.out += 1

    def _offer(self, group: _Group) -> None:
        if group.out or group.offered:
            return
        if group.fresh or group.returned:
            group.offered = True
            self._line.append(group)
        else:
            del self._groups[group.name]
