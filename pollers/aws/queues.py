"""Finds a queue in SQS by whatever it was named by: ARN, URL or bare name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pollers.aws.arn import Arn, QueueName, is_aws_host
from pollers.aws.client import Client
from pollers.aws.errors import CallFailed, Kind
from pollers.errors import SourceError

__all__ = ["Queue", "find_queue", "queue_url"]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that exists, as it was when it was looked at."""

    url: str
    arn: Arn
    attributes: Mapping[str, str]  # of the queue, by SQS's names

    def number(self, attribute: str, default: int) -> int:
        """An attribute that is a whole number; `default` where the service does not say."""
        text = self.attributes.get(attribute, "")
        return int(text) if text.isdigit() else default


async def queue_url(client: Client, named: QueueName, resource: str) -> str:
    """The URL to call a queue by. `resource` is how messages name it. Raises SourceError."""
    try:
        await client.open()
        if named.url is not None:
            return _agreeing(client, named.url, resource)
        owner = {"QueueOwnerAWSAccountId": named.account} if named.account else {}
        answer = await client.call("GetQueueUrl", QueueName=named.name, **owner)
        if "QueueUrl" not in answer:
            raise _not_sqs(client, resource, "GetQueueUrl")
        return str(answer["QueueUrl"])
    except CallFailed as failure:
        # AWS: Lambda's own policies for queues do not hold sqs:GetQueueUrl, and an ARN says all that a URL does.
        if failure.kind is Kind.DENIED and named.account:
            return named.url_at(client.endpoint)
        raise failure.about(resource) from failure.__cause__


async def find_queue(client: Client, named: QueueName, resource: str) -> Queue:
    """A queue with its attributes. Raises SourceError, `missing` where it does not exist."""
    url = await queue_url(client, named, resource)
    try:
        answer = await client.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])
    except CallFailed as failure:
        raise failure.about(resource) from failure.__cause__
    attributes = answer.get("Attributes")
    if not attributes:
        raise _not_sqs(client, resource, "GetQueueAttributes")
    return Queue(url, _arn(named, client.region, attributes.get("QueueArn", "")), attributes)


def _agreeing(client: Client, url: str, resource: str) -> str:
    """The URL, unless calls would go to AWS while it names a host that is not AWS's.

    AWS's clients call their endpoint, whatever the URL of the queue says: an emulator's queue would be looked for in
    the account of whoever is logged in.
    """
    host, called = urlsplit(url).hostname or "", urlsplit(client.endpoint).hostname or ""
    if is_aws_host(called) and not is_aws_host(host):
        place = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        raise SourceError(
            resource,
            f"it is on {host}, and calls of SQS would go to {client.endpoint}",
            f"Set AWS_ENDPOINT_URL_SQS={place}.",
            missing=True,
        )
    return url


def _arn(named: QueueName, region: str, said: str) -> Arn:
    """What the user wrote goes first: some emulators have ARNs that nobody would recognize, or none."""
    if named.account or not said.startswith("arn:"):
        return named.arn(region, "000000000000")
    return Arn.parse(said)


def _not_sqs(client: Client, resource: str, operation: str) -> SourceError:
    return SourceError(
        resource,
        f"what answers {operation} at {client.endpoint} is not SQS",
        "Check AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_SQS.",
    )
