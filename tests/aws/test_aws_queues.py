"""How a queue is found, and what is said when it is not."""

from __future__ import annotations

from typing import Any

import pytest

from pollers.aws.arn import QueueName
from pollers.aws.errors import CallFailed, Diagnosis, Kind
from pollers.aws.queues import Queue, find_queue, queue_url
from pollers.errors import SourceError

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"


class FakeClient:
    """Stands where `Client` stands; answers by operation."""

    def __init__(self, endpoint: str = "http://127.0.0.1:9324", **answers: dict[str, Any] | Kind) -> None:
        self.endpoint = endpoint
        self.region = "eu-west-1"
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers

    async def open(self) -> None:
        return None

    async def call(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        self.calls.append((operation, parameters))
        answer = self._answers[operation]
        if isinstance(answer, Kind):
            raise CallFailed(operation, Diagnosis(answer, "it failed", "Do something."))
        return answer


def found(**attributes: str) -> dict[str, Any]:
    return {"Attributes": {"QueueArn": ARN, **attributes}}


async def find(client: FakeClient, text: str) -> Queue:
    return await find_queue(client, QueueName.parse(text), text)  # type: ignore[arg-type]


async def test_arn_asks_for_the_url_with_its_account() -> None:
    client = FakeClient(GetQueueUrl={"QueueUrl": "http://u/1/orders"}, GetQueueAttributes=found(VisibilityTimeout="7"))
    queue = await find(client, ARN)
    assert client.calls == [
        ("GetQueueUrl", {"QueueName": "orders", "QueueOwnerAWSAccountId": "123456789012"}),
        ("GetQueueAttributes", {"QueueUrl": "http://u/1/orders", "AttributeNames": ["All"]}),
    ]
    assert (queue.url, str(queue.arn), queue.number("VisibilityTimeout", 30)) == ("http://u/1/orders", ARN, 7)
    assert queue.number("Unheard", 30) == 30


async def test_role_that_may_not_ask_for_the_url_does_with_the_arn() -> None:
    client = FakeClient("https://sqs.eu-west-1.amazonaws.com", GetQueueUrl=Kind.DENIED, GetQueueAttributes=found())
    assert (await find(client, ARN)).url == "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
    with pytest.raises(SourceError, match=r"orders: it failed\. Do something\."):
        await find(client, "orders")  # whose account nobody said


async def test_name_gets_its_account_from_the_service() -> None:
    client = FakeClient(GetQueueUrl={"QueueUrl": "http://u/1/orders"}, GetQueueAttributes=found())
    assert str((await find(client, "orders")).arn) == ARN
    assert client.calls[0] == ("GetQueueUrl", {"QueueName": "orders"})


async def test_service_that_tells_no_arn_is_made_do_with() -> None:
    client = FakeClient(GetQueueUrl={"QueueUrl": "http://u/1/orders"}, GetQueueAttributes={"Attributes": {"A": "1"}})
    assert str((await find(client, "orders")).arn) == "arn:aws:sqs:eu-west-1:000000000000:orders"


async def test_emulators_queue_is_not_looked_for_in_aws() -> None:
    client = FakeClient("https://sqs.eu-west-1.amazonaws.com")
    with pytest.raises(SourceError) as caught:
        await find(client, "http://127.0.0.1:9324/000000000000/orders")
    assert client.calls == []
    assert caught.value.missing
    assert "Set AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9324." in str(caught.value)


async def test_url_is_used_as_it_is_where_it_cannot_be_wrong() -> None:
    for endpoint, url in (
        ("https://sqs.eu-west-1.amazonaws.com", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"),
        ("http://127.0.0.1:4566", "http://localstack:4566/000000000000/orders"),
        ("http://127.0.0.1:4566", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"),
    ):
        client = FakeClient(endpoint)
        assert await queue_url(client, QueueName.parse(url), url) == url  # type: ignore[arg-type]
        assert client.calls == []


@pytest.mark.parametrize(
    "answers",
    [
        {"GetQueueUrl": {}, "GetQueueAttributes": found()},
        {"GetQueueUrl": {"QueueUrl": "http://u/1/orders"}, "GetQueueAttributes": {}},
    ],
)
async def test_answer_without_its_member_is_not_sqs(answers: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match=r"at http://127.0.0.1:9324 is not SQS"):
        await find(FakeClient(**answers), ARN)
