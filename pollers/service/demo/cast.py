"""Who plays the demo's mappings: this process."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from pollers.config.build import build
from pollers.config.parse import parse
from pollers.engine.supervisor import Pollers
from pollers.service.demo.mappings import configuration
from pollers.service.demo.show import Line
from pollers.service.demo.stage import Stage

__all__ = ["Cast", "alone"]

GRACE: Final = 10.0  # seconds to drain in


class Cast(Protocol):
    """Runs the mappings while the demo writes to their sources."""

    kills: Sequence[float]  # when processes were killed
    killed: frozenset[int]  # which

    def lines(self) -> Iterable[Line]:
        """Where each mapping stands."""


@asynccontextmanager
async def alone(stage: Stage) -> AsyncIterator[Cast]:
    """All mappings in this process."""
    service = build(parse(configuration(stage)))
    try:
        async with Pollers(service.mappings, ramp=None, grace=GRACE) as pollers:
            yield _Alone(stage, pollers)
            left = await pollers.drain(GRACE)
    finally:
        await service.close()
    if left:
        print(f"left at the end: {left.invocations} invocations, {left.unsettled} unsettled records", file=sys.stderr)


class _Alone:
    kills: Sequence[float] = ()
    killed: frozenset[int] = frozenset()

    def __init__(self, stage: Stage, pollers: Pollers) -> None:
        self._stage = stage
        self._pollers = pollers

    def lines(self) -> Iterable[Line]:
        for meter in self._pollers.meters():
            numbers = {
                "held": meter.inflight_records,
                "processed": meter.processed,
                "filtered": meter.filtered,
                "failed": meter.failed_records,
                "discarded": meter.dead_lettered,
                "calls": sum(meter.invocations.values()),
            }
            yield Line(meter.mapping, _waiting(self._stage, meter.mapping) | numbers)


def _waiting(stage: Stage, mapping: str) -> dict[str, int]:
    return {"waiting": stage.queues[mapping].counts().waiting if mapping in stage.queues else 0}
