"""Amazon resource names, and the three ways to name a queue: ARN, URL and bare name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

__all__ = ["Arn", "QueueName", "is_aws_host", "partition_of"]

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
_AWS_DOMAINS = ("amazonaws.com", "amazonaws.com.cn", "api.aws", "c2s.ic.gov", "sc2s.sgov.gov")
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+")
_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("us-iso-", "aws-iso"), ("us-isob-", "aws-iso-b"))


@dataclass(frozen=True, slots=True)
class Arn:
    """An Amazon resource name in its parts. `str()` gives it back as it was."""

    partition: str  # "aws", "aws-cn", "aws-us-gov"
    service: str  # "sqs"
    region: str  # "" for services without regions
    account: str  # "" where the service leaves it out
    resource: str  # all that follows, with its own colons and slashes: "orders", "stream/clicks"

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Raises ValueError, with words for a user, for what is no ARN."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or not (parts[1] and parts[2] and parts[5]):
            raise ValueError(f"{text!r} is no ARN: one looks like arn:aws:sqs:eu-west-1:123456789012:orders")
        return cls(*parts[1:])

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"


@dataclass(frozen=True, slots=True)
class QueueName:
    """A queue as somebody named it: what is known of it before SQS was asked."""

    name: str  # "orders", "orders.fifo"
    region: str | None  # None: the one that the credentials' profile or the environment says
    account: str | None  # None: the account of the credentials
    url: str | None = None  # where it was named by URL

    @property
    def fifo(self) -> bool:
        return self.name.endswith(".fifo")

    @classmethod
    def parse(cls, text: str) -> QueueName:
        """From an ARN, a queue URL or a bare name. Raises ValueError, with words for a user."""
        if text.startswith("arn:"):
            return cls._of_arn(Arn.parse(text))
        if "://" in text:
            return cls._of_url(text)
        return cls(_checked(text, text), None, None)

    @classmethod
    def _of_arn(cls, arn: Arn) -> QueueName:
        if arn.service != "sqs":
            raise ValueError(f"{arn} is not the ARN of a queue: its service is {arn.service}, not sqs")
        return cls(_checked(arn.resource, str(arn)), arn.region or None, arn.account or None)

    @classmethod
    def _of_url(cls, url: str) -> QueueName:
        split = urlsplit(url)
        path = [unquote(part) for part in split.path.split("/") if part]
        if split.scheme not in ("http", "https") or not split.hostname or not path:
            raise ValueError(
                f"{url!r} is no queue URL: one looks like https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
            )
        account = path[-2] if len(path) > 1 and path[-2].isdigit() else None
        return cls(_checked(path[-1], url), _region_of(split.hostname), account, url)

    def arn(self, region: str, account: str = "") -> Arn:
        """The queue's ARN; `region` and `account` count where the name says none."""
        region = self.region or region
        return Arn(partition_of(region), "sqs", region, self.account or account, self.name)

    def url_at(self, endpoint: str) -> str:
        """The queue's URL below a service's endpoint, as SQS itself makes them. Needs the account."""
        return f"{endpoint.rstrip('/')}/{self.account}/{self.name}"


def partition_of(region: str) -> str:
    """The partition that a region belongs to: "aws" unless its name says otherwise."""
    return next((partition for prefix, partition in _PARTITIONS if region.startswith(prefix)), "aws")


def is_aws_host(host: str) -> bool:
    """Whether a host is one of AWS's own, and not an emulator or a proxy."""
    return any(host == domain or host.endswith(f".{domain}") for domain in _AWS_DOMAINS)


def _region_of(host: str) -> str | None:
    """The region in `sqs.eu-west-1.amazonaws.com` and its relatives: legacy, FIPS, dual stack and VPC endpoints."""
    if not is_aws_host(host):
        return None
    if host == "queue.amazonaws.com":  # AWS: the legacy endpoint of us-east-1 has no region in its name
        return "us-east-1"
    return next((label for label in host.split(".") if _REGION.fullmatch(label)), None)


def _checked(name: str, text: str) -> str:
    if not _QUEUE_NAME.fullmatch(name):
        raise ValueError(
            f"{text!r} does not name a queue: a queue's name has up to 80 letters, digits, hyphens and underscores, "
            "and ends in .fifo if it is one"
        )
    return name
