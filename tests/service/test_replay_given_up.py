"""What mappings really gave up, in files and queues, back to their function through the command line."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pollers import DynamoDbSource, EventSourceMapping, FileDestination, KinesisSource, MemoryStore, Pollers
from pollers import SqsDestination as QueueDestination
from pollers.service.cli import cli
from pollers.spi import Source
from pollers.testing.queues import EmbeddedQueue
from pollers.testing.streams import EmbeddedStream
from pollers.testing.tables import EmbeddedTable

HANDLER = """
import json, pathlib

SEEN = pathlib.Path(__file__).with_name("seen.jsonl")

def handle(event, context):
    with SEEN.open("a") as file:
        file.write(json.dumps(event) + "\\n")
    if pathlib.Path(__file__).with_name("fails").exists():
        raise ValueError("still broken")
"""


class Stage:
    """A stream whose function failed for good, and the file that configures it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents = folder / "failures.jsonl"
        (folder / "replay_app.py").write_text(HANDLER)

    def configure(self, arn: str) -> None:
        (self.folder / "mappings.toml").write_text(
            f'''
            [functions.count]
            handler = "replay_app.handle"
            [[event_source_mappings]]
            name = "clicks"
            function_name = "count"
            event_source_arn = "{arn}"
            starting_position = "TRIM_HORIZON"
            maximum_retry_attempts = 0
            [[event_source_mappings]]
            name = "orders"
            function_name = "count"
            event_source_arn = "arn:aws:sqs:us-east-1:123456789012:orders"
            '''
        )

    def fail(self, source: Source, records: int, destination: Any = None) -> None:
        """Let a mapping give up everything."""

        async def fails(event: dict[str, Any], context: object) -> None:
            raise ValueError("broken")

        async def run() -> None:
            mapping = EventSourceMapping(
                source,
                fails,
                name="clicks",
                batch_size=2,
                maximum_retry_attempts=0,
                on_failure=destination or FileDestination(self.documents),
            )
            async with Pollers([mapping]) as pollers, asyncio.timeout(30):
                while pollers.meters()[0].dead_lettered < records:
                    await asyncio.sleep(0.02)

        asyncio.run(run())

    def replay(self, *arguments: object, place: object = None) -> Result:
        where = self.documents if place is None else place
        command = ["replay", str(self.folder / "mappings.toml"), "clicks", "--from", str(where), *map(str, arguments)]
        return CliRunner().invoke(cli, command, standalone_mode=False)

    def seen(self) -> list[dict[str, Any]]:
        file = self.folder / "seen.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def texts(events: list[dict[str, Any]]) -> list[list[str]]:
    return [[base64.b64decode(one["kinesis"]["data"]).decode() for one in event["Records"]] for event in events]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def clicks(stage: Stage, pollers_kinesis_stream: Callable[..., EmbeddedStream]) -> EmbeddedStream:
    """A stream of four records, all of them given up in two documents of the file."""
    stream = pollers_kinesis_stream("clicks")
    for number in range(4):
        stream.put(str(number))
    stage.configure(stream.arn)
    stage.fail(KinesisSource(stream.arn, store=MemoryStore()), 4)
    return stream


def test_documents_are_replayed_in_order_with_the_records_of_the_stream(stage: Stage, clicks: EmbeddedStream) -> None:
    said = lines(stage.replay())
    assert texts(stage.seen()) == [["0", "1"], ["2", "3"]]
    assert stage.seen()[0]["Records"][0]["eventSourceARN"] == clicks.arn
    assert [line["outcome"] for line in said[:-1]] == ["replayed", "replayed"]
    assert [line["origin"] for line in said[:-1]] == ["stream", "stream"]
    assert said[-1]["summary"] == {"replayed": 2}
    assert len(stage.documents.read_text().splitlines()) == 2  # lines stay


def test_documents_without_records_of_a_queue_are_read_again_and_deleted(
    stage: Stage,
    pollers_kinesis_stream: Callable[..., EmbeddedStream],
    pollers_sqs_queue: Callable[..., EmbeddedQueue],
) -> None:
    stream, queue = pollers_kinesis_stream("clicks"), pollers_sqs_queue("failures")
    for number in range(4):
        stream.put(str(number))
    stage.configure(stream.arn)
    stage.fail(KinesisSource(stream.arn, store=MemoryStore()), 4, QueueDestination(queue.url))
    (stage.folder / "fails").touch()
    stage.replay(place=queue.arn)
    assert len(queue.bodies()) == 2  # what failed stays
    (stage.folder / "fails").unlink()
    assert lines(stage.replay(place=queue.arn))[-1]["summary"] == {"replayed": 2}
    assert texts(stage.seen())[-2:] == [["0", "1"], ["2", "3"]]
    assert queue.bodies() == []


def test_changes_of_a_table_are_replayed_too(
    stage: Stage, pollers_dynamodb_table: Callable[..., EmbeddedTable]
) -> None:
    table = pollers_dynamodb_table("items")
    for number in range(4):
        table.put({"id": {"S": "1"}, "value": {"N": str(number)}})
    stage.configure(table.stream_arn)
    stage.fail(DynamoDbSource(table.stream_arn, store=MemoryStore()), 4)
    lines(stage.replay())
    values = [one["dynamodb"]["NewImage"]["value"]["N"] for event in stage.seen() for one in event["Records"]]
    assert values == ["0", "1", "2", "3"]
