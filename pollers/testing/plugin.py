"""pytest fixtures for projects that use pollers. Nothing is imported until a test asks for one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pollers.testing.front import EmbeddedAws
    from pollers.testing.kafka import EmbeddedKafka, EmbeddedTopic
    from pollers.testing.queues import EmbeddedQueue
    from pollers.testing.streams import EmbeddedStream
    from pollers.testing.tables import EmbeddedTable

__all__ = [
    "pollers_aws",
    "pollers_dynamodb_table",
    "pollers_kafka",
    "pollers_kafka_topic",
    "pollers_kinesis_stream",
    "pollers_sqs_queue",
]


@pytest.fixture
def pollers_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedAws]:
    """Embedded AWS services of this test's own: an `EmbeddedAws` in a thread.

    The environment leads botocore's clients to it: endpoint, region and credentials of no worth.
    """
    from pollers.testing.front import EmbeddedAws

    with EmbeddedAws.in_thread() as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield aws


@pytest.fixture
def pollers_sqs_queue(pollers_aws: EmbeddedAws) -> Callable[..., EmbeddedQueue]:
    """Makes queues of `pollers_aws`: `pollers_sqs_queue("orders", fifo=True, VisibilityTimeout="2")`."""
    numbers = count(1)

    def create(
        name: str = "",
        *,
        fifo: bool = False,
        dead_letter: EmbeddedQueue | None = None,
        max_receive_count: int = 3,
        **attributes: str,
    ) -> EmbeddedQueue:
        """A new queue, its attributes as the API names them. It gets a name where none is given, FIFO its suffix."""
        name = name or f"queue-{next(numbers)}"
        if fifo:
            name = name.removesuffix(".fifo") + ".fifo"
            attributes["FifoQueue"] = "true"
        if dead_letter is not None:
            policy = {"deadLetterTargetArn": dead_letter.arn, "maxReceiveCount": max_receive_count}
            attributes["RedrivePolicy"] = json.dumps(policy)
        return _create(pollers_aws, name, attributes)

    return create


@pytest.fixture
def pollers_kinesis_stream(pollers_aws: EmbeddedAws) -> Callable[..., EmbeddedStream]:
    """Makes streams of `pollers_aws`: `pollers_kinesis_stream("clicks", shards=4)`."""
    from pollers.testing.streams import EmbeddedStream

    numbers = count(1)

    def create(name: str = "", *, shards: int = 1) -> EmbeddedStream:
        """A new stream; it gets a name where none is given."""
        return EmbeddedStream.create(pollers_aws, name or f"stream-{next(numbers)}", shards)

    return create


@pytest.fixture
def pollers_dynamodb_table(pollers_aws: EmbeddedAws) -> Callable[..., EmbeddedTable]:
    """Makes tables of `pollers_aws`, with a stream: `pollers_dynamodb_table("orders", shards=4, view="KEYS_ONLY")`."""
    from pollers.testing.tables import EmbeddedTable

    numbers = count(1)

    def create(name: str = "", **options: Any) -> EmbeddedTable:
        """A new table. Its key is "id", a string, unless told otherwise; `options` as `DynamoDbModel.create_table`."""
        name = name or f"table-{next(numbers)}"
        pollers_aws.run(lambda: pollers_aws.dynamodb.create_table(name, **options))
        return EmbeddedTable(pollers_aws, name)

    return create


@pytest.fixture
def pollers_kafka() -> Iterator[EmbeddedKafka]:
    """An embedded Kafka of this test's own: an `EmbeddedKafka`, to move leaders and to order trouble."""
    from pollers.testing.kafka.mock import KafkaNotInstalled

    try:
        from pollers.testing.kafka import EmbeddedKafka

        kafka = EmbeddedKafka()
    except KafkaNotInstalled as error:
        pytest.fail(str(error), pytrace=False)
    with kafka:
        yield kafka


@pytest.fixture
def pollers_kafka_topic(pollers_kafka: EmbeddedKafka) -> Callable[..., EmbeddedTopic]:
    """Makes topics of `pollers_kafka`: `pollers_kafka_topic("orders", partitions=3)`."""
    numbers = count(1)

    def create(name: str = "", partitions: int = 1) -> EmbeddedTopic:
        """A new topic; it gets a name where none is given."""
        return pollers_kafka.create_topic(name or f"topic-{next(numbers)}", partitions)

    return create


def _create(aws: EmbeddedAws, name: str, attributes: dict[str, str]) -> EmbeddedQueue:
    from pollers.testing.queues import EmbeddedQueue

    answer = aws.run(lambda: aws.sqs.call("CreateQueue", {"QueueName": name, "Attributes": attributes}))
    assert isinstance(answer, dict)  # only ReceiveMessage may wait
    return EmbeddedQueue(aws, answer["QueueUrl"])
