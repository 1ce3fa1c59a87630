"""The actions on items: put, get, delete, write in batches, scan. No expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pollers.testing.dynamodb.account import Account
from pollers.testing.dynamodb.errors import invalid, out_of_range
from pollers.testing.dynamodb.fields import check_members, choice, integer, required_text, structure, structures
from pollers.testing.dynamodb.limits import LARGEST_PAGE
from pollers.testing.dynamodb.schema import Key
from pollers.testing.dynamodb.table import Table
from pollers.testing.dynamodb.values import Item, item_size
from pollers.testing.service import Answer

__all__ = ["batch_write_item", "delete_item", "get_item", "put_item", "scan"]

_UNCOUNTED = {"ReturnConsumedCapacity": "NONE"}
_UNMEASURED = {**_UNCOUNTED, "ReturnItemCollectionMetrics": "NONE"}
_MOST_WRITES = 25  # AWS: in one BatchWriteItem


def put_item(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    check_members(request, ("TableName", "Item", "ReturnValues"), _UNMEASURED)
    wanted = _wants_old(request)
    item = _required(request, "Item")
    return _attributes(_table(account, request).put(item), wanted)


def get_item(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    # Every read is consistent: ConsistentRead true gets what it asks for, false what it would mostly get.
    check_members(request, ("TableName", "Key", "ConsistentRead"), _UNCOUNTED)
    key = _required(request, "Key")
    item = _table(account, request).get(key)
    return {} if item is None else {"Item": item}


def delete_item(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    check_members(request, ("TableName", "Key", "ReturnValues"), _UNMEASURED)
    wanted = _wants_old(request)
    key = _required(request, "Key")
    return _attributes(_table(account, request).delete(key), wanted)


def batch_write_item(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    """All writes are checked before the first is made; those that trouble chooses come back as unprocessed."""
    check_members(request, ("RequestItems",), _UNMEASURED)
    batches = _required(request, "RequestItems")
    writes = {account.table(name): structures(batches, name) for name in batches}
    if not 1 <= sum(map(len, writes.values())) <= _MOST_WRITES:
        raise invalid("Too many or too few items requested for the BatchWriteItem call: 1 to 25 are allowed")
    for table, entries in writes.items():
        if len({_written_key(table, entry) for entry in entries}) < len(entries):
            raise invalid("Provided list of item keys contains duplicates")
    unprocessed = {}
    for (table, entries), name in zip(writes.items(), batches, strict=True):
        left = _write(account, table, entries)
        if left:
            unprocessed[name] = left
    return {"UnprocessedItems": unprocessed}


def scan(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    """At most 1 MB of items, as on AWS."""
    modeled = ("TableName", "Limit", "ExclusiveStartKey", "ConsistentRead")
    check_members(request, modeled, {**_UNCOUNTED, "Select": "ALL_ATTRIBUTES"})
    limit = integer(request, "Limit")
    table = _table(account, request)
    start = structure(request, "ExclusiveStartKey")
    table.advance()
    found = table.after(table.schema.read_key(start) if start is not None else None)
    page = _page(found, limit)
    answer: Answer = {"Items": page, "Count": len(page), "ScannedCount": len(page)}
    if len(page) < len(found):
        answer["LastEvaluatedKey"] = table.schema.keys(page[-1])
    return answer


def _page(items: list[Item], limit: int | None) -> list[Item]:
    size = 0
    for count, item in enumerate(items):
        size += item_size(item)
        if count == limit or (count and size > LARGEST_PAGE):
            return items[:count]
    return items


def _write(account: Account, table: Table, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns what was not written."""
    failing = account.trouble.for_entries("BatchWriteItem", table.name)
    left = []
    for entry in entries:
        if failing(entry) is not None:
            left.append(entry)
        elif entry.get("PutRequest") is not None:
            table.put(entry["PutRequest"]["Item"])
        else:
            table.delete(entry["DeleteRequest"]["Key"])
    return left


def _written_key(table: Table, entry: Mapping[str, Any]) -> Key:
    """The key that one write of a batch is about; raises Fault where the write would fail."""
    check_members(entry, ("PutRequest", "DeleteRequest"), {})
    put, delete = structure(entry, "PutRequest"), structure(entry, "DeleteRequest")
    if (put is None) is (delete is None):
        raise invalid("Supplied write request must contain exactly one of PutRequest and DeleteRequest")
    if put is not None:
        return table.checked(_required(put, "Item"))[0]
    return table.schema.read_key(_required(delete or {}, "Key"))


def _table(account: Account, request: Mapping[str, Any]) -> Table:
    return account.table(required_text(request, "TableName"))


def _required(request: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = structure(request, name)
    if value is None:
        raise out_of_range(name, "null", "not be null")
    return value


def _wants_old(request: Mapping[str, Any]) -> bool:
    return request.get("ReturnValues") is not None and choice(request, "ReturnValues", ("NONE", "ALL_OLD")) != "NONE"


def _attributes(old: Item | None, wanted: bool) -> Answer:
    return {"Attributes": old} if wanted and old is not None else {}
