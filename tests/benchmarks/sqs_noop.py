"""Receive ten, invoke a function that does nothing, delete ten: against the shortest correct loop with aiobotocore.

Both go through the same stub, sixteen receives at once, with the ordinary client. The figure is messages per second
of CPU of this process, so that the stub's speed and the other processes of the machine matter little.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from measure import compare, report

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.sources.sqs import SqsSource

__all__ = ["run"]

BAR = 0.9
AT_ONCE = 16
STUB = Path(__file__).with_name("stub.py")


class Counter:
    """The function: counts, and says when it is enough."""

    def __init__(self, messages: int) -> None:
        self.left = messages
        self.enough = asyncio.Event()

    async def handle(self, event: dict[str, Any], context: object) -> None:
        self.left -= 10
        if self.left <= 0:
            self.enough.set()

    async def handle_messages(self, messages: list[dict[str, Any]]) -> None:
        self.left -= len(messages)
        if self.left <= 0:
            self.enough.set()


async def bare(url: str, messages: int) -> float:
    """What a user would write: so many loops of receive, handle, delete."""
    counter = Counter(messages)
    config = AioConfig(max_pool_connections=2 * AT_ONCE)

    async def loop(client: Any) -> None:
        while True:
            answer = await client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=20,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            received = answer.get("Messages", [])
            if not received:
                continue
            await counter.handle_messages(received)
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(received)
            ]
            await client.delete_message_batch(QueueUrl=url, Entries=entries)

    async with get_session().create_client("sqs", config=config) as client:
        begun = time.process_time()
        loops = [asyncio.ensure_future(loop(client)) for _ in range(AT_ONCE)]
        await counter.enough.wait()
        figure = messages / (time.process_time() - begun)
        for one in loops:
            one.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    return figure


async def ours(url: str, messages: int) -> float:
    """The same by a mapping with everything on: order, ledger, heartbeats, deadlines, counters."""
    counter = Counter(messages)
    mapping = EventSourceMapping(SqsSource(url), counter.handle, maximum_concurrency=AT_ONCE)
    async with Pollers([mapping], ramp=None):
        begun = time.process_time()
        await counter.enough.wait()
        return messages / (time.process_time() - begun)


async def run(*, quick: bool) -> int:
    messages, rounds = (4_000, 3) if quick else (10_000, 7)
    stub = await asyncio.create_subprocess_exec(sys.executable, str(STUB), stdin=PIPE, stdout=PIPE)
    assert stub.stdout is not None
    assert stub.stdin is not None
    port = int(await stub.stdout.readline())
    url = f"http://127.0.0.1:{port}/000000000000/bench"
    os.environ.update(
        AWS_ENDPOINT_URL_SQS=f"http://127.0.0.1:{port}",
        AWS_REGION="us-east-1",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="bench",
        AWS_SECRET_ACCESS_KEY="bench",
    )
    try:
        variants: dict[str, Callable[[], Awaitable[float]]] = {
            "bare loop": lambda: bare(url, messages),
            "pollers": lambda: ours(url, messages),
        }
        rows = await compare(variants, "bare loop", rounds, {"pollers": BAR})
    finally:
        stub.stdin.close()
        await stub.wait()
    return report("sqs_noop", "messages per CPU second", rows)
