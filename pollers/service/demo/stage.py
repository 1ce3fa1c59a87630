"""What the demo runs on: embedded servers, and a folder for what functions write down."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pollers.service.demo.scenario import name_of_record
from pollers.service.demo.witness import FOLDER, LEDGER, WINDOWS
from pollers.testing.audit import Sent
from pollers.testing.front import EmbeddedAws
from pollers.testing.queues import EmbeddedQueue
from pollers.testing.streams import EmbeddedStream
from pollers.testing.tables import EmbeddedTable

if TYPE_CHECKING:
    from pollers.testing.kafka import EmbeddedTopic

__all__ = ["Stage", "set_stage"]


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers of a run, all of them in this process, and its folder."""

    queues: Mapping[str, EmbeddedQueue]  # by mapping
    dead: Mapping[str, EmbeddedQueue]
    stream: EmbeddedStream
    table: EmbeddedTable
    topic: EmbeddedTopic | None  # None: what it needs is not installed
    folder: Path

    @property
    def ledger(self) -> Path:
        """Where functions write down their calls."""
        return self.folder / LEDGER

    @property
    def windows(self) -> Path:
        """Where a function writes down what its windows came to."""
        return self.folder / WINDOWS

    @property
    def failures(self) -> Path:
        """Where the stream's failure documents go."""
        return self.folder / "failures.jsonl"

    def send(self, one: Sent) -> None:
        """Write a record into its source."""
        body = json.dumps({"id": one.record, "kind": "other" if one.filtered else "order"})
        if one.mapping in self.queues:
            members = {} if one.key is None else {"MessageGroupId": one.key}
            self.queues[one.mapping].send(body, **members)
        elif one.mapping == "clicks":
            self.stream.put(body, one.key or "")
        elif one.mapping == "changes":
            self.table.put({"id": {"S": one.key or ""}, "change": {"S": one.record}})
        elif self.topic is not None:
            self.topic.put(body, one.key)

    def split(self) -> None:
        """Split one of the stream's shards."""
        self.stream.split(self.stream.open_shards()[0])

    def given_up(self) -> frozenset[tuple[str, str]]:
        """(mapping, record) of what is in dead-letter queues and failure documents."""
        found = {(name, json.loads(body)["id"]) for name, queue in self.dead.items() for body in queue.bodies()}
        documents = self.failures.read_text().splitlines() if self.failures.exists() else []
        for document in documents:
            payload = json.loads(json.loads(document)["payload"])
            found.update(("clicks", name_of_record(record)) for record in payload["Records"])
        return frozenset(found)


@contextmanager
def set_stage(folder: Path) -> Iterator[Stage]:
    """Start the servers, and lead clients and functions to them by the environment, until the context is left."""
    with ExitStack() as stack:
        aws = stack.enter_context(EmbeddedAws.in_thread())
        stack.enter_context(_environment({**aws.environment, FOLDER: str(folder)}))
        topic = _topic(stack)
        aws.run(lambda: aws.dynamodb.create_table("items", shards=2))
        dead = {"orders": _queue(aws, "orders-dead", 30), "payments": _queue(aws, "payments-dead.fifo", 30)}
        queues = {
            "orders": _queue(aws, "orders", 2, dead["orders"]),
            "payments": _queue(aws, "payments.fifo", 2, dead["payments"]),
            "events": _queue(aws, "events", 3),
            "reports": _queue(aws, "reports", 2),
        }
        stream = EmbeddedStream.create(aws, "clicks", shards=2)
        yield Stage(queues, dead, stream, EmbeddedTable(aws, "items"), topic, folder)


def _topic(stack: ExitStack) -> EmbeddedTopic | None:
    """A topic of an embedded Kafka. Where that is not installed, says so and how to get it."""
    from pollers.testing.kafka.mock import KafkaNotInstalled

    try:
        from pollers.testing.kafka import EmbeddedKafka

        kafka = EmbeddedKafka()
    except KafkaNotInstalled as error:
        print(f"Without its Kafka topic: {error}", file=sys.stderr)
        return None
    return stack.enter_context(kafka).create_topic("readings", partitions=3)


def _queue(aws: EmbeddedAws, name: str, visibility: int, dead: EmbeddedQueue | None = None) -> EmbeddedQueue:
    attributes = {"VisibilityTimeout": str(visibility)}
    if name.endswith(".fifo"):
        attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    if dead is not None:
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 3})
    answer = aws.run(lambda: aws.sqs.call("CreateQueue", {"QueueName": name, "Attributes": attributes}))
    assert isinstance(answer, dict)
    return EmbeddedQueue(aws, str(answer["QueueUrl"]))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables, until the context is left."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
