"""Sees that a member gets on, as a client may look alive and read nothing.

It asks the cluster, not the client, whether there is something to be read; and it knows how long assigning may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from pollers.errors import SourceError
from pollers.sources.kafka.port import Consumer

__all__ = ["LOOK", "STALL", "Watch"]

STALL: Final = 60.0  # seconds with records in the log, a reader waiting and nothing read, before that is said
LOOK: Final = 10.0  # seconds between two looks for that


class Watch:
    """One member of a group. Told what happens to it, it raises `SourceError` for what does not."""

    def __init__(self, group: str, topic: str, rebalance: float) -> None:
        """`rebalance`: seconds that the group gives its members for giving partitions up."""
        self._group = group
        self._topic = topic
        self._rebalance = rebalance
        self._joining_since: float | None = None  # loop time since which the group is to assign partitions
        self._behind_since: dict[int, float] = {}  # loop time of the look that saw records nobody has read since

    def joining(self) -> None:
        """The group is to assign partitions."""
        self._joining_since = asyncio.get_running_loop().time()
        self._behind_since.clear()

    def joined(self) -> None:
        """It has, perhaps none."""
        self._joining_since = None

    def read(self, partition: int) -> None:
        """Something of it was read."""
        self._behind_since.pop(partition, None)

    async def run(self, consumer: Consumer, waiting: Callable[[], Collection[int]]) -> None:
        """Look now and then. `waiting`: the partitions that somebody wants more of at that moment."""
        while True:
            await asyncio.sleep(LOOK)
            consumer.check()
            now = asyncio.get_running_loop().time()
            if self._joining_since is not None and now - self._joining_since > self._rebalance + STALL:
                seconds = now - self._joining_since
                raise self._stalled(f"it has assigned no partitions for {seconds:.0f} s")
            await self._look(consumer, frozenset(waiting()), now)

    async def _look(self, consumer: Consumer, waiting: Collection[int], now: float) -> None:
        for number in self._behind_since.keys() - waiting:
            del self._behind_since[number]  # nobody wants more of it
        if not waiting:
            return
        try:
            ends = await consumer.end(waiting)
        except SourceError:
            return  # what keeps the cluster from answering is said by whoever reads
        for number in waiting:
            position = consumer.position(number)
            if position is None or position >= ends[number]:
                self._behind_since.pop(number, None)
            elif now - self._behind_since.setdefault(number, now) > STALL:
                raise self._stalled(f"{self._topic}-{number} has records that nothing was read of for {STALL:g} s")

    def _stalled(self, reason: str) -> SourceError:
        return SourceError(f"consumer group {self._group}", reason, "The client is made anew.")
