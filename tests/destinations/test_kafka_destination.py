"""A topic as failure destination: what is produced, when it counts, and what is said when it does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import pytest

from pollers import EventSourceMapping, MemoryLog, MemoryLogSource
from pollers.destinations.kafka import PATIENCE, KafkaDestination
from pollers.errors import ConfigurationError, SourceError, Undelivered
from pollers.flow.records import Partition
from pollers.kafka.connection import KafkaConnection, Sasl
from pollers.kafka.producer import Message
from pollers.sources.kafka.source import KafkaSource
from pollers.spi import Failure
from pollers.testing.functions import ScriptedFunction
from pollers.testing.loop import virtual_time

CLUSTER = KafkaConnection(("broker:9092",))
BATCH = {"batchSize": 3, "bootstrapServers": "broker:9092", "payloadSize": 6}
DOCUMENT = {
    "requestContext": {
        "requestId": "c9b8fa9f-5a7f-4c70-af9c-0c604cde93a5",
        "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 2,
    },
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "version": "1.0",
    "timestamp": "2019-11-14T00:38:06.021Z",
    "KafkaBatchInfo": {**BATCH, "recordsInfo": {"orders-0": {"firstRecordOffset": "5", "lastRecordOffset": "6"}}},
}


def record(partition: int, offset: int, stamp: int = 1_573_691_884_835) -> dict[str, Any]:
    return {"topic": "orders", "partition": partition, "offset": offset, "timestamp": stamp, "value": "YQ=="}


EVENT = {
    "eventSource": "SelfManagedKafka",
    "bootstrapServers": "broker:9092",
    "records": {"orders-0": [record(0, 5), record(0, 6)], "orders-1": [record(1, 7)]},
}
FAILURE = Failure(DOCUMENT, EVENT, [b"a", None, b"b"], "mapping-1", Partition("orders-0"))


class FakeProducer:
    """A cluster with one topic, which does what it is told to."""

    def __init__(self) -> None:
        self.known: Collection[str] = {"failed"}
        self.error: SourceError | None = None
        self.silent = False
        self.sent: list[tuple[str, Message]] = []
        self.started = self.stopped = 0
        self.connections: list[KafkaConnection] = []

    def __call__(self, connection: KafkaConnection) -> FakeProducer:
        self.connections.append(connection)
        return self

    async def start(self) -> None:
        self.started += 1

    async def topics(self) -> Collection[str]:
        return self.known

    async def send(self, topic: str, messages: Iterable[Message]) -> None:
        if self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.sent += [(topic, message) for message in messages]

    async def stop(self) -> None:
        self.stopped += 1


async def opened(producer: FakeProducer) -> KafkaDestination:
    passwords = iter(["old", "new", "newer"])

    async def connection() -> KafkaConnection:
        return replace(CLUSTER, sasl=Sasl("PLAIN", "me", next(passwords)))

    destination = KafkaDestination("kafka://failed", connection, producer=producer)
    await destination.open()
    return destination


@pytest.mark.rule("5.9-9", "12-5")
async def test_each_record_is_a_message_with_its_key_and_its_own_event() -> None:
    producer = FakeProducer()
    destination = await opened(producer)
    await destination.deliver(FAILURE)
    await destination.close()
    assert {topic for topic, _ in producer.sent} == {"failed"}
    assert [key for _, (key, _) in producer.sent] == [b"a", None, b"b"]
    values = [json.loads(value) for _, (_, value) in producer.sent]
    payloads = [json.loads(value.pop("payload")) for value in values]
    alone = [("orders-0", record(0, 5)), ("orders-0", record(0, 6)), ("orders-1", record(1, 7))]
    assert payloads == [{**EVENT, "records": {partition: [one]}} for partition, one in alone]
    first = values[0]
    assert first.pop("KafkaBatchInfo") == {
        **BATCH,
        "recordInfo": {"offset": "5", "timestamp": "2019-11-14T00:38:04.835Z"},
    }
    assert first == {name: value for name, value in DOCUMENT.items() if name != "KafkaBatchInfo"}
    assert [value["KafkaBatchInfo"]["recordInfo"]["offset"] for value in values[1:]] == ["6", "7"]
    assert producer.stopped == 1


@pytest.mark.parametrize(("stamp", "printed"), [(-1, "1969-12-31T23:59:59.999Z"), (2**62, "9999-12-31T23:59:59.999Z")])
async def test_a_timestamp_that_is_no_date_holds_nothing_up(stamp: int, printed: str) -> None:
    producer = FakeProducer()
    destination = await opened(producer)
    event = {**EVENT, "records": {"orders-0": [record(0, 5, stamp)]}}
    await destination.deliver(replace(FAILURE, payload=event, keys=[None]))
    ((_, (_, value)),) = producer.sent
    assert json.loads(value)["KafkaBatchInfo"]["recordInfo"]["timestamp"] == printed


@pytest.mark.rule("13-1")
async def test_a_refusal_is_undelivered_with_its_reason_and_the_next_delivery_begins_anew() -> None:
    producer = FakeProducer()
    destination = await opened(producer)
    producer.error = SourceError("topic failed", "the user may not write to it", "Grant it Write.")
    with pytest.raises(Undelivered) as caught:
        await destination.deliver(FAILURE)
    assert caught.value.destination == "kafka://failed"
    assert caught.value.reason == "topic failed: the user may not write to it. Grant it Write"
    producer.error = None
    await destination.deliver(FAILURE)
    assert (producer.started, producer.stopped, len(producer.sent)) == (2, 1, 3)
    assert [one.sasl and one.sasl.password for one in producer.connections] == ["old", "new"], "a secret may change"


@virtual_time
async def test_a_cluster_that_never_answers_is_given_up() -> None:
    producer = FakeProducer()
    destination = await opened(producer)
    producer.silent = True
    begun = asyncio.get_running_loop().time()
    with pytest.raises(Undelivered, match="there was no answer within 30 s"):
        await destination.deliver(FAILURE)
    assert asyncio.get_running_loop().time() - begun == PATIENCE


async def test_a_topic_that_is_not_there_is_said_at_the_start() -> None:
    producer = FakeProducer()
    producer.known = {"others"}
    with pytest.raises(SourceError, match="kafka://failed: the cluster has no such topic") as caught:
        await opened(producer)
    assert caught.value.missing


async def test_nothing_is_written_to_the_topic_that_it_comes_from() -> None:
    destination = await opened(producer := FakeProducer())
    with pytest.raises(Undelivered, match="from this very topic"):
        await destination.deliver(replace(FAILURE, partition=Partition("failed-0")))
    assert not producer.sent


async def test_records_of_other_sources_are_not_for_topics() -> None:
    destination = await opened(producer := FakeProducer())
    with pytest.raises(Undelivered, match="records of Kafka only"):
        await destination.deliver(replace(FAILURE, document={"KinesisBatchInfo": {}}))
    assert not producer.sent


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "kafka://", "arn:aws:sqs:us-east-1:123456789012:failed"])
def test_what_is_no_topic_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="not the name of a topic"):
        KafkaDestination(name, CLUSTER)


@pytest.mark.rule("5.9-9")
def test_the_source_topic_cannot_take_what_came_from_it() -> None:
    source = KafkaSource("orders", CLUSTER)
    EventSourceMapping(source, ScriptedFunction(), on_failure=KafkaDestination("failed", CLUSTER))
    with pytest.raises(ConfigurationError, match="cannot be the source topic"):
        EventSourceMapping(source, ScriptedFunction(), on_failure=KafkaDestination("orders", CLUSTER))


def test_a_topic_takes_nothing_from_other_sources() -> None:
    source = MemoryLogSource(MemoryLog("clicks"))
    with pytest.raises(ConfigurationError, match="of Kafka only"):
        EventSourceMapping(source, ScriptedFunction(), on_failure=KafkaDestination("failed", CLUSTER))
