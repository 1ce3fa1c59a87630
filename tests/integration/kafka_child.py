"""One of the processes that `test_kafka_rebalances` starts and kills: a member of a group, with key lanes."""

from __future__ import annotations

import asyncio
import base64
import random
import signal
import sys
from pathlib import Path
from typing import Any

from pollers import EventSourceMapping, Pollers
from pollers.kafka.connection import KafkaConnection
from pollers.service.demo.witness import Ledger, witnessed
from pollers.sources.kafka.source import KafkaSource


def name_of(record: dict[str, Any]) -> str:
    return base64.b64decode(record["value"]).decode()


async def work(event: dict[str, Any], context: Any) -> None:
    """Takes a moment; one batch in ten fails."""
    await asyncio.sleep(random.random() * 0.05)
    if random.random() < 0.1:
        raise ValueError("one in ten")


async def main(servers: str, topic: str, ledger: str, lanes: str) -> None:
    handle = witnessed(Ledger(Path(ledger)), "topic", name_of, work)
    source = KafkaSource(topic, KafkaConnection((servers,)), group=topic, lanes=lanes)  # type: ignore[arg-type]
    mapping = EventSourceMapping(
        source, handle, name="topic", batch_size=10, maximum_batching_window_in_seconds=0, timeout=5.0
    )
    async with Pollers([mapping], concurrency=50) as pollers:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pollers.stop)
        print("started", flush=True)
        await pollers.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
