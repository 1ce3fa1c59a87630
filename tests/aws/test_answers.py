"""Records of streams come as the wire has them; everything else is botocore's to read."""

from __future__ import annotations

from datetime import datetime

import pytest

from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed, Kind
from pollers.testing.front import EmbeddedAws


@pytest.fixture
def aws(pollers_aws: EmbeddedAws) -> EmbeddedAws:
    pollers_aws.run(lambda: pollers_aws.kinesis.call("CreateStream", {"StreamName": "clicks", "ShardCount": 1}))
    pollers_aws.run(lambda: pollers_aws.kinesis.stream("clicks").put("key", b"\x00\xff"))
    return pollers_aws


async def test_records_keep_base64_and_numbers(aws: EmbeddedAws) -> None:
    async with Clients() as clients:
        client = clients.get("kinesis", None, "read")
        where = {"StreamName": "clicks", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
        iterator = (await client.call("GetShardIterator", **where))["ShardIterator"]
        answer = await client.call("GetRecords", ShardIterator=iterator, Limit=10)
    (record,) = answer["Records"]
    assert record["Data"] == "AP8="
    assert isinstance(record["ApproximateArrivalTimestamp"], float)
    assert int(answer["ResponseMetadata"]["HTTPHeaders"]["content-length"]) > 100
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


async def test_other_answers_are_parsed_by_their_shapes(aws: EmbeddedAws) -> None:
    async with Clients() as clients:
        answer = await clients.get("kinesis").call("DescribeStreamSummary", StreamName="clicks")
    assert isinstance(answer["StreamDescriptionSummary"]["StreamCreationTimestamp"], datetime)


async def test_errors_keep_their_codes(aws: EmbeddedAws) -> None:
    async with Clients() as clients:
        client = clients.get("kinesis", None, "read")
        with pytest.raises(CallFailed) as caught:
            await client.call("GetRecords", ShardIterator="none", Limit=10)
    assert (caught.value.code, caught.value.kind) == ("InvalidArgumentException", Kind.INVALID)
