"""What is given up of a topic, through the engine: documents, payloads and keys, by partition and by record."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from pollers import EventSourceMapping, Pollers
from pollers.destinations.documents import of_each_record, with_payload, without_payload
from pollers.destinations.s3 import key_of
from pollers.kafka.connection import KafkaConnection
from pollers.sources.kafka.shape import KafkaShape
from pollers.sources.kafka.source import KafkaSource
from pollers.spi import Failed, Failure, Outcome, Returned
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.loop import virtual_time
from pollers.testing.scripted import ScriptedSource

SERVERS = ("b-1.example:9092",)
LARGE = b"x" * 6_291_456


class Kept:
    """A failure destination that keeps what it is given."""

    name = "kept"

    def __init__(self) -> None:
        self.failures: list[Failure] = []

    async def open(self) -> None: ...

    async def deliver(self, failure: Failure) -> None:
        self.failures.append(failure)

    async def close(self) -> None: ...


def record(partition: int, offset: int, value: bytes = b"a") -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("orders", partition, offset, 1545084650987, 0, b"key", value, None, 3, len(value), ())


async def given_up(
    *pages: list[ConsumerRecord[bytes, bytes]], function: ScriptedFunction, keep: bool = True, **options: Any
) -> list[Failure]:
    """What comes to the destination, once everything of these partitions is settled: a page for each partition."""
    delivery, shape = KafkaSource("orders", KafkaConnection(SERVERS)).delivery, KafkaShape("orders", SERVERS)
    source = ScriptedSource(delivery, partitions=[f"orders-{page[0].partition}" for page in pages], shape=shape)
    for page in pages:
        source.script(f"orders-{page[0].partition}", page)
    kept = Kept()
    mapping = EventSourceMapping(source, function, name="m-1", on_failure=kept if keep else None, **options)
    async with Pollers([mapping]):
        while any(source.safe(f"orders-{page[0].partition}") != (page[-1].offset, 0) for page in pages):
            await asyncio.sleep(0.1)
    return kept.failures


def fails(call: Invoked) -> Outcome:
    return Failed("ValueError", "no")


def offsets(call: Invoked) -> dict[str, list[int]]:
    return {name: [one["offset"] for one in some] for name, some in call.event["records"].items()}


@pytest.mark.rule("13-11", "5.9-8")
@virtual_time
async def test_a_batch_of_two_partitions_is_given_up_partition_by_partition() -> None:
    function = ScriptedFunction(fails)
    failures = await given_up(
        [record(0, 5), record(0, 6)], [record(1, 7)], function=function, maximum_retry_attempts=1, batch_size=3
    )
    assert offsets(function.calls[0]) == {"orders-0": [5, 6], "orders-1": [7]}
    assert sorted(map(str, map(offsets, function.calls[1:]))) == ["{'orders-0': [5, 6]}", "{'orders-1': [7]}"]
    batches = {failure.partition: failure.document["KafkaBatchInfo"] for failure in failures}
    assert {name: (one["batchSize"], list(one["recordsInfo"])) for name, one in batches.items()} == {
        "orders-0": (2, ["orders-0"]),
        "orders-1": (1, ["orders-1"]),
    }
    assert {failure.document["requestContext"]["approximateInvokeCount"] for failure in failures} == {2}
    assert len({failure.document["requestContext"]["requestId"] for failure in failures}) == 2


@pytest.mark.rule("5.9-8")
@virtual_time
async def test_queues_and_topics_of_sns_get_the_document_as_aws_has_it() -> None:
    (failure,) = await given_up(
        [record(0, 5), record(0, 6)], function=ScriptedFunction(fails), maximum_retry_attempts=0
    )
    document = json.loads(without_payload(failure))
    assert document.pop("requestContext")["condition"] == "RetryAttemptsExhausted"
    assert document.pop("timestamp").endswith("Z")
    assert document == {
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "KafkaBatchInfo": {
            "batchSize": 2,
            "bootstrapServers": "b-1.example:9092",
            "payloadSize": 8,
            "recordsInfo": {
                "orders-0": {
                    "firstRecordOffset": "5",
                    "lastRecordOffset": "6",
                    "firstRecordTimestamp": "2018-12-17T22:10:50.987Z",
                    "lastRecordTimestamp": "2018-12-17T22:10:50.987Z",
                }
            },
        },
    }


@pytest.mark.rule("5.9-9", "5.9-7", "12-5")
@virtual_time
async def test_a_bucket_gets_the_event_under_a_key_of_the_partition() -> None:
    function = ScriptedFunction(fails)
    (failure,) = await given_up([record(0, 5)], function=function, maximum_retry_attempts=0)
    body = with_payload(failure)
    assert json.loads(json.loads(body)["payload"]) == function.calls[0].event
    assert key_of(failure, body).startswith("aws/lambda/m-1/orders-0/")


@pytest.mark.rule("5.9-9", "12-5")
@virtual_time
async def test_a_topic_gets_each_record_with_its_key() -> None:
    page = [record(0, 5), record(0, 6)]
    (failure,) = await given_up(page, function=ScriptedFunction(fails), maximum_retry_attempts=0)
    documents = [json.loads(one) for one in of_each_record(failure)]
    assert [one["KafkaBatchInfo"]["recordInfo"]["offset"] for one in documents] == ["5", "6"]
    assert {one["requestContext"]["condition"] for one in documents} == {"RetryAttemptsExhausted"}
    assert failure.keys == [b"key", b"key"]


@pytest.mark.rule("3.3-2")
@virtual_time
async def test_a_record_that_fits_no_event_goes_to_the_destination_without_an_invocation() -> None:
    function = ScriptedFunction()
    page = [record(0, 5), record(0, 6, LARGE), record(0, 7)]
    (failure,) = await given_up(page, function=function)
    assert failure.document["requestContext"]["condition"] == "MaximumPayloadSizeExceeded"
    assert failure.document["responseContext"] is None
    assert list(failure.document)[:2] == ["requestContext", "responseContext"]
    assert failure.document["KafkaBatchInfo"]["recordsInfo"]["orders-0"]["firstRecordOffset"] == "6"
    assert [offsets(call) for call in function.calls] == [{"orders-0": [5]}, {"orders-0": [7]}]


@pytest.mark.rule("3.3-3")
@virtual_time
async def test_without_a_destination_a_record_that_fits_no_event_is_dropped() -> None:
    function = ScriptedFunction(lambda call: Returned())
    page = [record(0, 5), record(0, 6, LARGE), record(0, 7)]
    assert await given_up(page, function=function, keep=False) == []
    assert [offsets(call) for call in function.calls] == [{"orders-0": [5]}, {"orders-0": [7]}]
