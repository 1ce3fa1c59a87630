"""What the tests of `pollers.testing` share: the SQS model on a clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pollers.testing.service import Waiting
from pollers.testing.sqs import Limits, SqsModel

pytest.register_assert_rewrite("sqs_cases_messages", "sqs_cases_queues", "sqs_cases_fifo")


class Sqs:
    """The model in virtual time. Members of requests are keyword arguments, spelled as the API has them."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.time = 1_700_000_000.0
        self.model = SqsModel(lambda: self.time, limits=limits)

    def __call__(self, action: str, **members: Any) -> dict[str, Any]:
        answer = self.model.call(action, members)
        assert isinstance(answer, dict), f"{action} waits"
        return answer

    def pass_time(self, seconds: float) -> None:
        self.time += seconds
        self.model.tick()

    def create(self, name: str, **attributes: str) -> str:
        if name.endswith(".fifo"):
            attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}
        return str(self("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"])

    def send(self, url: str, body: str, **members: Any) -> dict[str, Any]:
        return self("SendMessage", QueueUrl=url, MessageBody=body, **members)

    def send_all(self, url: str, *bodies: str, group: str | None = None) -> None:
        for body in bodies:
            self.send(url, body, **({} if group is None else {"MessageGroupId": group}))

    def receive(self, url: str, limit: int = 10, **members: Any) -> list[dict[str, Any]]:
        answer = self("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=limit, **members)
        return list(answer.get("Messages", []))

    def bodies(self, url: str, limit: int = 10, **members: Any) -> list[str]:
        return [message["Body"] for message in self.receive(url, limit, **members)]

    def poll(self, url: str, wait: int = 20, **members: Any) -> Waiting:
        members = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": wait, **members}
        waiting = self.model.call("ReceiveMessage", {"QueueUrl": url, **members})
        assert isinstance(waiting, Waiting), waiting
        return waiting

    def delete(self, url: str, message: dict[str, Any]) -> None:
        self("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def change(self, url: str, message: dict[str, Any], seconds: int) -> None:
        handle = message["ReceiptHandle"]
        self("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds)

    def attributes(self, url: str, *names: str) -> dict[str, str]:
        return dict(self("GetQueueAttributes", QueueUrl=url, AttributeNames=list(names or ("All",)))["Attributes"])

    def counts(self, url: str) -> tuple[int, int, int]:
        """Waiting, in flight, delayed."""
        shown = self.attributes(url)
        prefix = "ApproximateNumberOfMessages"
        return int(shown[prefix]), int(shown[prefix + "NotVisible"]), int(shown[prefix + "Delayed"])


@pytest.fixture
def sqs() -> Sqs:
    return Sqs()


@pytest.fixture(scope="session")
def sqs_with() -> Callable[[Limits], Sqs]:
    return Sqs
