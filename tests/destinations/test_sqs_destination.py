"""A queue as failure destination: what it is sent, and what is said when it is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pollers.aws.errors import CallFailed, Diagnosis, Kind
from pollers.destinations.sqs import LARGEST, SqsDestination
from pollers.errors import ConfigurationError, SourceError, Undelivered
from pollers.flow.records import Partition
from pollers.spi import Failure

ARN = "arn:aws:sqs:eu-west-1:123456789012:failures"


class FakeClients:
    """Stands where `Clients` stands, and is its only client."""

    endpoint = "https://sqs.eu-west-1.amazonaws.com"
    region = "eu-west-1"

    def __init__(self, **failures: Kind) -> None:
        self.failures = failures
        self.attributes = {"QueueArn": ARN}
        self.sent: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str | None]] = []

    def get(self, service: str, region: str | None = None) -> FakeClients:
        self.asked.append((service, region))
        return self

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        raise AssertionError("shared clients are not the destination's to close")

    async def call(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        if operation in self.failures:
            kind = self.failures[operation]
            raise CallFailed(operation, Diagnosis(kind, f"{operation} failed", "Do something."))
        if operation == "SendMessage":
            self.sent.append(parameters)
        return {"QueueUrl": "https://q/1/failures", "Attributes": self.attributes}


def failure(**members: Any) -> Failure:
    return Failure({"version": "1.0", **members}, {"Records": ["payload"]}, [None], "m", Partition("p"))


async def opened(clients: FakeClients) -> SqsDestination:
    destination = SqsDestination(ARN, clients=clients)  # type: ignore[arg-type]
    await destination.open()
    return destination


@pytest.mark.rule("5.9-3")
async def test_message_is_the_document_without_its_payload() -> None:
    clients = FakeClients()
    destination = await opened(clients)
    await destination.deliver(failure(text="\u20ac"))
    await destination.close()
    (sent,) = clients.sent
    assert sent["QueueUrl"] == "https://q/1/failures"
    assert json.loads(sent["MessageBody"]) == {"version": "1.0", "text": "\u20ac"}
    assert clients.asked == [("sqs", "eu-west-1")]
    assert destination.name == ARN


async def test_refusal_is_said_with_cause_and_remedy() -> None:
    destination = await opened(FakeClients(SendMessage=Kind.DENIED))
    with pytest.raises(Undelivered) as caught:
        await destination.deliver(failure())
    assert caught.value.destination == ARN
    assert caught.value.reason == "SendMessage failed. Do something"


async def test_document_that_is_too_large_is_not_sent() -> None:
    clients = FakeClients()
    destination = await opened(clients)
    with pytest.raises(Undelivered, match=f"and the queue takes {LARGEST}; raise its MaximumMessageSize"):
        await destination.deliver(failure(text="x" * LARGEST))
    clients.attributes["MaximumMessageSize"] = "1024"
    await destination.open()
    await destination.deliver(failure(text="x" * 900))
    with pytest.raises(Undelivered, match="and the queue takes 1024"):
        await destination.deliver(failure(text="x" * 1024))
    assert len(clients.sent) == 1


async def test_missing_queue_is_said_at_start_and_a_lack_of_rights_to_look_is_not() -> None:
    with pytest.raises(SourceError) as caught:
        await opened(FakeClients(GetQueueAttributes=Kind.MISSING))
    assert caught.value.missing
    clients = FakeClients(GetQueueUrl=Kind.DENIED, GetQueueAttributes=Kind.DENIED)
    await (await opened(clients)).deliver(failure())
    assert clients.sent[0]["QueueUrl"] == "https://sqs.eu-west-1.amazonaws.com/123456789012/failures"


@pytest.mark.parametrize("queue", [f"{ARN}.fifo", "failures.fifo", "https://sqs.eu-west-1.amazonaws.com/1/f.fifo"])
def test_fifo_queue_is_refused(queue: str) -> None:
    with pytest.raises(ConfigurationError, match="FIFO queue, which cannot be a failure destination"):
        SqsDestination(queue)


def test_what_names_no_queue_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no ARN"):
        SqsDestination("arn:aws:sqs")
