"""One of the processes that `test_worker_kill` kills: a mapping over a stream that it shares with others."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path
from typing import Any

from pollers import DynamoDbSource, DynamoDbStore, EventSourceMapping, KinesisSource, Pollers, SqliteStore
from pollers.service.demo.scenario import name_of_change, name_of_record
from pollers.service.demo.witness import Ledger, witnessed


async def work(event: dict[str, Any], context: Any) -> None:
    """Takes a moment; one batch in ten fails."""
    await asyncio.sleep(random.random() * 0.05)
    if random.random() < 0.1:
        raise ValueError("one in ten")


async def main(arn: str, ledger: str, positions: str, lease: str) -> None:
    _, dynamodb, table = positions.partition("dynamodb://")
    store: Any = DynamoDbStore(table, lease=float(lease)) if dynamodb else SqliteStore(positions, lease=float(lease))
    if ":dynamodb:" in arn:
        source: Any = DynamoDbSource(arn, store=store, parallelization_factor=3, idle_poll=0.2)
        handle = witnessed(Ledger(Path(ledger)), "stream", name_of_change, work)
    else:
        source = KinesisSource(arn, store=store, parallelization_factor=3, idle_poll=0.2)
        handle = witnessed(Ledger(Path(ledger)), "stream", name_of_record, work)
    async with Pollers([EventSourceMapping(source, handle, name="stream", batch_size=10, timeout=3.0)]) as pollers:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pollers.stop)
        print("started", flush=True)
        await pollers.run()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
