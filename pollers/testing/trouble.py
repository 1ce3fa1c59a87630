"""Trouble on order and a journal of calls: what a test asks of a model besides its service."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pollers.testing.service import Dropped, Fault

__all__ = ["Call", "Journal", "Trouble"]


class Call(NamedTuple):
    """One call that reached the model."""

    action: str  # "ReceiveMessage"
    resource: str  # the queue's name; "" where the call names none
    time: float  # wall time, seconds


class Journal:
    """The latest calls, at most `capacity` of them, oldest first."""

    def __init__(self, capacity: int = 10_000) -> None:
        self.calls: deque[Call] = deque(maxlen=capacity)

    def count(self, action: str, resource: str | None = None) -> int:
        """How many of the calls kept are of this action (and resource)."""
        return sum(1 for call in self.calls if call.action == action and resource in (None, call.resource))


@dataclass(slots=True)
class _Order:
    action: str
    times: int
    resource: str | None
    error: Exception
    after: bool = False  # the call is applied first
    chosen: Callable[[dict[str, Any]], bool] | None = None  # entries of a batch; None: the whole call


@dataclass(slots=True)
class Trouble:
    """Failures that tests order in advance. Orders are used up first come, first served."""

    namespace: str  # of the faults: "com.amazonaws.sqs"
    _orders: list[_Order] = field(default_factory=list)

    def fail(
        self,
        action: str,
        times: int = 1,
        *,
        code: str = "InternalError",
        message: str = "Ordered by a test.",
        status: int = 500,
        resource: str | None = None,
        after: bool = False,
    ) -> None:
        """The next `times` calls of `action` fail; with `after` they are applied, and only the answer is lost."""
        self._orders.append(_Order(action, times, resource, self._fault(code, message, status), after))

    def drop(self, action: str, times: int = 1, *, resource: str | None = None, after: bool = False) -> None:
        """The next `times` calls end with a closed connection; with `after` they are applied first."""
        self._orders.append(_Order(action, times, resource, Dropped(), after))

    def fail_entries(
        self,
        action: str,
        times: int = 1,
        *,
        code: str = "InternalError",
        message: str = "Ordered by a test.",
        status: int = 500,
        resource: str | None = None,
        entries: Callable[[dict[str, Any]], bool] = lambda entry: True,
    ) -> None:
        """In the next `times` calls of a batch action the entries that `entries` chooses fail, unapplied."""
        self._orders.append(_Order(action, times, resource, self._fault(code, message, status), chosen=entries))

    def clear(self) -> None:
        """Forget what was ordered and has not happened."""
        self._orders.clear()

    def before(self, action: str, resource: str) -> Callable[[], None] | None:
        """Raises what is ordered for this call. Returns what to call once it is applied, if anything."""
        order = self._next(action, resource, entries=False) if self._orders else None
        if order is None:
            return None
        if not order.after:
            raise order.error
        return lambda: _raise(order.error)

    def for_entries(self, action: str, resource: str) -> Callable[[dict[str, Any]], Fault | None]:
        """What becomes of each entry of this batch call: a fault, or None."""
        order = self._next(action, resource, entries=True) if self._orders else None
        if order is None or order.chosen is None or not isinstance(order.error, Fault):
            return lambda entry: None
        chosen, fault = order.chosen, order.error
        return lambda entry: fault if chosen(entry) else None

    def _fault(self, code: str, message: str, status: int) -> Fault:
        return Fault(code, message, namespace=self.namespace, status=status, sender=status < 500)

    def _next(self, action: str, resource: str, *, entries: bool) -> _Order | None:
        for order in self._orders:
            wanted = order.action == action and order.resource in (None, resource)
            if wanted and (order.chosen is not None) is entries:
                order.times -= 1
                if order.times <= 0:
                    self._orders.remove(order)
                return order
        return None


def _raise(error: Exception) -> None:
    raise error
