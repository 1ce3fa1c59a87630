"""`pollers seek` of a topic: the group's offsets on a real broker, before and after."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata
from click.testing import CliRunner
from kafka_broker import KafkaBroker

from pollers.service.cli import cli

FILE = """
[functions.count]
url = "http://127.0.0.1:8080/count"
[[event_source_mappings]]
name = "{topic}"
function_name = "count"
topics = ["{topic}"]
self_managed_event_source = {{ endpoints = {{ KAFKA_BOOTSTRAP_SERVERS = ["{servers}"] }} }}
starting_position = "TRIM_HORIZON"
"""


class Stage:
    """A topic of two partitions, five records in each, one a second from a known moment on."""

    def __init__(self, broker: KafkaBroker, folder: Path) -> None:
        self.broker = broker
        self.topic = f"seek-{time.time_ns()}"
        self.file = folder / "mappings.toml"

    async def open(self) -> None:
        await self.broker.create_topic(self.topic, 2)
        self.file.write_text(FILE.format(topic=self.topic, servers=self.broker.servers))
        producer = AIOKafkaProducer(bootstrap_servers=self.broker.servers)
        async with producer:
            for number in range(10):
                stamp = 1_700_000_000_000 + number // 2 * 1_000
                await producer.send_and_wait(self.topic, b"x", partition=number % 2, timestamp_ms=stamp)

    async def seek(self, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        command = ["seek", str(self.file), self.topic, *arguments]
        result = await asyncio.to_thread(CliRunner().invoke, cli, command, standalone_mode=True)
        lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        return result.exit_code, lines, result.stderr

    async def offsets(self) -> dict[int, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.servers)
        await admin.start()
        try:
            kept = await admin.list_consumer_group_offsets(self.topic)
        finally:
            await admin.close()
        return {one.partition: found.offset for one, found in kept.items()}


@pytest.fixture
async def stage(kafka_broker: KafkaBroker, tmp_path: Path) -> Stage:
    stage = Stage(kafka_broker, tmp_path)
    await stage.open()
    return stage


@pytest.mark.parametrize(
    ("to", "expected"), [("TRIM_HORIZON", 0), ("LATEST", 5), ("2023-11-14T22:13:22Z", 2), ("2025-01-01T00:00:00Z", 5)]
)
async def test_every_partition_is_moved(stage: Stage, to: str, expected: int) -> None:
    code, lines, _ = await stage.seek("--to", to)
    assert code == 0
    assert [line["before"] for line in lines if "partition" in line] == ["nothing committed"] * 2
    assert await stage.offsets() == {0: expected, 1: expected}


async def test_one_partition_is_moved_behind_an_offset(stage: Stage) -> None:
    code, lines, _ = await stage.seek("--shard", f"{stage.topic}-1", "--after", "2")
    assert code == 0
    assert {"partition": f"{stage.topic}-1", "before": "nothing committed", "after": 3} in lines
    assert await stage.offsets() == {1: 3}


async def test_a_dry_run_changes_nothing(stage: Stage) -> None:
    code, lines, _ = await stage.seek("--to", "LATEST", "--dry-run")
    assert code == 0
    assert {line["after"] for line in lines if "partition" in line} == {5}
    assert await stage.offsets() == {}


async def test_what_was_finished_above_is_forgotten_with_the_old_position(stage: Stage) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.broker.servers, group_id=stage.topic)
    async with consumer:
        one = TopicPartition(stage.topic, 0)
        consumer.assign([one])
        await consumer.commit({one: OffsetAndMetadata(1, "pollers1:AQE=")})
    _, lines, _ = await stage.seek("--to", "TRIM_HORIZON")
    assert "1, and 1 ranges above" in [line.get("before") for line in lines]
    assert await stage.offsets() == {0: 0, 1: 0}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--shard", "nowhere-0", "--after", "1"), "there is no partition nowhere-0"),
        (("--shard", "{topic}-0", "--after", "5"), "has the offsets 0 to 4"),
        (("--to", "tomorrow"), "tomorrow is no position"),
    ],
)
async def test_wrong_input_is_said(stage: Stage, arguments: tuple[str, ...], expected: str) -> None:
    code, _, error = await stage.seek(*(one.format(topic=stage.topic) for one in arguments))
    assert code != 0
    assert expected in error
    assert await stage.offsets() == {}


async def test_a_group_that_has_members_is_left_alone(stage: Stage) -> None:
    consumer = AIOKafkaConsumer(stage.topic, bootstrap_servers=stage.broker.servers, group_id=stage.topic)
    async with consumer:
        await consumer.getmany(timeout_ms=3_000)
        code, _, error = await stage.seek("--to", "LATEST")
    assert code != 0
    assert "it has members" in error
