"""A cluster in trouble loses no record of a mapping and keeps the order of its keys."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pollers import EventSourceMapping, Pollers
from pollers.kafka.connection import KafkaConnection
from pollers.service.demo.witness import Ledger, witnessed
from pollers.sources.kafka.source import KafkaSource
from pollers.telemetry import Event, PollerCrashed
from pollers.testing.audit import History, Report, Sent, check
from pollers.testing.kafka import EmbeddedKafka, EmbeddedTopic

RECORDS, KEYS, PARTITIONS = 120, 12, 3
GROUP = "mapping"


class Scene:
    """A topic of a cluster of three brokers, a mapping with a lane for each key, and what its function saw."""

    def __init__(self, kafka: EmbeddedKafka, folder: Path) -> None:
        self.kafka = kafka
        self.topic = kafka.create_topic("topic", PARTITIONS)
        self.sent: list[Sent] = []
        self.ledger = Ledger(folder / "ledger.jsonl")

    async def write(self, count: int) -> None:
        for number in range(len(self.sent), len(self.sent) + count):
            one = Sent(GROUP, f"record-{number}", f"key-{number % KEYS}")
            await asyncio.to_thread(self.topic.put, one.record, one.key)
            self.sent.append(one)

    def mapping(self) -> EventSourceMapping:
        source = KafkaSource(
            self.topic.name, KafkaConnection(tuple(self.topic.servers.split(","))), group=GROUP, lanes="key"
        )
        handle = witnessed(self.ledger, GROUP, _name, _work)
        return EventSourceMapping(source, handle, name=GROUP, timeout=5.0, maximum_batching_window_in_seconds=0)

    async def finish(self) -> None:
        """Wait until the group has everything as finished."""
        async with asyncio.timeout(60):
            while sum((await asyncio.to_thread(self.topic.committed, GROUP)).values()) < len(self.sent):
                await asyncio.sleep(0.1)

    def judge(self) -> Report:
        self.ledger.close()
        return check(History(self.sent, Ledger.read(self.ledger.path), logs=frozenset({GROUP})))


def _name(record: dict[str, Any]) -> str:
    return base64.b64decode(record["value"]).decode()


async def _work(event: dict[str, Any], context: Any) -> None:
    await asyncio.sleep(0.01)


def fetches_fail(kafka: EmbeddedKafka, topic: EmbeddedTopic) -> None:
    kafka.fail("Fetch", "NOT_LEADER_FOR_PARTITION", "UNKNOWN_TOPIC_OR_PART", "_TRANSPORT", "REQUEST_TIMED_OUT")


def leaders_move(kafka: EmbeddedKafka, topic: EmbeddedTopic) -> None:
    for partition in range(PARTITIONS):
        for broker in (1, 2, 3):
            kafka.lead(topic.name, partition, broker)


def the_coordinator_moves(kafka: EmbeddedKafka, topic: EmbeddedTopic) -> None:
    kafka.coordinate(GROUP, 3)
    kafka.coordinate(GROUP, 1)


def the_coordinator_loads(kafka: EmbeddedKafka, topic: EmbeddedTopic) -> None:
    for api in ("OffsetCommit", "Heartbeat"):
        kafka.fail(api, "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR")


def the_group_rebalances(kafka: EmbeddedKafka, topic: EmbeddedTopic) -> None:
    kafka.fail("Heartbeat", "REBALANCE_IN_PROGRESS")
    kafka.fail("JoinGroup", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR")
    kafka.fail("SyncGroup", "REBALANCE_IN_PROGRESS", "NOT_COORDINATOR")


class Crashes(list[PollerCrashed]):
    """An observer that keeps only them."""

    def notice(self, event: Event) -> None:
        if isinstance(event, PollerCrashed):
            self.append(event)


async def suffered(trouble: Callable[[EmbeddedKafka, EmbeddedTopic], None], folder: Path) -> Report:
    """What a mapping came to that was in trouble three times, each time in the middle of records."""
    folder.mkdir()
    with EmbeddedKafka(brokers=3) as kafka:
        scene = Scene(kafka, folder)
        async with Pollers([scene.mapping()]):
            for _ in range(3):
                await scene.write(RECORDS // 6)
                trouble(kafka, scene.topic)
                await scene.write(RECORDS // 6)
                await asyncio.sleep(0.5)
            await scene.finish()
    return scene.judge()


async def test_trouble_loses_doubles_and_disorders_nothing(tmp_path: Path) -> None:
    """Each kind in a cluster of its own, all of them side by side: what they wait for is the clusters' time."""
    kinds = (fetches_fail, leaders_move, the_coordinator_moves, the_coordinator_loads, the_group_rebalances)
    reports = await asyncio.gather(*(suffered(kind, tmp_path / kind.__name__) for kind in kinds))
    for kind, report in zip(kinds, reports, strict=True):
        assert report.sound, (kind.__name__, report)
        assert report.delivered == RECORDS


async def test_a_member_that_was_forgotten_repeats_what_it_could_not_commit(tmp_path: Path) -> None:
    with EmbeddedKafka(brokers=3) as kafka:
        scene = Scene(kafka, tmp_path)
        async with Pollers([scene.mapping()]):
            await scene.write(RECORDS // 2)
            kafka.fail("Heartbeat", "UNKNOWN_MEMBER_ID")
            await scene.write(RECORDS // 2)
            await scene.finish()
    report = scene.judge()
    assert report.lost == ()
    assert report.disordered == ()
    assert report.delivered == RECORDS


async def test_commits_that_a_rebalance_refuses_are_no_fault_of_the_mapping(tmp_path: Path) -> None:
    crashes = Crashes()
    with EmbeddedKafka() as kafka:
        scene = Scene(kafka, tmp_path)
        async with Pollers([scene.mapping()], observers=[crashes]):
            for _ in range(3):
                await scene.write(RECORDS // 3)
                kafka.fail("OffsetCommit", *["REBALANCE_IN_PROGRESS"] * PARTITIONS)
                kafka.fail("Heartbeat", "REBALANCE_IN_PROGRESS")
                await asyncio.sleep(1.2)
            await scene.finish()
    report = scene.judge()
    assert crashes == []
    assert report.lost == ()
    assert report.disordered == ()
    assert report.delivered == RECORDS


async def test_brokers_that_go_and_come_back_lose_and_disorder_nothing(tmp_path: Path) -> None:
    with EmbeddedKafka(brokers=3) as kafka:
        scene = Scene(kafka, tmp_path)
        async with Pollers([scene.mapping()]):
            await scene.write(RECORDS // 2)
            kafka.down()
            await asyncio.sleep(2.0)
            kafka.up()
            await scene.write(RECORDS // 2)
            await scene.finish()
    report = scene.judge()
    assert report.sound, report
    assert report.delivered == RECORDS
