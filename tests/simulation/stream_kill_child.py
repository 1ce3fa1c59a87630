"""The process that `test_stream_kill` kills: one mapping over a stream, whose function writes down all it sees."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path
from typing import Any

from pollers import EventSourceMapping, KinesisSource, Pollers, SqliteStore
from pollers.service.demo.scenario import name_of_record
from pollers.service.demo.witness import Ledger, witnessed


async def work(event: dict[str, Any], context: Any) -> None:
    """Takes a moment; one batch in twenty fails."""
    await asyncio.sleep(random.random() * 0.05)
    if random.random() < 0.05:
        raise ValueError("one in twenty")


async def main(arn: str, ledger: str, positions: str) -> None:
    handle = witnessed(Ledger(Path(ledger)), "stream", name_of_record, work)
    store = SqliteStore(positions)
    source = KinesisSource(arn, store=store, parallelization_factor=3, idle_poll=0.2)
    async with Pollers([EventSourceMapping(source, handle, name="stream", batch_size=10)]) as pollers:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pollers.stop)
        print("started", flush=True)
        await pollers.run()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
