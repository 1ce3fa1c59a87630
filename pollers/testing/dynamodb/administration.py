"""The actions on tables: create, change, describe, list and delete, and their times to live."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pollers.testing.dynamodb.account import Account
from pollers.testing.dynamodb.errors import invalid, out_of_range
from pollers.testing.dynamodb.fields import (
    boolean,
    check_members,
    choice,
    integer,
    optional_text,
    required_text,
    structure,
    structures,
)
from pollers.testing.dynamodb.records import VIEWS
from pollers.testing.dynamodb.schema import KeyAttribute, Schema
from pollers.testing.dynamodb.stream import Sharding
from pollers.testing.dynamodb.table import Table
from pollers.testing.dynamodb.values import item_size
from pollers.testing.service import Answer

__all__ = [
    "check_table_name",
    "create_table",
    "delete_table",
    "describe_table",
    "describe_time_to_live",
    "list_tables",
    "update_table",
    "update_time_to_live",
]

_CAPACITY = ("BillingMode", "ProvisionedThroughput")  # taken, as every CreateTable has them; shown, never enforced
_TABLE = ("TableName",)
_PAGE = 100
_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")


def create_table(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    modeled = ("TableName", "KeySchema", "AttributeDefinitions", "StreamSpecification", *_CAPACITY)
    check_members(request, modeled, {"DeletionProtectionEnabled": False, "TableClass": "STANDARD"})
    name = required_text(request, "TableName")
    check_table_name(name)
    schema = _schema(request)
    view = _view(request)
    table = account.create(name, schema, Sharding())
    table.capacity = {member: request[member] for member in _CAPACITY if request.get(member) is not None}
    if view is not None:
        account.enable_stream(table, view)
    return {"TableDescription": _described(table)}


def update_table(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    check_members(request, ("TableName", "StreamSpecification"), {})
    table = account.table(required_text(request, "TableName"))
    if request.get("StreamSpecification") is None:
        raise invalid("At least one of StreamSpecification is required")
    view = _view(request)
    if view is not None:
        account.enable_stream(table, view)
    else:
        account.disable_stream(table)
    return {"TableDescription": _described(table)}


def describe_table(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    return {"Table": _described(_table(account, request))}


def list_tables(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    check_members(request, ("ExclusiveStartTableName", "Limit"), {})
    limit = integer(request, "Limit", _PAGE) or _PAGE
    after = optional_text(request, "ExclusiveStartTableName") or ""
    names = [name for name in account.tables() if name > after]
    answer: Answer = {"TableNames": names[:limit]}
    if len(names) > limit:
        answer["LastEvaluatedTableName"] = names[limit - 1]
    return answer


def delete_table(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    table = _table(account, request)
    account.remove(table)
    return {"TableDescription": {**_described(table), "TableStatus": "DELETING"}}


def update_time_to_live(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    check_members(request, ("TableName", "TimeToLiveSpecification"), {})
    table = account.table(required_text(request, "TableName"))
    given = structure(request, "TimeToLiveSpecification")
    if given is None:
        raise out_of_range("TimeToLiveSpecification", "null", "not be null")
    check_members(given, ("Enabled", "AttributeName"), {})
    enabled, attribute = boolean(given, "Enabled"), required_text(given, "AttributeName")
    if enabled is (table.lives is not None):
        raise invalid(f"TimeToLive is already {'enabled' if enabled else 'disabled'}")
    table.live_by(attribute if enabled else None)
    return {"TimeToLiveSpecification": {"Enabled": enabled, "AttributeName": attribute}}


def describe_time_to_live(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    lives = _table(account, request).lives
    if lives is None:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": lives.attribute}}


def check_table_name(name: str) -> None:
    if not _TABLE_NAME.fullmatch(name):
        raise out_of_range("TableName", name, "satisfy regular expression pattern: [a-zA-Z0-9_.-]{3,255}")


def _table(account: Account, request: Mapping[str, Any]) -> Table:
    """The table of a request that names one and has no other member."""
    check_members(request, _TABLE, {})
    return account.table(required_text(request, "TableName"))


def _schema(request: Mapping[str, Any]) -> Schema:
    types = {
        required_text(definition, "AttributeName"): choice(definition, "AttributeType", ("S", "N", "B"))
        for definition in structures(request, "AttributeDefinitions")
    }
    keys = [
        (required_text(element, "AttributeName"), choice(element, "KeyType", ("HASH", "RANGE")))
        for element in structures(request, "KeySchema")
    ]
    if [role for _, role in keys] not in (["HASH"], ["HASH", "RANGE"]):
        raise invalid("Invalid KeySchema: The first element is the HASH key, a second one the RANGE key")
    if {name for name, _ in keys} != set(types) or len(types) != len(keys):
        raise invalid(
            "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match "
            "number of attributes defined in AttributeDefinitions"
        )
    return Schema(*(KeyAttribute(name, types[name]) for name, _ in keys))


def _view(request: Mapping[str, Any]) -> str | None:
    """The view type of the stream that is wanted; None: no stream."""
    given = structure(request, "StreamSpecification")
    if given is None:
        return None
    check_members(given, ("StreamEnabled", "StreamViewType"), {})
    if boolean(given, "StreamEnabled"):
        return choice(given, "StreamViewType", VIEWS)
    if given.get("StreamViewType") is not None:
        raise invalid("One or more parameter values were invalid: StreamViewType must not be given for no stream")
    return None


def _described(table: Table) -> Answer:
    items = table.items
    described: Answer = {
        "TableName": table.name,
        "TableArn": table.arn,
        "TableId": table.id,
        "TableStatus": "ACTIVE",
        "CreationDateTime": table.created,
        "KeySchema": table.schema.described(),
        "AttributeDefinitions": table.schema.definitions(),
        "ItemCount": len(items),
        "TableSizeBytes": sum(map(item_size, items)),
        **_described_capacity(table.capacity),
    }
    stream = table.stream
    if stream is not None:
        described |= {"LatestStreamArn": stream.arn, "LatestStreamLabel": stream.label}
        if stream.disabled is None:
            described["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": stream.view}
    return described


def _described_capacity(capacity: Mapping[str, Any]) -> Answer:
    throughput = capacity.get("ProvisionedThroughput") or {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
    described: Answer = {"ProvisionedThroughput": {**throughput, "NumberOfDecreasesToday": 0}}
    if "BillingMode" in capacity:
        described["BillingModeSummary"] = {"BillingMode": capacity["BillingMode"]}
    return described
