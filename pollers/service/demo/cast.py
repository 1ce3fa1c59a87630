"""Who plays the demo's mappings: this process, or several of which one is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from pollers.config.build import build
from pollers.config.parse import parse
from pollers.engine.supervisor import Pollers
from pollers.errors import PollersError
from pollers.service.demo.mappings import configuration
from pollers.service.demo.show import Line
from pollers.service.demo.stage import Stage
from pollers.service.demo.witness import Ledger
from pollers.service.workers import Parent
from pollers.testing.audit import Call

__all__ = ["Cast", "alone", "several"]

GRACE: Final = 10.0  # seconds to drain in
MIDDLE: Final = 0.75  # of everything is delivered when a process is killed
TAIL: Final = 20  # lines of their log that are shown when processes do not end well


class Cast(Protocol):
    """Runs the mappings while the demo writes to their sources."""

    kills: Sequence[float]  # when processes were killed
    killed: frozenset[int]  # which

    def lines(self) -> Iterable[Line]:
        """Where each mapping stands."""

    async def act(self, delivered: float) -> None:
        """Called now and then. `delivered`: how much of everything is, 0 to 1."""


# One process


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

    async def act(self, delivered: float) -> None:
        """Everything goes on by itself."""


# Several processes


@asynccontextmanager
async def several(stage: Stage, workers: int) -> AsyncIterator[Cast]:
    """All mappings in several processes of `pollers run`, of which one is killed; its parent starts it again."""
    file = stage.folder / "mappings.json"
    file.write_text(json.dumps(configuration(stage)))
    with _log(stage).open("w") as log_to:
        parent = Parent([str(file)], workers, GRACE, log_to=log_to)
        running = asyncio.create_task(parent.run())
        try:
            yield _Several(stage, parent, running)
            parent.stop()
            if await running:
                raise _ended(stage)
        finally:
            parent.kill()  # whom an error, or Ctrl-C, has left behind
            await running


class _Several:
    kills: Sequence[float] = ()
    killed: frozenset[int] = frozenset()

    def __init__(self, stage: Stage, parent: Parent, running: asyncio.Task[int]) -> None:
        self._stage = stage
        self._parent = parent
        self._running = running

    def lines(self) -> Iterable[Line]:
        calls = Ledger.read(self._stage.ledger) if self._stage.ledger.exists() else []
        for mapping in configuration(self._stage)["functions"]:
            its = [call for call in calls if call.mapping == mapping]
            yield Line(mapping, _waiting(self._stage, mapping) | self._numbers(its))

    def _numbers(self, calls: Sequence[Call]) -> dict[str, int]:
        open_ended = [call for call in calls if call.ended is None]
        return {
            "running": sum(call.process not in self.killed for call in open_ended),
            "deliveries": sum(len(call.records) for call in calls),
            "failed": sum(call.answer != "ok" for call in calls) - len(open_ended),
            "calls": len(calls),
            "processes": len({call.process for call in calls}),
        }

    async def act(self, delivered: float) -> None:
        """Kill one process, the busiest, in the middle and once all have had calls."""
        if self._running.done():
            raise _ended(self._stage)
        if self.kills or delivered < MIDDLE:
            return
        calls = Ledger.read(self._stage.ledger)
        if len({call.process for call in calls}) < self._parent.running:
            return
        busy = Counter(call.process for call in calls if call.ended is None)
        if busy:
            victim, _ = busy.most_common(1)[0]
            await self._parent.lose(victim)
            self.kills, self.killed = (time.monotonic(),), frozenset({victim})


def _waiting(stage: Stage, mapping: str) -> dict[str, int]:
    return {"waiting": stage.queues[mapping].counts().waiting if mapping in stage.queues else 0}


def _log(stage: Stage) -> Path:
    return stage.folder / "workers.log"


def _ended(stage: Stage) -> PollersError:
    last = "\n".join(_log(stage).read_text().splitlines()[-TAIL:])
    return PollersError(f"The processes of the demo did not end well. This is the end of their log:\n{last}")
