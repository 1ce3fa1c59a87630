"""The Kinesis source on real servers: 1 to 4 to 2 shards under load, nothing lost, order per key kept."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from kinesis_client import Bench, KinesisServer, bench_on

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.sources.kinesis import KinesisSource
from pollers.stores.sqlite import SqliteStore
from pollers.testing.audit import Call, History, Sent, check


class Seen:
    """A function that fails now and then and writes down what it saw."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.done: set[str] = set()
        self._number = 0

    async def handle(self, event: dict[str, Any], context: object) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        names = tuple(base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"])
        await asyncio.sleep(0.01)
        self._number += 1
        failed = self._number % 20 == 0
        self.calls.append(Call("stream", names, begun, loop.time(), "error" if failed else "ok"))
        if failed:
            raise ValueError("one in twenty")
        self.done.update(names)


async def produce(bench: Bench, sent: list[Sent], count: int) -> None:
    for _ in range(count):
        name, key = f"record-{len(sent)}", f"key-{len(sent) % 17}"
        await bench.put(name, key)
        sent.append(Sent("stream", name, key))


async def reshard(bench: Bench, sent: list[Sent]) -> None:
    """1 to 4 to 2."""
    await produce(bench, sent, 40)
    for _ in range(2):
        for shard in await bench.open_shards():
            await bench.split(shard)
            await produce(bench, sent, 20)
    shards = await bench.open_shards()
    for left, right in zip(shards[::2], shards[1::2], strict=True):
        await bench.merge(left, right)
        await produce(bench, sent, 20)


async def test_resharding_under_load_loses_and_disorders_nothing(
    kinesis_server: KinesisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL_KINESIS": kinesis_server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    seen, sent = Seen(), []
    store = SqliteStore(tmp_path / "state.db")
    async with bench_on(kinesis_server.url) as bench:
        await bench.create()
        source = KinesisSource(bench.name, store=store, parallelization_factor=2, idle_poll=0.2)
        mapping = EventSourceMapping(source, seen.handle, name="stream", batch_size=10)
        async with Pollers([mapping]):
            await reshard(bench, sent)
            async with asyncio.timeout(60):
                while len(seen.done) < len(sent):
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1)
    await store.close()
    report = check(History(sent, seen.calls, logs=frozenset({"stream"})))
    assert report.sound, report
