"""An embedded SQS with one queue, `orders`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pollers.testing.front import EmbeddedAws
from pollers.testing.queues import EmbeddedQueue


@pytest.fixture
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws.in_thread() as embedded:
        yield embedded


@pytest.fixture
def queue(aws: EmbeddedAws) -> EmbeddedQueue:
    answer = aws.run(lambda: aws.sqs.call("CreateQueue", {"QueueName": "orders"}))
    assert isinstance(answer, dict)
    return EmbeddedQueue(aws, str(answer["QueueUrl"]))
