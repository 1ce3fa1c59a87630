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
from pollers.testing.kinesis.aggregates import aggregate


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


@pytest.fixture
def server(kinesis_server: KinesisServer, monkeypatch: pytest.MonkeyPatch) -> KinesisServer:
    """A server that pollers finds through the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL_KINESIS": kinesis_server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    return kinesis_server


@pytest.mark.parametrize("way", ["shared", "consumer"])
async def test_resharding_under_load_loses_and_disorders_nothing(
    server: KinesisServer, tmp_path: Path, way: str
) -> None:
    if way == "consumer":
        server.wanted("consumers")
        server.wanted("pushed ends")
    seen, sent = Seen(), []
    store = SqliteStore(tmp_path / "state.db")
    async with bench_on(server.url) as bench:
        await bench.create()
        stream = bench.name if way == "shared" else await bench.consumer()
        source = KinesisSource(stream, store=store, parallelization_factor=2, idle_poll=0.2)
        mapping = EventSourceMapping(source, seen.handle, name="stream", batch_size=10)
        async with Pollers([mapping]):
            await reshard(bench, sent)
            await everything(seen, sent)
    await store.close()
    report = check(History(sent, seen.calls, logs=frozenset({"stream"})))
    assert report.sound, report


async def everything(seen: Seen, sent: list[Sent]) -> None:
    """Until the function has seen all of it, and what comes too often has come."""
    async with asyncio.timeout(60):
        while len(seen.done) < len(sent):
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)


async def test_a_consumer_that_is_stopped_and_started_again_loses_and_doubles_nothing(
    server: KinesisServer, tmp_path: Path
) -> None:
    server.wanted("consumers")
    seen, sent = Seen(), []
    store = SqliteStore(tmp_path / "state.db")
    async with bench_on(server.url) as bench:
        await bench.create(2)
        consumer = await bench.consumer()
        for _ in range(3):
            source = KinesisSource(consumer, store=store)
            async with Pollers([EventSourceMapping(source, seen.handle, name="stream", batch_size=4)]):
                await produce(bench, sent, 30)
                await pack(bench, sent, 7)
                await asyncio.sleep(1)  # a part of them is left for the next
        source = KinesisSource(consumer, store=store)
        async with Pollers([EventSourceMapping(source, seen.handle, name="stream", batch_size=4)]):
            await everything(seen, sent)
    await store.close()
    report = check(History(sent, seen.calls, logs=frozenset({"stream"})))
    assert report.sound, report
    passed = [name for call in seen.calls if call.answer == "ok" for name in call.records]
    assert len(passed) == len(set(passed)) == len(sent)


async def pack(bench: Bench, sent: list[Sent], count: int) -> None:
    """Put one record that holds so many."""
    names = [f"record-{len(sent) + number}" for number in range(count)]
    packed = aggregate(("packed", name.encode()) for name in names)
    await bench.client.put_record(StreamName=bench.name, PartitionKey="packed", Data=packed)
    sent += [Sent("stream", name, "packed") for name in names]
