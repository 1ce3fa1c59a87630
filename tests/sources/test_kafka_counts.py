"""What goes wrong with a topic is counted by what failed; and where a group goes on that has committed something."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from kafka_doubles import Cluster
from prometheus_client import CollectorRegistry

from pollers.engine.supervisor import Pollers
from pollers.errors import SourceError, Undelivered
from pollers.flow.records import Failed
from pollers.observers.metrics import MeterCollector
from pollers.sources.kafka.port import Committed
from pollers.spi import Failure
from pollers.testing.functions import ScriptedFunction
from pollers.testing.loop import clock, virtual_time

FAULT = SourceError("here:9092", "no", "It is tried again.")


class RefusesOnce:
    """A failure destination that is away for its first document."""

    name = "file:///failures.jsonl"

    def __init__(self) -> None:
        self.failures: list[Failure] = []

    async def open(self) -> None: ...

    async def deliver(self, failure: Failure) -> None:
        self.failures.append(failure)
        if len(self.failures) == 1:
            raise Undelivered(self.name, "no")

    async def close(self) -> None: ...


@pytest.mark.rule("11-11")
@virtual_time
async def test_errors_are_counted_by_what_failed() -> None:
    cluster, function = Cluster(), ScriptedFunction(lambda call: Failed("ValueError", "no"))
    cluster.faults[0].append(FAULT)
    cluster.refused.append(FAULT)
    cluster.put("a")
    mapping = cluster.mapping(function, maximum_retry_attempts=1, on_failure=RefusesOnce())
    async with Pollers([mapping], clock=clock()) as pollers:
        while 0 not in cluster.committed:
            await asyncio.sleep(0.1)
        meters = pollers.meters()
    registry = CollectorRegistry()
    registry.register(MeterCollector(lambda: meters))

    def counted(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"pollers_{name}", labels)

    of_source = {"source": "kafka", "outcome": "error"}
    assert counted("source_requests_total", operation="Fetch", **of_source) == 1
    assert counted("source_requests_total", operation="OffsetCommit", **of_source) == 1
    assert counted("invocations_total", mapping="orders", outcome="failed") == 2
    assert counted("delivery_failures_total", mapping="orders") == 1


@pytest.mark.rule("8-8")
@pytest.mark.parametrize("start", ["TRIM_HORIZON", "LATEST", datetime(2026, 1, 1, tzinfo=UTC)])
@virtual_time
async def test_what_the_group_has_committed_wins_over_the_starting_position(start: Any) -> None:
    cluster, function = Cluster(), ScriptedFunction()
    cluster.put("a", "b", "c")
    cluster.committed[0] = Committed(1, "")
    async with Pollers([cluster.mapping(function, starting_position=start)], clock=clock()):
        while cluster.committed[0].offset != 3:
            await asyncio.sleep(0.1)
    assert [one["offset"] for call in function.calls for one in call.event["records"]["topic-0"]] == [1, 2]
