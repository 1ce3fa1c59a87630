"""One grant while it is ours: its readers, its settler, its heartbeat, and whether it is on its way out."""

from __future__ import annotations

import asyncio

from pollers.engine.settler import Settler
from pollers.flow.flow import Flow
from pollers.flow.records import Grant

__all__ = ["Tenure"]


class Tenure:
    """What the engine keeps of one grant."""

    def __init__(self, grant: Grant, settler: Settler) -> None:
        self.grant = grant
        self.settler = settler
        self.readers = 0  # reader tasks
        self.asked = 0  # records asked for by reads under way
        self.failures = 0  # reads in a row that raised
        self.reads: dict[asyncio.Task[None], None] = {}  # readers that are inside `Source.read`
        self._waits: set[asyncio.Future[None]] = set()  # readers that wait for room, a permit or a pause
        self.ending = False
        self.idle = asyncio.Event()  # while ending: nothing of it is read, invoked or delivered any more
        self.over = asyncio.Event()  # it has been settled and released, as far as that was possible
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, task: asyncio.Task[None]) -> None:
        """A task that ends with the tenure."""
        self._tasks = [one for one in self._tasks if not one.done()]
        self._tasks.append(task)

    async def pause(self, seconds: float) -> None:
        """Sleep, or until the tenure ends."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _resolve, future)
        try:
            await self.wait(future)
        finally:
            timer.cancel()

    async def wait(self, future: asyncio.Future[None]) -> None:
        """Until `future` is done, or until the tenure ends."""
        if self.ending:
            return
        self._waits.add(future)
        try:
            await future
        finally:
            self._waits.discard(future)

    def stop_reading(self) -> None:
        """No new read; those under way are called off, and hand back what they brought."""
        self.ending = True
        for future in self._waits:
            _resolve(future)
        for task in list(self.reads):
            task.cancel()

    def look(self, flow: Flow) -> None:
        """Notice that nothing is under way any more."""
        if self.ending and not self.readers and flow.idle(self.grant):
            self.idle.set()

    def cancel(self) -> None:
        """End what is left of it."""
        for task in self._tasks:
            task.cancel()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
