"""Runs the demo: embedded servers, seven mappings, a live table, and a verdict from what the functions wrote down."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pollers.service.demo import scenario
from pollers.service.demo.cast import alone, several
from pollers.service.demo.judge import history_of, judge
from pollers.service.demo.show import Table, show
from pollers.service.demo.stage import Stage, set_stage
from pollers.testing.audit import Report, Sent, check

__all__ = ["run_demo"]

LIMIT: Final = 60.0  # seconds after which the demo ends even if something is left
PACE: Final = 5.0  # seconds over which everything is sent
SLOWLY: Final = 10.0  # the same for processes that come up meanwhile, and of which one is killed


def run_demo(workers: int = 1) -> int:
    """Run it to its end; returns the exit code: 0 when nothing was lost, doubled or disordered."""
    with tempfile.TemporaryDirectory(prefix="pollers-demo-") as folder, set_stage(Path(folder)) as stage:
        return asyncio.run(_play(stage, workers))


async def _play(stage: Stage, workers: int) -> int:
    sent = [one for one in scenario.everything() if one.mapping != "readings" or stage.topic is not None]
    begun = time.monotonic()
    async with alone(stage) if workers == 1 else several(stage, workers) as cast:
        with Table() as table:
            producing = asyncio.create_task(_produce(stage, sent, PACE if workers == 1 else SLOWLY))
            while time.monotonic() - begun < LIMIT:
                await asyncio.sleep(0.25)
                table.update(cast.lines())
                report = check(history_of(stage, sent, cast.kills, cast.killed))
                await cast.act(report.delivered / report.sent)
                if producing.done() and await _finished(stage, report):
                    break
            await producing
    verdict = judge(stage, history_of(stage, sent, cast.kills, cast.killed))
    show(verdict, time.monotonic() - begun)
    return 0 if verdict.sound else 1


async def _produce(stage: Stage, sent: Sequence[Sent], pace: float) -> None:
    """Send every mapping's records side by side over so many seconds."""
    by_mapping: dict[str, list[Sent]] = {}
    for one in sent:
        by_mapping.setdefault(one.mapping, []).append(one)
    await asyncio.gather(*(_send_all(stage, some, pace) for some in by_mapping.values()))


async def _send_all(stage: Stage, some: Sequence[Sent], pace: float) -> None:
    for number, one in enumerate(some):
        await asyncio.to_thread(stage.send, one)
        if one.mapping == "clicks" and number == len(some) // 2:
            await asyncio.to_thread(stage.split)
        if number % 10 == 9:
            await asyncio.sleep(pace * 10 / len(some))


async def _finished(stage: Stage, report: Report) -> bool:
    """Whether the queues are empty, every record has been dealt with, and the windows are closed."""
    for queue in stage.queues.values():
        counts = await asyncio.to_thread(queue.counts)
        if counts.waiting or counts.in_flight:
            return False
    return not report.lost and sum(scenario.counted(stage.windows)) >= len(list(scenario.to_changes()))
