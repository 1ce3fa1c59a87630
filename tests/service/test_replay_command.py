"""Failure documents back to their records and to the function, through the command line on embedded services."""

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
from pollers.testing.front import EmbeddedAws
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


def test_a_dry_run_calls_nothing(stage: Stage, clicks: EmbeddedStream) -> None:
    said = lines(stage.replay("--dry-run"))
    assert stage.seen() == []
    assert said[-1]["summary"] == {"would be replayed": 2}


def test_a_function_that_still_fails_is_told_and_the_rest_goes_on(stage: Stage, clicks: EmbeddedStream) -> None:
    (stage.folder / "fails").touch()
    result = stage.replay()
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert said[-1]["summary"] == {"failed": 2}
    assert "still broken" in said[0]["reason"]
    assert isinstance(result.return_value, int) or result.exception is not None or result.exit_code == 1
    assert len(stage.seen()) == 2


def test_filters_choose_documents(stage: Stage, clicks: EmbeddedStream) -> None:
    first = json.loads(stage.documents.read_text().splitlines()[0])["requestContext"]["requestId"]
    assert lines(stage.replay("--condition", "RecordAgeExceeded"))[-1]["not_asked_for"] == 2
    assert lines(stage.replay("--until", "2020-01-01T00:00:00Z"))[-1]["not_asked_for"] == 2
    assert stage.seen() == []
    lines(stage.replay("--request-id", first))
    assert texts(stage.seen()) == [["0", "1"]]


def test_records_that_the_stream_has_no_more_come_from_the_document(
    stage: Stage, clicks: EmbeddedStream, pollers_aws: EmbeddedAws
) -> None:
    model = pollers_aws.kinesis
    last = pollers_aws.run(lambda: model.stream("clicks").shards[0].records[-1]["SequenceNumber"])
    pollers_aws.run(lambda: model.stream("clicks").trim("shardId-000000000000", last))
    said = lines(stage.replay())
    assert texts(stage.seen()) == [["0", "1"], ["2", "3"]]
    assert [line["origin"] for line in said[:-1]] == ["document", "document"]


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


def test_documents_of_other_streams_and_broken_ones_are_left_alone(stage: Stage, clicks: EmbeddedStream) -> None:
    good = stage.documents.read_text()
    other = good.replace(clicks.arn, clicks.arn + "-of-another")
    stage.documents.write_text("no JSON at all\n" + other + good)
    result = stage.replay()
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert said[-1]["summary"] == {"malformed": 1, "replayed": 2}
    assert said[-1]["other_sources"] == 2
    assert said[0]["document"].endswith(":1")


@pytest.mark.parametrize(
    ("mapping", "message"), [("orders", "reads a queue"), ("nothing", "There are: clicks, orders")]
)
def test_what_has_no_documents_is_refused(stage: Stage, clicks: EmbeddedStream, mapping: str, message: str) -> None:
    command = ["replay", str(stage.folder / "mappings.toml"), mapping, "--from", str(stage.documents)]
    result = CliRunner().invoke(cli, command, standalone_mode=False)
    assert message in f"{result.output}{getattr(result, 'stderr', '')}"
