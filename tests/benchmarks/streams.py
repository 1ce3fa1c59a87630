"""What the benchmarks of streams share: the stub, the loops that they are compared with, and the mappings."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from stream_stub import ARN, TABLE

from pollers.aws.client import Clients
from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.sources.dynamodb import DynamoDbSource
from pollers.sources.kinesis import KinesisSource
from pollers.spi import Function, Invocation, Outcome, Returned, Source
from pollers.stores.memory import MemoryStore

__all__ = ["bare", "client_alone", "dynamodb", "kinesis", "ours", "stub"]

SHARDS = 16  # read side by side
PAGE = 1_000  # records of one read
SERVICES = {"kinesis": "KINESIS", "dynamodbstreams": "DYNAMODB_STREAMS"}


class Counter:
    """Counts records, and says when it is enough."""

    def __init__(self, records: int) -> None:
        self.left = records
        self.enough = asyncio.Event()

    def count(self, records: int) -> None:
        self.left -= records
        if self.left <= 0:
            self.enough.set()


@asynccontextmanager
async def stub(nbytes: int) -> AsyncIterator[None]:
    """The stub in a process of its own, and an environment that leads to it."""
    script = Path(__file__).with_name("stream_stub.py")
    arguments = [sys.executable, str(script), str(SHARDS), str(PAGE), str(nbytes)]
    process = await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    url = f"http://127.0.0.1:{int(await process.stdout.readline())}"
    os.environ.update({f"AWS_ENDPOINT_URL_{name}": url for name in SERVICES.values()})
    os.environ.update(
        AWS_REGION="us-east-1",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="bench",
        AWS_SECRET_ACCESS_KEY="bench",
    )
    try:
        yield
    finally:
        process.stdin.close()
        await process.wait()


async def bare(service: str, records: int) -> float:
    """What a user would write: a loop for each shard. Records per CPU second of this process."""
    counter = Counter(records)

    async def handle(page: list[dict[str, Any]]) -> None:
        counter.count(len(page))

    async def loop(client: Any) -> None:
        iterator = "A" * 220
        while True:
            answer = await client.get_records(ShardIterator=iterator, Limit=PAGE)
            await handle(answer["Records"])
            iterator = answer["NextShardIterator"]

    config = AioConfig(max_pool_connections=2 * SHARDS)
    async with get_session().create_client(service, config=config) as client:
        return await _measured(counter, records, [loop(client) for _ in range(SHARDS)])


async def client_alone(service: str, records: int) -> float:
    """The same loop with our client: what there is to reach."""
    counter = Counter(records)
    async with Clients() as clients:
        client = clients.get(service, None, "read")

        async def loop() -> None:
            iterator = "A" * 220
            while True:
                answer = await client.call("GetRecords", ShardIterator=iterator, Limit=PAGE)
                counter.count(len(answer["Records"]))
                iterator = answer["NextShardIterator"]

        return await _measured(counter, records, [loop() for _ in range(SHARDS)])


async def _measured(counter: Counter, records: int, loops: list[Any]) -> float:
    begun = time.process_time()
    tasks = [asyncio.ensure_future(one) for one in loops]
    await counter.enough.wait()
    figure = records / (time.process_time() - begun)
    for one in tasks:
        one.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return figure


class Nothing:
    """A target that does nothing, and does not even look at the event."""

    function = Function("nothing", "arn:aws:lambda:us-east-1:000000000000:function:nothing")

    async def open(self) -> None:
        pass

    async def invoke(self, invocation: Invocation) -> Outcome:
        return Returned()

    async def close(self) -> None:
        pass


async def ours(source: Source, records: int) -> float:
    """The same by a mapping with everything on: order, ledger, positions, deadlines, counters."""
    mapping = EventSourceMapping(source, Nothing(), batch_size=PAGE)
    async with Pollers([mapping]) as pollers:
        begun = time.process_time()
        while (done := pollers.meters()[0].processed) < records:
            await asyncio.sleep(0.01)
        return done / (time.process_time() - begun)


def kinesis(factor: int = 1) -> Source:
    return KinesisSource(ARN, store=MemoryStore(), parallelization_factor=factor)


def dynamodb() -> Source:
    return DynamoDbSource(TABLE, store=MemoryStore())
