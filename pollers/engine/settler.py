"""Makes one grant's progress durable: one settle at a time, another at once when more has come, errors tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pollers.errors import LostGrant
from pollers.flow.flow import Flow
from pollers.flow.records import Grant
from pollers.spi import Source

__all__ = ["Settler"]

FIRST, CAP = 0.2, 10.0  # seconds between settles that raise


class Settler:
    """The settling of one grant. It has a task only while there is something to settle: most grants are quiet."""

    __slots__ = ("_finished", "_flow", "_grant", "_lost", "_source", "_task", "_tasks", "_troubled")

    def __init__(
        self,
        source: Source,
        flow: Flow,
        grant: Grant,
        tasks: asyncio.TaskGroup,
        *,
        troubled: Callable[[str, Exception, float], None],
        lost: Callable[[Grant], None],
        finished: Callable[[Grant], Awaitable[None]],
    ) -> None:
        self._source = source
        self._flow = flow
        self._grant = grant
        self._tasks = tasks
        self._troubled = troubled
        self._lost = lost
        self._finished = finished
        self._task: asyncio.Task[None] | None = None

    def kick(self) -> None:
        """There may be something to settle."""
        if self._task is None:
            self._task = self._tasks.create_task(self._run())

    async def flush(self) -> None:
        """Wait until everything is settled."""
        while self._flow.moved(self._grant):
            self.kick()
            if self._task is not None:
                await asyncio.wait((self._task,))

    def cancel(self) -> None:
        """Settle nothing more. The task that says so may be the one that settled the last of it."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._settle()
        finally:
            self._task = None

    async def _settle(self) -> None:
        """Settle until nothing is left, or until the grant is lost or over."""
        tries = 0
        while self._flow.moved(self._grant):
            try:
                progress = self._flow.progress(self._grant)
                await self._source.settle(self._grant, progress)
            except LostGrant:
                self._lost(self._grant)
                return
            except Exception as error:  # whatever the source raises: the same progress is settled again
                tries += 1
                delay = min(FIRST * 2.0 ** min(tries - 1, 30), CAP)
                self._troubled("settle", error, delay)
                await asyncio.sleep(delay)
            else:
                tries = 0
                self._flow.settled(self._grant, progress)
                if progress.finished:
                    await self._finished(self._grant)
                    return
