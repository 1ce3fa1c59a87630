"""The process that `test_kill` kills: one mapping, whose function writes down all it sees."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

from pollers import EventSourceMapping, Pollers, SqsSource
from pollers.service.demo.scenario import name_of_message
from pollers.service.demo.witness import Ledger, witnessed


async def work(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes a moment; now and then a message of a batch fails."""
    await asyncio.sleep(random.random() * 0.05)
    failed = [record["messageId"] for record in event["Records"] if random.random() < 0.02]
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}


async def main(url: str, ledger: str) -> None:
    handle = witnessed(Ledger(Path(ledger)), "queue", name_of_message, work)
    mapping = EventSourceMapping(SqsSource(url), handle, function_response_types=["ReportBatchItemFailures"])
    async with Pollers([mapping], ramp=None, concurrency=20) as pollers:
        print("started", flush=True)
        await pollers.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
