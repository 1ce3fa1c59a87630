"""Makes one grant's progress durable: one settle at a time, another at once when more has come, errors tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pollers.errors import LostGrant
from pollers.flow.flow import Flow
from pollers.flow.records import Grant
from pollers.spi import Source

__all__ = ["Consequences", "Settler"]

FIRST, CAP = 0.2, 10.0  # seconds between settles that raise


@dataclass(frozen=True, slots=True)
class Consequences:
    """Whom a settler tells what came of it; one for all grants of a run."""

    troubled: Callable[[str, Exception, float], None]  # operation, error, seconds until it is tried again
    lost: Callable[[Grant], None]
    finished: Callable[[Grant], Awaitable[None]]


class Settler:
    """The settling of one grant. It has a task only while there is something to settle: most grants are quiet."""

    __slots__ = ("_flow", "_grant", "_source", "_task", "_tasks", "_tell")

    def __init__(self, source: Source, flow: Flow, grant: Grant, tasks: asyncio.TaskGroup, tell: Consequences) -> None:
        self._source = source
        self._flow = flow
        self._grant = grant
        self._tasks = tasks
        self._tell = tell
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
                self._tell.lost(self._grant)
                return
            except Exception as error:  # whatever the source raises: the same progress is settled again
                tries += 1
                delay = min(FIRST * 2.0 ** min(tries - 1, 30), CAP)
                self._tell.troubled("settle", error, delay)
                await asyncio.sleep(delay)
            else:
                tries = 0
                self._flow.settled(self._grant, progress)
                if progress.finished:
                    await self._tell.finished(self._grant)
                    return
