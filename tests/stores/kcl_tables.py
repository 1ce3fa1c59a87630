"""Lease tables that the Kinesis Client Library left, and what it makes of a lease: its own reading, in Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pollers.aws.client import Clients

Item = dict[str, Any]

SAMPLES = Path(__file__).parent / "samples" / "kcl-lease-table.json"
REGION = "eu-west-1"
SENTINELS = ("AT_TIMESTAMP", "TRIM_HORIZON", "LATEST", "SHARD_END")


@dataclass(frozen=True)
class Moment:
    name: str
    items: Sequence[Item]

    @property
    def leases(self) -> list[Item]:
        return [item for item in self.items if item.get("entityType", {"S": "LEASE"}) == {"S": "LEASE"}]


def moments() -> Iterator[Moment]:
    """The lease table of each moment."""
    for moment in json.loads(SAMPLES.read_text())["moments"]:
        for table, items in moment["tables"].items():
            if all("leaseKey" in item for item in items):  # 3.4 keeps the others in tables of another key
                yield Moment(f"{moment['run']}: {moment['moment']} ({table})", [_bytes(item) for item in items])


def _bytes(item: Item) -> Item:
    return {name: {"B": bytes.fromhex(value["B"])} if "B" in value else value for name, value in item.items()}


class LeaseTable:
    """A table as somebody else sees it, who knows nothing of ours."""

    def __init__(self, clients: Clients, name: str) -> None:
        self.name = name
        self._client = clients.get("dynamodb", REGION)

    async def make(self, items: Sequence[Item], key: str = "leaseKey") -> None:
        await self._client.call(
            "CreateTable",
            TableName=self.name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        for item in items:
            await self._client.call("PutItem", TableName=self.name, Item=item)

    async def items(self) -> dict[str, Item]:
        answer = await self._client.call("Scan", TableName=self.name)
        return {item["leaseKey"]["S"]: _ordered(item) for item in answer["Items"]}

    async def write(self, key: str, counter: int, **changes: Any) -> None:
        """As the library writes: conditional on the counter, which grows; None takes an attribute away."""
        updates: dict[str, Any] = {
            name: {"Action": "DELETE"} if value is None else {"Action": "PUT", "Value": value}
            for name, value in changes.items()
        }
        updates["leaseCounter"] = {"Action": "PUT", "Value": {"N": str(counter + 1)}}
        await self._client.call(
            "UpdateItem",
            TableName=self.name,
            Key={"leaseKey": {"S": key}},
            AttributeUpdates=updates,
            Expected={"leaseCounter": {"Value": {"N": str(counter)}}},
        )


def _ordered(item: Item) -> Item:
    """A set has no order."""
    return {name: {"SS": sorted(value["SS"])} if "SS" in value else value for name, value in item.items()}


@dataclass(frozen=True)
class Lease:
    """What the library's DynamoDBLeaseSerializer reads."""

    key: str
    owner: str | None
    counter: int
    switches: int
    checkpoint: tuple[str, int]
    pending: str | None
    parents: frozenset[str]
    children: frozenset[str]
    checkpoint_owner: str | None


def kcl_reads(item: Item) -> Lease:
    """Fails for an item that the library could not read."""
    checkpoint = item["checkpoint"]["S"]
    assert checkpoint in SENTINELS or checkpoint.isdigit()
    assert "pendingCheckpointState" not in item or item["pendingCheckpointState"]["B"]
    return Lease(
        key=item["leaseKey"]["S"],
        owner=item["leaseOwner"]["S"] if "leaseOwner" in item else None,
        counter=int(item["leaseCounter"]["N"]),
        switches=int(item["ownerSwitchesSinceCheckpoint"]["N"]),
        checkpoint=(checkpoint, int(item["checkpointSubSequenceNumber"]["N"])),
        pending=item.get("pendingCheckpoint", {}).get("S"),
        parents=frozenset(item.get("parentShardId", {"SS": ()})["SS"]),
        children=frozenset(item.get("childShardIds", {"SS": ()})["SS"]),
        checkpoint_owner=item.get("checkpointOwner", {}).get("S"),
    )
