"""Failure documents of topics back to the function: from the document alone, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pollers.service.cli import cli

HANDLER = """
import json, pathlib

def handle(event, context):
    with pathlib.Path(__file__).with_name("seen.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\\n")
    records = [one for some in event["records"].values() for one in some]
    bad = [{"partition": f"{one['topic']}-{one['partition']}", "offset": one["offset"]} for one in records
           if one["value"] == "YmFk"]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in bad]}
"""
FILE = """
[functions.shop]
handler = "replay_topics_app.handle"
[[event_source_mappings]]
name = "orders"
function_name = "shop"
topics = ["orders"]
self_managed_event_source = { endpoints = { KAFKA_BOOTSTRAP_SERVERS = ["127.0.0.1:1"] } }
starting_position = "TRIM_HORIZON"
function_response_types = ["ReportBatchItemFailures"]
"""


def event(**records: list[tuple[int, str]]) -> dict[str, Any]:
    """By partition: orders_0=[(offset, value in base64)]."""
    return {
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": "127.0.0.1:1",
        "records": {
            name.replace("_", "-"): [
                {"topic": "orders", "partition": int(name[-1]), "offset": offset, "value": value}
                for offset, value in some
            ]
            for name, some in records.items()
        },
    }


def document(held: dict[str, Any], request: str = "1", *, payload: bool = True, **info: Any) -> str:
    ranges = {
        name: {"firstRecordOffset": str(some[0]["offset"]), "lastRecordOffset": str(some[-1]["offset"])}
        for name, some in held["records"].items()
    }
    size = sum(map(len, held["records"].values()))
    return json.dumps(
        {
            "requestContext": {"requestId": request, "condition": "RetryAttemptsExhausted"},
            "version": "1.0",
            "timestamp": "2026-01-31T12:00:00.000Z",
            "KafkaBatchInfo": {
                "batchSize": size,
                "bootstrapServers": held["bootstrapServers"],
                "payloadSize": 1,
                "recordsInfo": ranges,
                **info,
            },
            **({"payload": json.dumps(held)} if payload else {}),
        }
    )


class Stage:
    """A folder with a mapping of a topic, its function, and documents in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "replay_topics_app.py").write_text(HANDLER)
        (folder / "mappings.toml").write_text(FILE)

    def replay(self, *documents: str, options: tuple[str, ...] = ()) -> Result:
        place = self.folder / "failures.jsonl"
        place.write_text("".join(f"{one}\n" for one in documents))
        command = ["replay", str(self.folder / "mappings.toml"), "orders", "--from", str(place), *options]
        return CliRunner().invoke(cli, command, standalone_mode=False)

    def seen(self) -> list[dict[str, Any]]:
        file = self.folder / "seen.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_event_of_a_document_is_given_to_the_function_in_the_order_of_offsets(stage: Stage) -> None:
    late, early = event(orders_0=[(7, "YQ==")]), event(orders_0=[(5, "YQ=="), (6, "YQ==")])
    said = lines(stage.replay(document(late, "2"), document(early, "1")))
    assert stage.seen() == [early, late]
    assert [(one["outcome"], one["origin"], one["start"], one["end"]) for one in said[:-1]] == [
        ("replayed", "document", "5", "6"),
        ("replayed", "document", "7", "7"),
    ]


def test_a_batch_of_several_partitions_comes_back_whole(stage: Stage) -> None:
    held = event(orders_0=[(5, "YQ==")], orders_1=[(2, "YQ=="), (3, "YQ==")])
    (one, _) = lines(stage.replay(document(held)))
    assert (one["outcome"], one["records"]) == ("replayed", 3)
    assert stage.seen() == [held]


def test_a_reported_record_is_named_by_partition_and_offset(stage: Stage) -> None:
    result = stage.replay(document(event(orders_0=[(5, "YQ=="), (6, "YmFk")])))
    assert lines(result)[0]["outcome"] == "failed"
    assert "1 of 2 records were reported as failed, the first is offset 6, partition orders-0" in result.stdout


def test_documents_of_other_topics_and_clusters_are_left_alone(stage: Stage) -> None:
    other = event(orders_0=[(5, "YQ==")])
    msk = "arn:aws:kafka:eu-west-1:123456789012:cluster/orders/abcd1234-abcd-cafe-abab-9876543210ab-4"
    elsewhere = document({**other, "bootstrapServers": "elsewhere:9092"})
    payments = document({**other, "records": {"payments-0": other["records"]["orders-0"]}})
    said = lines(stage.replay(elsewhere, payments, document(other, eventSourceArn=msk)))
    assert said == [{"summary": {}, "other_sources": 3, "not_asked_for": 0}]


def test_an_event_that_is_none_of_a_topic_is_malformed(stage: Stage) -> None:
    text = json.loads(document(event(orders_0=[(5, "YQ==")])))
    result = stage.replay(json.dumps({**text, "payload": '{"Records": []}'}))
    assert lines(result)[0]["outcome"] == "malformed"
    assert not stage.seen()


def test_records_that_must_be_read_again_need_their_cluster(stage: Stage) -> None:
    result = stage.replay(document(event(orders_0=[(5, "YQ==")]), payload=False))
    assert "127.0.0.1:1: it cannot be reached" in result.stderr
    assert not stage.seen()
