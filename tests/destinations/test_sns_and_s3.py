"""SNS and S3 as failure destinations, over the wire to a stub that writes down what it is asked."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from pollers.aws.client import Clients
from pollers.destinations.s3 import S3Destination
from pollers.destinations.sns import LARGEST, SnsDestination
from pollers.errors import ConfigurationError, SourceError, Undelivered
from pollers.flow.records import Partition
from pollers.spi import Failure

TOPIC = "arn:aws:sns:us-east-1:123456789012:failures"
BUCKET = "arn:aws:s3:::failures"
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
    "KinesisBatchInfo": {"shardId": "shardId-000000000001", "batchSize": 1},
}
FAILURE = Failure(DOCUMENT, {"Records": [{"eventID": "1"}]}, [b"key"], "mapping-1", Partition("shardId-000000000001"))


def _success(request: bytes) -> str:
    """What SNS says; S3's clients read headers only."""
    if b"Action=GetTopicAttributes" in request:
        return "<R><GetTopicAttributesResult><Attributes/></GetTopicAttributesResult></R>"
    return "<R><PublishResult><MessageId>1</MessageId></PublishResult></R>" if b"Action=Publish" in request else ""


@dataclass
class Asked:
    """A service that says yes, or what it was told to say."""

    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    body: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        content = await request.read()
        self.requests.append((request.method, request.path, dict(request.headers), content))
        return web.Response(status=self.status, text=self.body or _success(content), content_type="text/xml")

    def refuse(self, status: int, code: str) -> None:
        self.status = status
        self.body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"

    def of(self, method: str) -> list[tuple[str, str, dict[str, str], bytes]]:
        return [request for request in self.requests if request[0] == method]


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    service = Asked()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", service.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    yield service
    await runner.cleanup()


def published(asked: Asked) -> list[dict[str, Any]]:
    forms = [parse_qs(content.decode()) for _, _, _, content in asked.of("POST")]
    return [{name: value[0] for name, value in form.items()} for form in forms]


@pytest.mark.rule("5.9-1", "5.9-3")
async def test_a_topic_gets_the_document_without_records(asked: Asked) -> None:
    async with Clients() as clients:
        destination = SnsDestination(TOPIC, clients=clients)
        await destination.open()
        await destination.deliver(FAILURE)
    check, message = published(asked)
    assert check["Action"] == "GetTopicAttributes"
    assert (message["Action"], message["TopicArn"]) == ("Publish", TOPIC)
    assert json.loads(message["Message"]) == DOCUMENT


@pytest.mark.rule("5.9-7", "12-4")
async def test_a_bucket_gets_the_document_with_the_event_as_text(asked: Asked) -> None:
    async with Clients() as clients:
        destination = S3Destination(BUCKET, clients=clients)
        await destination.open()
        await destination.deliver(FAILURE)
    ((_, path, headers, content),) = asked.of("PUT")
    key = r"/failures/aws/lambda/mapping-1/shardId-000000000001/2019/11/14/2019-11-14T00\.38\.06-[0-9a-f-]{36}"
    assert re.fullmatch(key, path)
    assert headers["Content-Type"] == "application/octet-stream"
    body = json.loads(_unchunked(content, headers))
    assert json.loads(body.pop("payload")) == FAILURE.payload
    assert body == DOCUMENT


async def test_a_delivery_that_is_repeated_writes_the_same_object_and_another_failure_another(asked: Asked) -> None:
    async with Clients() as clients:
        destination = S3Destination(BUCKET, clients=clients)
        await destination.deliver(FAILURE)
        await destination.deliver(FAILURE)
        await destination.deliver(replace(FAILURE, payload={"Records": [{"eventID": "2"}]}))
    first, second, other = (path for _, path, _, _ in asked.of("PUT"))
    assert first == second != other


@pytest.mark.parametrize("destination", [SnsDestination(TOPIC), S3Destination(BUCKET)], ids=["sns", "s3"])
async def test_a_refusal_is_undelivered_with_its_reason(
    asked: Asked, destination: SnsDestination | S3Destination
) -> None:
    asked.refuse(403, "AuthorizationError")
    with pytest.raises(Undelivered) as caught:
        await destination.deliver(FAILURE)
    assert caught.value.destination == destination.name
    await destination.close()


@pytest.mark.parametrize("destination", [SnsDestination(TOPIC), S3Destination(BUCKET)], ids=["sns", "s3"])
async def test_what_is_not_there_is_said_at_the_start(
    asked: Asked, destination: SnsDestination | S3Destination
) -> None:
    asked.refuse(404, "NotFound")
    with pytest.raises(SourceError) as caught:
        await destination.open()
    assert caught.value.missing
    await destination.close()


@pytest.mark.parametrize("destination", [SnsDestination(TOPIC), S3Destination(BUCKET)], ids=["sns", "s3"])
async def test_who_may_only_write_may_begin(asked: Asked, destination: SnsDestination | S3Destination) -> None:
    asked.refuse(403, "AccessDenied")
    await destination.open()
    await destination.close()


async def test_a_document_that_no_message_can_hold_is_undelivered_and_not_sent(asked: Asked) -> None:
    destination = SnsDestination(TOPIC)
    with pytest.raises(Undelivered, match=str(LARGEST)):
        await destination.deliver(replace(FAILURE, document={**DOCUMENT, "more": "x" * LARGEST}))
    assert not asked.requests
    await destination.close()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: SnsDestination(f"{TOPIC}.fifo"), "FIFO topic"),
        (lambda: SnsDestination("arn:aws:sqs:us-east-1:123456789012:q"), "not the ARN of a topic"),
        (lambda: SnsDestination("failures"), "no ARN"),
        (lambda: S3Destination("arn:aws:s3:::bucket/key"), "not the ARN of a bucket"),
        (lambda: S3Destination("s3://bucket"), "no ARN"),
    ],
)
def test_what_cannot_be_a_destination_is_refused(made: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        made()


def _unchunked(content: bytes, headers: dict[str, str]) -> bytes:
    """S3's clients may send a body in signed chunks, each behind a line with its length."""
    if "aws-chunked" not in headers.get("Content-Encoding", ""):
        return content
    whole = b""
    while content:
        line, _, content = content.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if not size:
            break
        whole, content = whole + content[:size], content[size + 2 :]
    return whole
