"""Splits and merges under load, in virtual time: children after parents, nothing lost, order per key kept."""

from __future__ import annotations

import asyncio
import base64
import json
import random

import pytest

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.sources.kinesis import KinesisSource
from pollers.spi import Failed, Outcome, Returned
from pollers.stores.memory import MemoryStore
from pollers.testing.audit import Call, History, Sent, check
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.kinesis import KinesisModel, Stream
from pollers.testing.kinesis.aggregates import aggregate
from pollers.testing.loop import VirtualLoop, clock, run_virtual
from pollers.testing.wireless import Wireless

STEPS = 6  # doublings: 1, 2, 4, 8, 16, 32, 64


class Storm:
    """One stream, a mapping over it, and a producer; everything by one seed."""

    def __init__(self, seed: int) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.chance = random.Random(seed)
        self.model = KinesisModel(loop.wall)
        self.model.call("CreateStream", {"StreamName": "stream", "ShardCount": 1})
        self.stream: Stream = self.model.stream("stream")
        self.sent: list[Sent] = []
        self.calls: list[Call] = []
        self.begun: dict[str, float] = {}  # when the first record of a shard was delivered
        self.ended: dict[str, float] = {}  # when the last call of a shard ended
        self.producing = True

    async def handle(self, call: Invoked) -> Outcome:
        records = call.event["Records"]
        shard = records[0]["eventID"].partition(":")[0]
        begun = self.loop.time()
        self.begun.setdefault(shard, begun)
        await asyncio.sleep(self.chance.random() * 0.2)
        failed = self.chance.random() < 0.05
        names = tuple(json.loads(base64.b64decode(record["kinesis"]["data"]))["id"] for record in records)
        self.calls.append(Call("stream", names, begun, self.loop.time(), "error" if failed else "ok"))
        self.ended[shard] = self.loop.time()
        return Failed("ValueError", "one in twenty") if failed else Returned()

    async def produce(self) -> None:
        while self.producing:
            for _ in range(20):
                self.write(f"key-{self.chance.randrange(200)}")
            await asyncio.sleep(0.5)

    @property
    def source(self) -> str:
        """What the mapping names."""
        return self.stream.arn

    def write(self, key: str) -> None:
        self.stream.put(key, self.record(key))

    def record(self, key: str) -> bytes:
        name = f"record-{len(self.sent)}"
        self.sent.append(Sent("stream", name, key))
        return json.dumps({"id": name}).encode()

    def open_shards(self) -> list[str]:
        return [shard.id for shard in self.stream.shards if not shard.closed]

    async def reshard(self) -> None:
        """1 to 64 and back to 1, each shard for itself, while records come."""
        for _ in range(STEPS):
            for shard in self.open_shards():
                self.stream.split(shard)
                await asyncio.sleep(self.chance.random())
        for _ in range(STEPS):
            shards = sorted((one for one in self.stream.shards if not one.closed), key=lambda one: one.first_hash)
            for left, right in zip(shards[::2], shards[1::2], strict=True):
                self.stream.merge(left.id, right.id)
                await asyncio.sleep(self.chance.random())


class PushedStorm(Storm):
    """Its mapping reads as a consumer, one write in four is an aggregate, and connections are cut now and then."""

    @property
    def source(self) -> str:
        request = {"StreamARN": self.stream.arn, "ConsumerName": "mine"}
        return str(self.model.call("RegisterStreamConsumer", request)["Consumer"]["ConsumerARN"])

    def write(self, key: str) -> None:
        if self.chance.random() < 0.01:
            self.model.trouble.drop("SubscribeToShardEvent", after=self.chance.random() < 0.5)
        if self.chance.random() < 0.25:
            self.stream.put(key, aggregate([(key, self.record(key)) for _ in range(3)]))
        else:
            super().write(key)


async def storm(seed: int, kind: type[Storm]) -> None:
    play = kind(seed)
    source = KinesisSource(
        play.source,
        store=MemoryStore(),
        parallelization_factor=2,
        clients=Wireless({"kinesis": play.model}),
        clock=clock(seed=seed),
    )
    function = ScriptedFunction(play.handle)
    async with Pollers([EventSourceMapping(source, function, name="stream")], clock=clock(seed=seed)):
        producing = asyncio.create_task(play.produce())
        await play.reshard()
        await asyncio.sleep(10)
        play.producing = False
        await producing
        await asyncio.sleep(600)
    report = check(History(play.sent, play.calls, logs=frozenset({"stream"})))
    assert report.lost == ()
    assert report.disordered == ()
    assert report.duplicates == ()
    assert len(play.open_shards()) == 1
    children_come_after_parents(play)


def children_come_after_parents(play: Storm) -> None:
    for shard in play.stream.shards:
        for parent in shard.parents:
            if parent in play.ended and shard.id in play.begun:
                assert play.ended[parent] <= play.begun[shard.id], f"{shard.id} began before {parent} had ended"


@pytest.mark.rule("8-5", "8-4")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [Storm, PushedStorm])
def test_a_reshard_storm_loses_and_disorders_nothing(seed: int, kind: type[Storm]) -> None:
    run_virtual(storm(seed, kind))


def test_storms_see_many_shards() -> None:
    """The storm is one: every generation of shards carried records."""

    async def play() -> int:
        made = Storm(0)
        producing = asyncio.create_task(made.produce())
        await made.reshard()
        made.producing = False
        await producing
        return len(made.stream.shards)

    assert run_virtual(play()) == 2 * (2**STEPS) - 1 + 2**STEPS - 1
