"""Every check finds the flaw it is there for: sources that are wrong in one way each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from pollers.errors import LostGrant
from pollers.sources.memory import MemoryLog, MemoryLogSource, MemoryQueue, MemoryQueueSource
from pollers.spi import Change, Grant, Page, Partition, Progress, Source
from pollers.testing.conformance import check_source
from pollers.testing.loop import virtual_time


class ClosesOnce(MemoryLogSource):
    async def close(self) -> None:
        assert not self._changes._closed, "closed already"
        await super().close()


class GrantsTwice(MemoryLogSource):
    async def changes(self) -> AsyncIterator[Change]:
        async for change in super().changes():
            yield change
            yield change


class GrantsNothing(MemoryLogSource):
    async def open(self) -> None:
        self._wanted.clear()


class Shuffles(MemoryLogSource):
    async def read(self, grant: Grant, limit: int) -> Page:
        page = await super().read(grant, limit)
        page.records = page.records[::-1]
        return page


class Repeats(MemoryLogSource):
    async def read(self, grant: Grant, limit: int) -> Page:
        page = await super().read(grant, limit)
        page.records = [*page.records, page.records[-1]]
        return page


class IgnoresLimit(MemoryLogSource):
    async def read(self, grant: Grant, limit: int) -> Page:
        return await super().read(grant, 1_000)


class BelittlesPages(MemoryLogSource):
    async def read(self, grant: Grant, limit: int) -> Page:
        page = await super().read(grant, limit)
        page.nbytes //= 4
        return page


class ForgetsPositions(MemoryLogSource):
    async def settle(self, grant: Grant, progress: Progress) -> None:
        await super().settle(grant, Progress())


class ResumesOneEarly(MemoryLogSource):
    def _grant(self, partition: Partition) -> None:
        super()._grant(partition)
        self._next = {grant: max(0, index - 1) for grant, index in self._next.items()}


class MisplacesWhatIsAbove(MemoryLogSource):
    async def settle(self, grant: Grant, progress: Progress) -> None:
        above = tuple((first, (last[0] + 1, 0)) for first, last in progress.above)
        await super().settle(grant, replace(progress, above=above))


class SettlesOnce(MemoryLogSource):
    settled: tuple[Progress, ...] = ()

    async def settle(self, grant: Grant, progress: Progress) -> None:
        if progress in self.settled:
            raise LostGrant("settled already")
        self.settled += (progress,)
        await super().settle(grant, progress)


class SwallowsWhenCalledOff(MemoryQueueSource):
    async def read(self, grant: Grant, limit: int) -> Page:
        page = await super().read(grant, limit)
        await asyncio.sleep(0)  # the way back from a service: called off here, the page is nobody's
        return page


class BeginsWithTheFirstGeneration(MemoryLogSource):
    def _grant(self, partition: Partition) -> None:
        self._bookmark(partition)._generation = 0
        super()._grant(partition)


class KeepsWhatWasNotStarted(MemoryQueueSource):
    async def settle(self, grant: Grant, progress: Progress) -> None:
        await super().settle(grant, replace(progress, unstarted=()))


class Regrants(MemoryLogSource):
    heard = 0

    async def changes(self) -> AsyncIterator[Change]:
        self.heard += 1
        if self.heard > 1:
            self._wanted.popitem()
        async for change in super().changes():
            yield change


class Stage:
    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.place: Any = MemoryQueue() if issubclass(kind, MemoryQueueSource) else MemoryLog(partitions=2)

    def source(self) -> Source:
        source: Source = self.kind(self.place)
        return source

    async def put(self, text: str, key: str) -> None:
        if isinstance(self.place, MemoryQueue):
            self.place.put(text)
        else:
            self.place.put(text, key=key)


@pytest.mark.parametrize(
    ("flawed", "sentence"),
    [
        (ClosesOnce, "closed already"),
        (GrantsTwice, "granted once"),
        (GrantsNothing, "Nothing was granted"),
        (Shuffles, "out of order|position"),
        (Repeats, "there were"),
        (IgnoresLimit, "at most `limit`"),
        (BelittlesPages, "bytes and takes"),
        (ForgetsPositions, "there were 1"),
        (ResumesOneEarly, "there were 1"),
        (MisplacesWhatIsAbove, "is finished"),
        (BeginsWithTheFirstGeneration, "Generations were"),
        (KeepsWhatWasNotStarted, "there were 6"),
        (Regrants, "were released"),
    ],
)
@virtual_time
async def test_a_flaw_is_found(flawed: type[Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        await check_source(lambda: Stage(flawed))


@virtual_time
async def test_a_settle_that_raises_when_repeated_is_found() -> None:
    with pytest.raises(LostGrant, match="settled already"):
        await check_source(lambda: Stage(SettlesOnce))


@virtual_time
async def test_a_read_that_swallows_what_it_received_is_found() -> None:
    with pytest.raises(AssertionError, match="records came within"):
        await check_source(lambda: Stage(SwallowsWhenCalledOff))


@pytest.mark.parametrize("sound", [MemoryLogSource, MemoryQueueSource])
@virtual_time
async def test_sound_sources_pass(sound: type[Any]) -> None:
    await check_source(lambda: Stage(sound))
