"""Documents without records, as queues hold them, back to the function: read again at a real broker, by offset."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from click.testing import CliRunner
from kafka_broker import KafkaBroker

from pollers.service.cli import cli

HANDLER = """
import json, pathlib

def handle(event, context):
    with pathlib.Path(__file__).with_name("seen.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\\n")
"""
FILE = """
[functions.shop]
handler = "replay_kafka_app.handle"
[[event_source_mappings]]
name = "orders"
function_name = "shop"
topics = ["{topic}"]
self_managed_event_source = {{ endpoints = {{ KAFKA_BOOTSTRAP_SERVERS = ["{servers}"] }} }}
starting_position = "TRIM_HORIZON"
{more}
"""


class Stage:
    """A topic of two partitions with ten records each, and a mapping of it."""

    def __init__(self, broker: KafkaBroker, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.topic = f"topic-{time.time_ns()}"
        (folder / "replay_kafka_app.py").write_text(HANDLER)
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        await self.broker.create_topic(self.topic, 2)
        producer = AIOKafkaProducer(bootstrap_servers=self.broker.servers)
        await producer.start()
        for number in range(20):
            value = json.dumps({"n": number // 2})
            await producer.send_and_wait(self.topic, value.encode(), partition=number % 2)
        await producer.stop()

    def trim(self, offset: int) -> None:
        async def work() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.servers)
            await admin.start()
            await admin.delete_records({TopicPartition(self.topic, 0): RecordsToDelete(before_offset=offset)})
            await admin.close()

        asyncio.run(work())

    def replay(self, size: int, *ranges: tuple[int, int, int], more: str = "", options: tuple[str, ...] = ()) -> Any:
        """The line about a document of these ranges: partition, first and last offset."""
        records = {
            f"{self.topic}-{partition}": {"firstRecordOffset": str(first), "lastRecordOffset": str(last)}
            for partition, first, last in ranges
        }
        document = {
            "requestContext": {"requestId": "1", "condition": "RetryAttemptsExhausted"},
            "timestamp": "2026-01-31T12:00:00.000Z",
            "KafkaBatchInfo": {"batchSize": size, "bootstrapServers": self.broker.servers, "recordsInfo": records},
        }
        file, place = self.folder / "mappings.toml", self.folder / "failures.jsonl"
        file.write_text(FILE.format(topic=self.topic, servers=self.broker.servers, more=more))
        place.write_text(json.dumps(document))
        result = CliRunner().invoke(cli, ["replay", str(file), "orders", "--from", str(place), *options])
        return json.loads(result.stdout.splitlines()[0])

    def seen(self) -> list[dict[str, list[int]]]:
        """What the function was called with, by partition."""
        file = self.folder / "seen.jsonl"
        events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [
            {name[-1]: [json.loads(b64decode(one["value"]))["n"] for one in some] for name, some in records.items()}
            for records in (event["records"] for event in events)
        ]


@pytest.fixture
def stage(kafka_broker: KafkaBroker, tmp_path: Path) -> Stage:
    return Stage(kafka_broker, tmp_path)


def test_records_are_read_again_from_each_partition(stage: Stage) -> None:
    said = stage.replay(5, (0, 2, 4), (1, 8, 9))
    assert (said["outcome"], said["origin"], said["records"]) == ("replayed", "topic", 5)
    assert stage.seen() == [{"0": [2, 3, 4], "1": [8, 9]}]


def test_filtered_records_are_left_out_and_what_cannot_be_told_is_replayed_only_when_asked_for(stage: Stage) -> None:
    odd = 'filter_criteria = { Filters = [{ Pattern = "{\\"value\\":{\\"n\\":[1,3,5,7]}}" }] }'
    assert stage.replay(4, (0, 1, 7), more=odd)["outcome"] == "replayed"
    assert stage.replay(4, (0, 1, 7))["outcome"] == "ambiguous"
    assert stage.replay(4, (0, 1, 7), options=("--whole-range",))["outcome"] == "replayed"
    assert stage.seen() == [{"0": [1, 3, 5, 7]}, {"0": [1, 2, 3, 4, 5, 6, 7]}]


def test_records_that_are_gone_are_said(stage: Stage) -> None:
    stage.trim(3)
    said = stage.replay(2, (0, 2, 3))
    assert (said["outcome"], said["reason"]) == ("gone", "the oldest record left there has offset 3")
    said = stage.replay(2, (1, 9, 10))
    assert (said["outcome"], said["reason"]) == ("gone", "the newest record there has offset 9")
    assert stage.seen() == []
