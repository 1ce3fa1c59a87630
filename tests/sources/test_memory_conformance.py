from __future__ import annotations

from typing import Any

import pytest

from pollers.sources.memory import MemoryLog, MemoryLogSource, MemoryQueue, MemoryQueueSource
from pollers.spi import Source
from pollers.testing.conformance import CHECKS, Check
from pollers.testing.loop import virtual_time


class LogStage:
    def __init__(self, **options: Any) -> None:
        self.log = MemoryLog(partitions=3)
        self.options = options

    def source(self) -> Source:
        return MemoryLogSource(self.log, **self.options)

    async def put(self, text: str, key: str) -> None:
        self.log.put(text, key=key)


class QueueStage:
    def __init__(self, *, fifo: bool) -> None:
        self.queue = MemoryQueue(fifo=fifo)

    def source(self) -> Source:
        return MemoryQueueSource(self.queue)

    async def put(self, text: str, key: str) -> None:
        self.queue.put(text, group=key)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("options", [{}, {"parallelization_factor": 3}, {"lanes": "key"}, {"page": 2}], ids=str)
@virtual_time
async def test_a_log_in_memory_is_a_source(options: dict[str, Any], check: Check) -> None:
    await check(LogStage(**options))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
@virtual_time
async def test_a_queue_in_memory_is_a_source(fifo: bool, check: Check) -> None:
    await check(QueueStage(fifo=fifo))
