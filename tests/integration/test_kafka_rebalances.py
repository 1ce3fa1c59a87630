"""Members of a group join, leave and are killed while records arrive; judged by what their functions wrote down."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TypeVar

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from kafka_broker import KafkaBroker

from pollers.service.demo.witness import Ledger
from pollers.sources.kafka.finished import decode
from pollers.testing.audit import History, Report, Sent, check

ROUNDS = 20
PARTITIONS = 6
KEYS = 40
CHILD = Path(__file__).with_name("kafka_child.py")

T = TypeVar("T")


class Theatre:
    """A topic, the processes that read it, and everything that is known of both."""

    def __init__(self, broker: KafkaBroker, lanes: str, folder: Path, log: IO[str]) -> None:
        self.topic = f"rebalances-{lanes}-{time.time_ns()}"
        self.ledger = folder / "ledger.jsonl"
        self.sent: list[Sent] = []
        self.kills: list[float] = []
        self.children: list[subprocess.Popen[str]] = []
        self._places: dict[str, tuple[int, int]] = {}  # of a record: its partition and offset
        self._durable: dict[tuple[str, str], float] = {}  # when the group was known to have it as finished
        self._broker, self._lanes, self._log = broker, lanes, log

    # What happens

    async def open(self) -> None:
        await self._broker.create_topic(self.topic, partitions=PARTITIONS)
        self._producer = AIOKafkaProducer(bootstrap_servers=self._broker.servers)
        await self._producer.start()
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self._broker.servers)
        await self._admin.start()

    async def close(self) -> None:
        for child in list(self.children):
            child.kill()
            self._gone(child)
        await self._producer.stop()
        await self._admin.close()

    async def write(self, count: int) -> None:
        for _ in range(count):
            number = len(self.sent)
            name, key = f"record-{number}", f"key-{number % KEYS}"
            kept = await self._producer.send_and_wait(self.topic, name.encode(), key=key.encode())
            self._places[name] = kept.partition, kept.offset
            self.sent.append(Sent("topic", name, key))

    async def start(self) -> None:
        child = subprocess.Popen(
            [sys.executable, str(CHILD), self._broker.servers, self.topic, str(self.ledger), self._lanes],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert child.stdout is not None
        self.children.append(child)
        if await asyncio.to_thread(child.stdout.readline) != "started\n":
            pytest.fail(f"a process did not start: {Path(self._log.name).read_text()}")

    async def kill(self, child: subprocess.Popen[str]) -> None:
        child.kill()
        self._gone(child)
        self.kills.append(time.monotonic())
        await self.look()

    async def stop(self, child: subprocess.Popen[str]) -> None:
        child.terminate()
        assert await asyncio.to_thread(child.wait, 60) == 0
        self._gone(child)

    def _gone(self, child: subprocess.Popen[str]) -> None:
        self.children.remove(child)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()

    # What is seen

    async def look(self) -> int:
        """Note which records the group has as finished; how many there are."""
        partitions = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        kept = await self._admin.list_consumer_group_offsets(self.topic, partitions=partitions)
        now = time.monotonic() - 0.001
        for name, (number, offset) in self._places.items():
            found = kept.get(TopicPartition(self.topic, number))
            if found is None or found.offset < 0:
                continue
            above = decode(found.offset, found.metadata)
            if offset < found.offset or any(first[0] <= offset <= last[0] for first, last in above):
                self._durable.setdefault(("topic", name), now)
        return len(self._durable)

    async def wait_until_all_is_finished(self) -> None:
        deadline = time.monotonic() + 120
        while await self.look() < len(self.sent):
            assert time.monotonic() < deadline, f"{len(self._durable)} of {len(self.sent)} records are finished"
            await asyncio.sleep(0.2)

    def judge(self) -> Report:
        calls = Ledger.read(self.ledger)
        return check(History(self.sent, calls, logs=frozenset({"topic"}), kills=self.kills, deleted=self._durable))


@pytest.mark.rule("5.7-5", "4-5")
async def test_rebalances_lose_nothing_keep_order_and_repeat_only_what_a_kill_explains(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    """Two groups side by side, as each waits most of the time: one with lanes by key, one by partition."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    async with asyncio.TaskGroup() as tasks:
        for lanes, rounds in (("key", ROUNDS), ("partition", ROUNDS // 4)):
            folder = tmp_path / lanes
            folder.mkdir()
            tasks.create_task(play(kafka_broker, lanes, rounds, random.Random(seed), folder))


async def play(broker: KafkaBroker, lanes: str, rounds: int, chance: random.Random, folder: Path) -> None:
    with (folder / "log").open("w") as log:
        theatre = Theatre(broker, lanes, folder, log)
        await theatre.open()
        try:
            for _ in range(3):
                await theatre.start()
            for number in range(rounds):
                for _ in range(3):
                    await theatre.write(20)
                    await asyncio.sleep(chance.random() * 0.3)
                victim = chance.choice(theatre.children)
                await (theatre.kill(victim) if number % 3 == 0 else theatre.stop(victim))
                if chance.random() < 0.5:
                    await asyncio.sleep(chance.random())
                await theatre.start()
            await theatre.wait_until_all_is_finished()
        finally:
            await theatre.close()
    report = theatre.judge()
    print(f"{lanes}: {report.delivered} delivered, {report.explained} repeated by {len(theatre.kills)} kills")
    assert report.lost == ()
    assert report.disordered == ()
    assert report.duplicates == (), "each one is explained by a kill between its good answer and its commit"
    assert report.strange == ()
    assert report.delivered == len(theatre.sent)
