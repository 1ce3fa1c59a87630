"""The SQS source and destination through botocore's client and HTTP, against the embedded service, under the engine."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pollers.aws.client import Clients
from pollers.destinations.sqs import SqsDestination
from pollers.engine.mapping import Mapping
from pollers.engine.supervisor import Pollers
from pollers.errors import SourceError
from pollers.flow.records import Grant, Outcome, Page, Partition, Policy, Returned
from pollers.sources.sqs import SqsSource
from pollers.spi import Failure, Function, Invocation
from pollers.testing.front import EmbeddedAws
from pollers.testing.sqs import SqsModel


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedAws]:
    async with EmbeddedAws() as embedded:
        for name, value in embedded.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield embedded


def create(sqs: SqsModel, name: str, **attributes: str) -> str:
    if name.endswith(".fifo"):
        attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    answer = sqs.call("CreateQueue", {"QueueName": name, "Attributes": attributes})
    assert isinstance(answer, dict)
    return str(answer["QueueUrl"])


def left(aws: EmbeddedAws, name: str) -> list[str]:
    return aws.sqs.queue(name).bodies()


class Handler:
    """A target that calls a coroutine function with each event."""

    def __init__(self, handle: Callable[[dict[str, Any]], Any], timeout: float = 5.0) -> None:
        self.function = Function("handler", "arn:aws:lambda:us-east-1:123456789012:function:handler", timeout)
        self._handle = handle

    async def open(self) -> None:
        return None

    async def invoke(self, invocation: Invocation) -> Outcome:
        return Returned(await self._handle(invocation.event))

    async def close(self) -> None:
        return None


class WatchedSource(SqsSource):
    """Says when it is first read."""

    def __init__(self, queue: str) -> None:
        super().__init__(queue)
        self.read_once = asyncio.Event()

    async def read(self, grant: Grant, limit: int) -> Page:
        self.read_once.set()
        return await super().read(grant, limit)


@pytest.mark.rule("5.6-1", "5.6-4", "5.6-6")
async def test_reported_messages_come_again_and_the_others_are_deleted(aws: EmbeddedAws) -> None:
    url = create(aws.sqs, "orders", VisibilityTimeout="1")
    for number in range(30):
        aws.sqs.call("SendMessage", {"QueueUrl": url, "MessageBody": str(number)})
    seen: list[tuple[str, str]] = []
    complete = asyncio.Event()

    async def handle(event: dict[str, Any]) -> dict[str, Any]:
        failed = []
        for record in event["Records"]:
            receives = record["attributes"]["ApproximateReceiveCount"]
            seen.append((record["body"], receives))
            if record["body"] == "7" and receives == "1":
                failed.append({"itemIdentifier": record["messageId"]})
        if len(seen) == 31:
            complete.set()
        return {"batchItemFailures": failed}

    async with Clients() as clients:
        source = SqsSource(url, clients=clients)
        mapping = Mapping("m", source, Handler(handle), Policy(reports=True))
        async with Pollers([mapping]) as pollers:
            await complete.wait()
            drained = await pollers.drain(5)
        assert not drained
    assert left(aws, "orders") == []
    assert sorted(seen) == sorted([(str(number), "1") for number in range(30)] + [("7", "2")])
    assert source.requests["DeleteMessageBatch", "ok"] <= 8


@pytest.mark.rule("4-2", "4-9")
async def test_groups_of_a_fifo_queue_are_in_order_and_run_side_by_side(aws: EmbeddedAws) -> None:
    url = create(aws.sqs, "orders.fifo", VisibilityTimeout="30")
    for number in range(10):
        for group in "abc":
            request = {"QueueUrl": url, "MessageBody": f"{group}{number}", "MessageGroupId": group}
            aws.sqs.call("SendMessage", request)
    order: list[str] = []
    busy: list[set[str]] = []
    running: set[str] = set()
    complete = asyncio.Event()

    async def handle(event: dict[str, Any]) -> None:
        groups = {record["attributes"]["MessageGroupId"] for record in event["Records"]}
        assert not groups & running
        running.update(groups)
        busy.append(set(running))
        await asyncio.sleep(0.02)
        order.extend(record["body"] for record in event["Records"])
        running.difference_update(groups)
        if len(order) == 30:
            complete.set()

    mapping = Mapping("m", SqsSource("orders.fifo"), Handler(handle), Policy(batch_size=2))
    async with Pollers([mapping]):
        await complete.wait()
    assert left(aws, "orders.fifo") == []
    for group in "abc":
        assert [body for body in order if body.startswith(group)] == [f"{group}{number}" for number in range(10)]
    assert max(map(len, busy)) > 1


@pytest.mark.rule("13-3")
async def test_function_may_outlast_the_visibility_timeout(aws: EmbeddedAws) -> None:
    url = create(aws.sqs, "slow", VisibilityTimeout="1")
    aws.sqs.call("SendMessage", {"QueueUrl": url, "MessageBody": "x"})
    calls = 0
    complete = asyncio.Event()

    async def handle(event: dict[str, Any]) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(3.5)
        complete.set()

    async with Pollers([Mapping("m", SqsSource(url), Handler(handle))]):
        await complete.wait()
    assert left(aws, "slow") == []
    assert calls == 1
    assert aws.sqs.journal.count("ChangeMessageVisibilityBatch") >= 1


@pytest.mark.rule("2.1-3", "2.1-4")
async def test_event_from_the_wire_is_ready_for_json(aws: EmbeddedAws) -> None:
    url = create(aws.sqs, "orders")
    attributes = {"b": {"DataType": "Binary", "BinaryValue": "AP8="}, "s": {"DataType": "Number", "StringValue": "1"}}
    request = {"QueueUrl": url, "MessageBody": "x", "MessageAttributes": attributes}
    sent = aws.sqs.call("SendMessage", request)
    assert isinstance(sent, dict)
    events: list[dict[str, Any]] = []
    complete = asyncio.Event()

    async def handle(event: dict[str, Any]) -> None:
        events.append(json.loads(json.dumps(event)))
        complete.set()

    async with Pollers([Mapping("m", SqsSource(url), Handler(handle))]):
        await complete.wait()
    (record,) = events[0]["Records"]
    assert record["messageAttributes"] == {
        "b": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
        "s": {"stringValue": "1", "stringListValues": [], "binaryListValues": [], "dataType": "Number"},
    }
    assert record["md5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert record["awsRegion"] == "us-east-1"
    assert record["eventSourceARN"] == "arn:aws:sqs:us-east-1:123456789012:orders"


async def test_idle_poll_is_cut_off_on_stop_and_leaves_nothing(
    aws: EmbeddedAws, caplog: pytest.LogCaptureFixture
) -> None:
    url = create(aws.sqs, "orders")

    async def handle(event: dict[str, Any]) -> None:
        raise AssertionError("nothing was sent")

    with caplog.at_level(logging.INFO):
        source = WatchedSource(url)
        async with Pollers([Mapping("m", source, Handler(handle))]):
            await source.read_once.wait()
    assert "was cut off" in caplog.text
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("name", ["arn:aws:sqs:us-east-1:123456789012:{}", "{}", "url"])
async def test_queue_is_found_by_arn_name_and_url(aws: EmbeddedAws, name: str) -> None:
    url = create(aws.sqs, "orders")
    source = SqsSource(url if name == "url" else name.format("orders"))
    await source.open()
    await source.close()
    assert source.arn == "arn:aws:sqs:us-east-1:123456789012:orders"


@pytest.mark.rule("5.9-3")
async def test_destination_sends_the_document_without_its_payload(aws: EmbeddedAws) -> None:
    url = create(aws.sqs, "failures")
    destination = SqsDestination("arn:aws:sqs:us-east-1:123456789012:failures")
    await destination.open()
    document = {"requestContext": {"requestId": "1"}, "version": "1.0"}
    await destination.deliver(Failure(document, {"Records": ["secret"]}, [None], "m", Partition("p")))
    await destination.close()
    (body,) = left(aws, url.rpartition("/")[2])
    assert json.loads(body) == document


async def test_missing_destination_is_said_at_start(aws: EmbeddedAws) -> None:
    destination = SqsDestination(f"{aws.endpoint_url}/123456789012/failures")
    with pytest.raises(SourceError, match="does not exist") as caught:
        await destination.open()
    await destination.close()
    assert caught.value.missing
