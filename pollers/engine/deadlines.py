"""One sweeper for every deadline of a process: arming costs a dict entry, no timer and no task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto

__all__ = ["Call", "Deadlines", "End"]


class End(Enum):
    """Why a call was cut short."""

    EXPIRED = auto()  # its deadline passed
    ABORTED = auto()  # the drain's deadline passed


class Call:
    """One invocation under way, awaited by `task`."""

    __slots__ = ("deadline", "end", "late", "name", "task")

    def __init__(
        self, name: str, task: asyncio.Task[None], deadline: float, late: Callable[[str, float], None]
    ) -> None:
        self.name = name
        self.task = task
        self.deadline = deadline  # loop time
        self.late = late  # told the name and the seconds by which a call that does not end is late
        self.end: End | None = None

    def cut(self, end: End) -> None:
        """Cancel it, once."""
        if self.end is None:
            self.end = end
            self.task.cancel()


class Deadlines:
    """Calls under way. Whoever arms one disarms it, whatever happens."""

    PATIENCE = 1.0  # seconds after its cancellation at which a call that still runs is called late

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: dict[Call, None] = {}
        self._timer: asyncio.Handle | None = None
        self._sweeps_at = 0.0  # kept here: uvloop's handle does not know it for what is due within a millisecond

    def arm(self, call: Call) -> None:
        self._calls[call] = None
        if self._timer is None or call.deadline < self._sweeps_at:
            self._rearm(call.deadline)

    def disarm(self, call: Call) -> None:
        self._calls.pop(call, None)

    def close(self) -> None:
        """Forget the timer; calls are not cut."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rearm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._sweeps_at = self._loop.call_at(when, self._sweep), when

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        for call in list(self._calls):
            if call.deadline > now:
                continue
            if call.end is None:
                call.cut(End.EXPIRED)
                call.deadline += self.PATIENCE
            else:
                call.late(call.name, now - call.deadline + self.PATIENCE)
                del self._calls[call]  # reported once; it ends when it ends
        if self._calls:
            self._rearm(max(min(call.deadline for call in self._calls), now + 0.001))
