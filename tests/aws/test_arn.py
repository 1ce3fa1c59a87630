"""ARNs, and the three ways to name a queue."""

from __future__ import annotations

import pytest

from pollers.aws.arn import Arn, QueueName, is_aws_host, partition_of


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:sqs:eu-west-1:123456789012:orders.fifo",
        "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/clicks",
        "arn:aws:dynamodb:us-east-2:123456789012:table/t/stream/2024-01-01T00:00:00.000",
        "arn:aws:s3:::bucket",
        "arn:aws:lambda:us-east-1:123456789012:function:orders:live",
    ],
)
def test_arn_is_given_back_as_it_was(text: str) -> None:
    assert str(Arn.parse(text)) == text


def test_arn_keeps_the_colons_of_its_resource() -> None:
    assert Arn.parse("arn:aws:lambda:us-east-1:1:function:orders:live").resource == "function:orders:live"


@pytest.mark.parametrize("text", ["", "orders", "arn:aws:sqs", "arn::sqs:r:1:x", "arn:aws:sqs:r:1:", "urn:a:b:c:d:e"])
def test_what_is_no_arn_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="arn:aws:sqs:eu-west-1:123456789012:orders"):
        Arn.parse(text)


@pytest.mark.parametrize(
    ("text", "name", "region", "account"),
    [
        ("orders", "orders", None, None),
        ("orders.fifo", "orders.fifo", None, None),
        ("arn:aws:sqs:eu-west-1:123456789012:orders", "orders", "eu-west-1", "123456789012"),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/orders", "orders", "eu-west-1", "123456789012"),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/orders", "orders", "eu-west-1", "123456789012"),
        ("https://queue.amazonaws.com/123456789012/orders", "orders", "us-east-1", "123456789012"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/o", "o", "cn-north-1", "123456789012"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/o", "o", "us-gov-west-1", "123456789012"),
        ("https://sqs.us-east-1.api.aws/123456789012/o", "o", "us-east-1", "123456789012"),
        ("https://vpce-1a-2b.sqs.us-east-1.vpce.amazonaws.com/123456789012/o", "o", "us-east-1", "123456789012"),
        ("http://127.0.0.1:9324/000000000000/orders", "orders", None, "000000000000"),
        ("http://localhost:4566/queue/us-east-1/000000000000/orders", "orders", None, "000000000000"),
        ("http://localhost:9324/queue/orders", "orders", None, None),
    ],
)
def test_queue_is_named_by_arn_url_or_name(text: str, name: str, region: str | None, account: str | None) -> None:
    named = QueueName.parse(text)
    assert (named.name, named.region, named.account) == (name, region, account)
    assert named.url == (text if "://" in text else None)
    assert named.fifo is name.endswith(".fifo")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks", "its service is kinesis, not sqs"),
        ("ftp://sqs.eu-west-1.amazonaws.com/1/orders", "is no queue URL"),
        ("https://sqs.eu-west-1.amazonaws.com/", "is no queue URL"),
        ("http:///1/orders", "is no queue URL"),
        ("or ders", "does not name a queue"),
        ("x" * 81, "does not name a queue"),
        ("orders.lifo", "does not name a queue"),
        ("", "does not name a queue"),
    ],
)
def test_what_names_no_queue_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        QueueName.parse(text)


def test_queue_has_the_arn_of_its_region_and_account() -> None:
    named = QueueName.parse("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders")
    assert str(named.arn("us-east-1")) == "arn:aws-cn:sqs:cn-north-1:123456789012:orders"
    assert str(QueueName.parse("orders").arn("us-east-1", "1")) == "arn:aws:sqs:us-east-1:1:orders"


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("cn-northwest-1", "aws-cn"),
        ("us-gov-east-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
    ],
)
def test_partition_follows_from_the_region(region: str, partition: str) -> None:
    assert partition_of(region) == partition


def test_hosts_that_only_look_like_aws_are_not_aws() -> None:
    assert is_aws_host("sqs.eu-west-1.amazonaws.com")
    assert not is_aws_host("sqs.eu-west-1.amazonaws.com.evil.example")
    assert not is_aws_host("notamazonaws.com")
