"""Commits of several partitions in one request: those that are settled at the same moment go together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from pollers.errors import PollersError, SourceError
from pollers.sources.kafka.port import Committed

__all__ = ["Commits"]


class Commits:
    """What is due to be committed. `send` makes one request; its errors are everybody's whose partition was in it."""

    def __init__(self, send: Callable[[Mapping[int, Committed]], Awaitable[None]]) -> None:
        self._send = send
        self._due: dict[int, tuple[Committed, asyncio.Future[None]]] = {}

    async def add(self, partition: int, kept: Committed) -> None:
        """Return once it is durable. Raises what `send` raises. One call a partition at a time."""
        done = asyncio.get_running_loop().create_future()
        first = not self._due
        self._due[partition] = kept, done
        if first:
            await self._commit()
        await done

    async def _commit(self) -> None:
        """Send everything that is due by now, and tell those who wait for it."""
        due = self._due  # whoever settles until the request is made shares it
        error: PollersError | None = SourceError("the commit", "it was cut off", "It is repeated.")
        try:
            await asyncio.sleep(0)
            self._due = {}
            await self._send({number: kept for number, (kept, _) in due.items()})
            error = None
        except PollersError as failure:
            error = failure
        finally:
            if self._due is due:
                self._due = {}
            for _, done in due.values():
                _answer(done, error)


def _answer(done: asyncio.Future[None], error: PollersError | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
        done.exception()  # its settler may have been called off: then nobody asks for it
