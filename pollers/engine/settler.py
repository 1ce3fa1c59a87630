"""Makes one grant's progress durable: one settle at a time, another at once when more has come, errors tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pollers.errors import LostGrant
from pollers.flow.flow import Flow
from pollers.flow.records import Grant
from pollers.spi import Source

__all__ = ["Settler"]

FIRST, CAP = 0.2, 10.0  # seconds between settles that raise


class Settler:
    """The settling of one grant."""

    def __init__(
        self,
        source: Source,
        flow: Flow,
        grant: Grant,
        troubled: Callable[[str, Exception, float], None],
        lost: Callable[[Grant], None],
    ) -> None:
        self._source = source
        self._flow = flow
        self._grant = grant
        self._troubled = troubled
        self._lost = lost
        self._more = asyncio.Event()
        self._clean = asyncio.Event()

    def kick(self) -> None:
        """There may be something to settle."""
        self._clean.clear()
        self._more.set()

    async def flush(self) -> None:
        """Wait until everything is settled. Only while `run` runs."""
        self.kick()
        await self._clean.wait()

    async def run(self) -> None:
        """Settle whatever comes, until cancelled or until the grant is lost."""
        tries = 0
        while True:
            await self._more.wait()
            self._more.clear()
            if self._grant not in self._flow.changed():
                self._clean.set()
                continue
            try:
                progress = self._flow.progress(self._grant)
                await self._source.settle(self._grant, progress)
            except LostGrant:
                self._lost(self._grant)
                self._clean.set()
                return
            except Exception as error:  # whatever the source raises: the same progress is settled again
                tries += 1
                delay = min(FIRST * 2.0 ** min(tries - 1, 30), CAP)
                self._troubled("settle", error, delay)
                await asyncio.sleep(delay)
            else:
                tries = 0
                self._flow.settled(self._grant, progress)
            self._more.set()  # what came meanwhile, at once
