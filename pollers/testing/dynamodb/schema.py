"""The key of a table: which attributes, of what types, and where a key falls among the shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Any, NamedTuple

from pollers.testing.dynamodb.errors import invalid
from pollers.testing.dynamodb.values import Item, read_item

__all__ = ["HASHES", "Key", "KeyAttribute", "Schema"]

HASHES = 1 << 64  # hashes of partition keys are below this


class Key(NamedTuple):
    """An item's key, in the order of scans."""

    hash: int  # of the partition key: says which shard
    partition: str
    sort: str  # "" in a table without a sort key


class KeyAttribute(NamedTuple):
    name: str
    type: str  # "S", "N" or "B"


@dataclass(frozen=True, slots=True)
class Schema:
    """The primary key of a table."""

    partition: KeyAttribute
    sort: KeyAttribute | None = None

    @property
    def attributes(self) -> tuple[KeyAttribute, ...]:
        return (self.partition,) if self.sort is None else (self.partition, self.sort)

    def described(self) -> list[dict[str, str]]:
        """As KeySchema on the wire."""
        return [
            {"AttributeName": attribute.name, "KeyType": role}
            for attribute, role in zip(self.attributes, ("HASH", "RANGE"), strict=False)
        ]

    def definitions(self) -> list[dict[str, str]]:
        """As AttributeDefinitions on the wire."""
        return [{"AttributeName": name, "AttributeType": kind} for name, kind in self.attributes]

    def key(self, item: Item) -> Key:
        """The key of an item that is read already. Raises Fault when it has none, or one of another type."""
        partition = _key_text(item, self.partition)
        sort = _key_text(item, self.sort) if self.sort is not None else ""
        return Key(_hash(partition), partition, sort)

    def keys(self, item: Mapping[str, Any]) -> Item:
        """The item's key attributes alone."""
        return {name: item[name] for name, _ in self.attributes}

    def read_key(self, value: object) -> Key:
        """The key of a request that names an item by its key attributes and nothing else."""
        given = read_item(value)
        if set(given) != {name for name, _ in self.attributes}:
            raise invalid("The provided key element does not match the schema")
        if any(kind not in given[name] for name, kind in self.attributes):
            raise invalid("The provided key element does not match the schema")
        return self.key(given)


def _key_text(item: Item, attribute: KeyAttribute) -> str:
    name, kind = attribute
    if name not in item:
        raise invalid(f"One or more parameter values were invalid: Missing the key {name} in the item")
    ((actual, value),) = item[name].items()
    if actual != kind:
        raise invalid(
            f"One or more parameter values were invalid: Type mismatch for key {name} expected: {kind} actual: {actual}"
        )
    if value == "":
        raise invalid(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
            f"empty {'binary' if kind == 'B' else 'string'} value. Key: {name}"
        )
    return str(value)


def _hash(text: str) -> int:
    return int.from_bytes(md5(text.encode(), usedforsecurity=False).digest()[:8], "big")
