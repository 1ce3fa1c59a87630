"""Where the partitions of a topic are read from: what their group has committed, or where a group begins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias

from pollers.errors import SourceError
from pollers.flow.records import Resume
from pollers.sources.kafka.finished import decode
from pollers.sources.kafka.port import Committed, Consumer

__all__ = ["OutOfRangePolicy", "Start", "StartingPosition", "Starts"]

LOOKS, AGAIN = 10, 0.5  # at a log that ends below what was committed, and seconds between them

StartingPosition: TypeAlias = Literal["TRIM_HORIZON", "LATEST"] | datetime
OutOfRangePolicy: TypeAlias = Literal["earliest", "latest", "stop"]


class Start(NamedTuple):
    """Where one partition goes on."""

    offset: int  # to read from
    resume: Resume
    gap: str = ""  # a sentence about records that are missing


@dataclass(frozen=True, slots=True)
class Starts:
    """How a group begins and goes on."""

    topic: str
    group: str
    position: StartingPosition
    out_of_range: OutOfRangePolicy

    async def of(self, consumer: Consumer, partitions: Sequence[int]) -> dict[int, Start] | None:
        """Where each of an assignment's partitions goes on; None while another member is to say where the group begins.

        Raises `SourceError`, and `LostGrant` when they are others' by now.
        """
        committed = await consumer.committed(partitions)
        oldest = await consumer.beginning(partitions)
        newest = await self._newest(consumer, partitions, committed)
        new = [number for number in partitions if number not in committed]
        first = await self._first(consumer, new, oldest, partitions) if new else {}
        if first is None:
            return None
        starts = {number: Start(first[number], Resume()) for number in new}
        for number, kept in committed.items():
            if oldest[number] <= kept.offset <= newest[number]:
                above = decode(kept.offset, kept.metadata)
                starts[number] = Start(kept.offset, Resume((kept.offset - 1, 0) if kept.offset else None, above))
            else:
                starts[number] = self.out(number, kept.offset, oldest[number], newest[number])
        return starts

    async def _newest(
        self, consumer: Consumer, partitions: Sequence[int], committed: Mapping[int, Committed]
    ) -> dict[int, int]:
        """Where each ends. A leader that has just been elected may not know yet how far its log is: it is asked again.

        Otherwise an offset that was committed would be taken for one that was never there, and all be read again.
        """
        newest = await consumer.end(partitions)
        for _ in range(LOOKS):
            if all(kept.offset <= newest[number] for number, kept in committed.items()):
                break
            await asyncio.sleep(AGAIN)
            newest = await consumer.end(partitions)
        return newest

    async def _first(
        self, consumer: Consumer, partitions: Sequence[int], oldest: Mapping[int, int], assigned: Sequence[int]
    ) -> dict[int, int] | None:
        """Where a group begins that has committed nothing of these. AWS: 8-8; ours: 12-24."""
        if self.position == "TRIM_HORIZON":
            return {number: oldest[number] for number in partitions}
        if isinstance(self.position, datetime):
            moment = self.position if self.position.tzinfo else self.position.replace(tzinfo=UTC)
            starts = await consumer.at(partitions, moment.timestamp())
        else:
            everything = await consumer.partitions()
            if begun := await consumer.committed(everything):
                # The group has begun, at this very moment perhaps; what it still knows nothing of was added since.
                return {one: begun[one].offset if one in begun else oldest[one] for one in partitions}
            # The first commit is of all partitions: it tells a new group from a partition that was added. It is one
            # member's alone, and the others wait for it: a later one would move back, or forth, what they have read.
            if min(everything, default=-1) not in assigned:
                return None
            starts = await consumer.end(everything)
        # So that a restart before the first record skips nothing.
        await consumer.commit({number: Committed(offset, "") for number, offset in starts.items()})
        return starts

    def out(self, number: int, offset: int, oldest: int, newest: int) -> Start:
        """Where to go on from an offset that the log does not have (12-21). Raises `SourceError` to stop there."""
        name = f"{self.topic}-{number}"
        which = "was deleted" if offset < oldest else "was never there, so the topic may have been made anew"
        if self.out_of_range == "stop":
            reason = f"offset {offset}, which group {self.group} goes on at, {which}"
            remedy = 'Set the group\'s offsets, or pollers = { out_of_range = "earliest" }.'
            raise SourceError(name, reason, remedy, missing=True)
        to = oldest if self.out_of_range == "earliest" else newest
        gap = f"offset {offset}, where reading was to go on, {which}; it goes on at {to}, the {self.out_of_range}"
        return Start(to, Resume((to - 1, 0) if to else None), gap)
