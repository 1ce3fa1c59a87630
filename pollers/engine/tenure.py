"""One grant while it is ours: its readers, its settler, its heartbeat, and whether it is on its way out."""

from __future__ import annotations

import asyncio

from pollers.engine.settler import Settler
from pollers.flow.flow import Flow
from pollers.flow.records import Grant

__all__ = ["Tenure"]


class Tenure:
    """What the engine keeps of one grant. There may be ten thousand: what most never need is made when it is."""

    __slots__ = (
        "_idle",
        "_over",
        "_tasks",
        "_waits",
        "asked",
        "behind",
        "ending",
        "failures",
        "grant",
        "pause_after",
        "readers",
        "reads",
        "settler",
        "starved",
    )

    def __init__(self, grant: Grant, settler: Settler) -> None:
        self.grant = grant
        self.settler = settler
        self.readers = 0  # reader tasks; of a paced source, reads under way
        self.asked = 0  # records asked for by reads under way
        self.failures = 0  # reads in a row that raised
        self.pause_after = 0.0  # seconds that the last read asked for before the next
        self.behind: float | None = None  # seconds behind the newest record, by the last read that said so
        self.starved = False  # of a paced source: it is not read because it has no room
        self.reads: set[asyncio.Task[None]] | None = None  # readers that are inside `Source.read`
        self.ending = False
        self._waits: set[asyncio.Future[None]] | None = None  # readers that wait for room, a permit or a pause
        self._tasks: list[asyncio.Task[None]] | None = None
        self._idle: asyncio.Event | None = None
        self._over: asyncio.Event | None = None

    @property
    def idle(self) -> asyncio.Event:
        """While ending: nothing of it is read, invoked or delivered any more."""
        if self._idle is None:
            self._idle = asyncio.Event()
        return self._idle

    @property
    def over(self) -> asyncio.Event:
        """It has been settled and released, as far as that was possible."""
        if self._over is None:
            self._over = asyncio.Event()
        return self._over

    def add(self, task: asyncio.Task[None]) -> None:
        """A task that ends with the tenure."""
        self._tasks = [one for one in self._tasks or () if not one.done()]
        self._tasks.append(task)

    def begin_read(self, task: asyncio.Task[None], limit: int) -> None:
        """A reader is inside `Source.read` from now on."""
        if self.reads is None:
            self.reads = set()
        self.reads.add(task)
        self.asked += limit

    def end_read(self, task: asyncio.Task[None], limit: int) -> None:
        """It is outside again."""
        self.asked -= limit
        if self.reads is not None:
            self.reads.discard(task)
            if not self.reads:
                self.reads = None

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
        if self._waits is None:
            self._waits = set()
        self._waits.add(future)
        try:
            await future
        finally:
            self._waits.discard(future)

    def stop_reading(self) -> None:
        """No new read; those under way are called off, and hand back what they brought."""
        self.ending = True
        for future in self._waits or ():
            _resolve(future)
        for task in list(self.reads or ()):
            task.cancel()

    def look(self, flow: Flow) -> None:
        """Notice that nothing is under way any more."""
        if self.ending and not self.readers and flow.idle(self.grant):
            self.idle.set()

    def cancel(self) -> None:
        """End what is left of it."""
        self.settler.cancel()
        for task in self._tasks or ():
            task.cancel()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
