"""Reads the grants of a paced source in turn: one heap of due times, a bounded set of workers, no task per grant.

Ten thousand quiet shards cost ten thousand entries in a heap. A worker is a task that lives while something is due;
one that finds more due than itself calls another, up to the bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from itertools import count

from pollers.engine.tenure import Tenure

__all__ = ["WORKERS", "Rounds"]

WORKERS = 128  # reads at once of one mapping: 10,000 shards once a second, 12 ms each


class Rounds:
    """Whose turn to be read it is, and who reads. `tasks` is the group that the workers belong to."""

    def __init__(
        self, tasks: asyncio.TaskGroup, read: Callable[[Tenure, asyncio.Task[None]], Awaitable[float | None]]
    ) -> None:
        """`read` reads a grant once, in the task given, and says in how many seconds again; None: not by itself."""
        self._tasks = tasks
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Tenure]] = []
        self._numbers = count()  # first come, first served among equals
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0  # kept here: uvloop's handle does not know it for what is due within a millisecond
        self._workers = 0
        self._closed = False

    def add(self, tenure: Tenure, pause: float = 0.0) -> None:
        """Read it in `pause` seconds, and then as often as `read` says. It must not stand in line already."""
        heappush(self._heap, (self._loop.time() + pause, next(self._numbers), tenure))
        self._look()

    def close(self) -> None:
        """Begin no more reads."""
        self._closed = True
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """See to it that somebody reads what is due, and that somebody looks when the next will be."""
        if self._closed or not self._heap or self._workers >= WORKERS:
            return  # a worker that ends looks again
        due = self._heap[0][0]
        if due <= self._loop.time():
            self._workers += 1
            self._tasks.create_task(self._work())
        elif self._timer is None or self._rings_at > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._rings_at = self._loop.call_at(due, self._ring), due

    def _ring(self) -> None:
        self._timer = None
        self._look()

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while (tenure := self._next()) is not None:
                self._look()
                pause = await self._read(tenure, task)
                if pause is not None and not tenure.ending and not self._closed:
                    heappush(self._heap, (self._loop.time() + pause, next(self._numbers), tenure))
        finally:
            self._workers -= 1
        self._look()

    def _next(self) -> Tenure | None:
        """Who is due and waits longest."""
        heap = self._heap
        while heap and heap[0][0] <= self._loop.time():
            tenure = heappop(heap)[2]
            if not tenure.ending:
                return tenure
        return None
