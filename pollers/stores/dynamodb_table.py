"""One table of DynamoDB whose items are leases, as calls. It knows no rows, and remembers only that it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from pollers.aws.client import Client
from pollers.aws.errors import CallFailed, Kind
from pollers.errors import SourceError
from pollers.stores.dynamodb_leases import KEY, Change, Item

__all__ = ["LARGEST", "Table", "Write", "transact"]

Write = dict[str, Any]  # one of TransactWriteItems

LARGEST: Final = 100  # writes of one transaction. AWS: TransactWriteItems
CREATION: Final = 120.0  # seconds that a new table may take to be usable
LOOK: Final = 0.5  # seconds between two looks at one that is being made


class Table:
    """Raises `SourceError` for every call that fails, and for one of a single item after `patience` seconds."""

    def __init__(self, client: Client, name: str, url: str, patience: float) -> None:
        self.name = name
        self._client = client
        self._url = url
        self._patience = patience
        self._seen = False

    async def items(self) -> list[Item]:
        """Everything in it, as it is now; nothing where there is no such table, unless it was there before."""
        items: list[Item] = []
        where: dict[str, Any] = {}
        while True:
            try:
                answer = await self._call("Scan", TableName=self.name, ConsistentRead=True, **where)
            except SourceError as error:
                if error.missing and not self._seen:
                    return []
                raise
            self._seen = True
            items += answer["Items"]
            self._check(items)
            if not answer.get("LastEvaluatedKey"):
                return items
            where = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def item(self, key: str) -> Item | None:
        """One item, as it is now."""
        answer = await self._soon("GetItem", TableName=self.name, Key={KEY: {"S": key}}, ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    async def update(self, key: str, change: Change) -> Item | None:
        """Change an item; returns it as it is then, or None where its condition does not hold, or it is not there."""
        try:
            answer = await self._soon(
                "UpdateItem",
                TableName=self.name,
                Key={KEY: {"S": key}},
                ReturnValues="ALL_NEW",
                **change.parameters(),
            )
        except _Refused:
            return None
        item: Item = answer["Attributes"]
        return item

    async def make(self) -> None:
        """See that the table is there, or make it and wait until it can be used."""
        if self._seen:
            return
        try:
            async with asyncio.timeout(CREATION):
                await self._make()
        except TimeoutError as error:
            reason = f"the table {self.name} was made and cannot be used after {CREATION:g} s"
            raise SourceError(self._url, reason, "It is tried again.") from error
        self._seen = True

    async def _make(self) -> None:
        status = await self._status() or await self._create()
        while status != "ACTIVE":
            await asyncio.sleep(LOOK)
            status = await self._status()

    async def _status(self) -> str:
        """Empty where there is none."""
        try:
            answer = await self._call("DescribeTable", TableName=self.name)
        except SourceError as error:
            if error.missing:
                return ""
            raise
        status = str(answer["Table"]["TableStatus"])
        return "ACTIVE" if status == "UPDATING" else status

    def _check(self, items: Sequence[Item]) -> None:
        if items and KEY not in items[0]:
            reason = f"the items of the table {self.name} are no leases: they have no {KEY}"
            raise SourceError(self._url, reason, "Name another table.", missing=True)

    async def _create(self) -> str:
        """The state of the new table."""
        try:
            answer = await self._call(
                "CreateTable",
                TableName=self.name,
                KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        except _Exists:
            return "CREATING"  # somebody else was faster
        return str(answer["TableDescription"]["TableStatus"])

    async def _soon(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """A lease does not wait for as long as a client does for an answer."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._call(operation, **parameters)
        except TimeoutError as error:
            reason = f"{operation} has no answer of DynamoDB after {self._patience:g} s"
            raise SourceError(self._url, reason, "It is tried again.") from error

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return await _called(self._client, operation, self._url, parameters)


class _Refused(SourceError):
    """The condition of a write does not hold."""


class _Exists(SourceError):
    """The table is there already, or being made."""


_MEANT: Final = {
    "ConditionalCheckFailedException": _Refused,
    "TransactionCanceledException": _Refused,
    "TransactionInProgressException": _Refused,
    "ResourceInUseException": _Exists,
}


async def transact(client: Client, writes: Sequence[Write], url: str) -> bool:
    """Do all of these writes or none; whether they were done: not where a condition fails or somebody else writes."""
    try:
        await _called(client, "TransactWriteItems", url, {"TransactItems": list(writes)})
    except _Refused:
        return False
    return True


async def _called(client: Client, operation: str, url: str, parameters: dict[str, Any]) -> dict[str, Any]:
    try:
        return await client.call(operation, **parameters)
    except CallFailed as failure:
        meant = _MEANT.get(failure.code.rpartition(".")[2], SourceError)
        diagnosis = failure.diagnosis
        missing = failure.kind is Kind.MISSING
        raise meant(url, diagnosis.cause, diagnosis.remedy, missing=missing) from failure.__cause__
