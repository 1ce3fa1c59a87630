"""An ordinary client, and what black-box tests do with it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import md5
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

_names = itertools.count(1)


@dataclass(frozen=True)
class KinesisServer:
    """A Kinesis to try things on, and what it is known not to do."""

    name: str
    url: str
    lacks: Mapping[str, str]

    def wanted(self, ability: str) -> None:
        """Skip the test where the server is known to lack what it needs."""
        if ability in self.lacks:
            pytest.skip(f"{self.name}: {self.lacks[ability]}")


LACKS: dict[str, dict[str, str]] = {
    "embedded": {},
    "kinesis-local": {
        "throttles": "it never throttles",
        "pushed ends": "a subscription to a closed shard does not end",
    },
    "kinesalite": {
        "throttles": "it never throttles",
        "paging": "ListShards has no pages and no filters",
        "children": "GetRecords names no ChildShards",
        "scaling": "it has no UpdateShardCount",
        "consumers": "it has no SubscribeToShard",
        "arns": "streams have no ARN in its requests",
    },
}


class Bench:
    """One stream of its own on a server."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.name = f"stream-{next(_names)}"

    async def create(self, shards: int = 1) -> None:
        await self.client.create_stream(StreamName=self.name, ShardCount=shards)
        await self.active()

    async def active(self) -> None:
        """Wait until the stream may be changed again: servers take a moment, some a fixed one."""
        while (await self.describe())["StreamStatus"] != "ACTIVE":
            await asyncio.sleep(0.02)

    async def describe(self) -> dict[str, Any]:
        answer = await self.client.describe_stream(StreamName=self.name)
        described: dict[str, Any] = answer["StreamDescription"]
        return described

    async def shards(self) -> list[dict[str, Any]]:
        answer = await self.client.list_shards(StreamName=self.name)
        listed: list[dict[str, Any]] = answer["Shards"]
        return listed

    async def open_shards(self) -> list[dict[str, Any]]:
        """By hash range."""
        found = [one for one in await self.shards() if "EndingSequenceNumber" not in one["SequenceNumberRange"]]
        return sorted(found, key=lambda one: int(one["HashKeyRange"]["StartingHashKey"]))

    async def consumer(self) -> str:
        """Register a consumer; its ARN, once it is ACTIVE."""
        arn = (await self.describe())["StreamARN"]
        made = await self.client.register_stream_consumer(StreamARN=arn, ConsumerName="mine")
        consumer = str(made["Consumer"]["ConsumerARN"])
        while True:
            answer = await self.client.describe_stream_consumer(ConsumerARN=consumer)
            if answer["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE":
                return consumer
            await asyncio.sleep(0.02)

    async def put(self, text: str, key: str = "key") -> tuple[str, str]:
        answer = await self.client.put_record(StreamName=self.name, PartitionKey=key, Data=text.encode())
        return answer["ShardId"], answer["SequenceNumber"]

    async def split(self, shard: dict[str, Any]) -> None:
        hashes = shard["HashKeyRange"]
        middle = (int(hashes["StartingHashKey"]) + int(hashes["EndingHashKey"])) // 2 + 1
        await self.client.split_shard(
            StreamName=self.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
        )
        await self.active()

    async def merge(self, left: dict[str, Any], right: dict[str, Any]) -> None:
        await self.client.merge_shards(
            StreamName=self.name, ShardToMerge=left["ShardId"], AdjacentShardToMerge=right["ShardId"]
        )
        await self.active()

    async def iterator(self, shard: str, kind: str = "TRIM_HORIZON", **where: Any) -> str:
        answer = await self.client.get_shard_iterator(
            StreamName=self.name, ShardId=shard, ShardIteratorType=kind, **where
        )
        return str(answer["ShardIterator"])

    async def read(self, iterator: str | None, *, most: int = 20) -> tuple[list[str], dict[str, Any]]:
        """Read until two answers in a row bring nothing, or to the end; the texts, and the last answer."""
        texts: list[str] = []
        quiet, answer = 0, {}
        while iterator and quiet < 2 and most:
            most -= 1
            answer = await self.client.get_records(ShardIterator=iterator)
            texts += [record["Data"].decode() for record in answer["Records"]]
            quiet = 0 if answer["Records"] else quiet + 1
            iterator = answer.get("NextShardIterator")
            await asyncio.sleep(0.25)  # five reads a second
        return texts, answer


@asynccontextmanager
async def bench_on(url: str, attempts: int = 5) -> AsyncIterator[Bench]:
    """`attempts`: how often the client tries a call that is refused."""
    session = get_session()
    options = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    config = AioConfig(retries={"mode": "standard", "total_max_attempts": attempts})
    async with session.create_client("kinesis", endpoint_url=url, config=config, **options) as client:
        yield Bench(client)


def hash_of(key: str) -> int:
    return int.from_bytes(md5(key.encode(), usedforsecurity=False).digest(), "big")
