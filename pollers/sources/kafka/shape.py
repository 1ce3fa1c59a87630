"""How Kafka's records look: in Lambda's event, to filters, and in failure documents.

A raw record is the client's own: it has `offset`, `timestamp` (ms; negative or None: it has none), `timestamp_type`,
`key`, `value` and `headers`.
"""

from __future__ import annotations

import math
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from pollers.flow.records import DataRule, Partition, Parts, Position, Raw
from pollers.kafka.times import printed

__all__ = ["KafkaShape"]

_FRAME: Final = 200  # bytes of a record's JSON without topic, key, value and headers: names, punctuation, numbers
_KEY, _VALUE, _HEADERS = attrgetter("key"), attrgetter("value"), attrgetter("headers")
_TYPES: Final = {0: "CREATE_TIME", 1: "LOG_APPEND_TIME"}
_NO_TYPE: Final = "NO_TIMESTAMP_TYPE"  # of records that were written before Kafka 0.10


class KafkaShape:
    """The `Shape` of one topic. AWS: semantics 2.4, 5.9-8.

    MSK's events name the cluster; those of a self-managed cluster, whose `arn` is "", do not.
    """

    data_rule = DataRule("value", mismatch="ignore", plain=True)

    def __init__(self, topic: str, servers: Sequence[str], arn: str = "") -> None:
        """`servers`: host:port of the cluster's bootstrap servers, as configured."""
        self._topic = topic
        self._servers = ",".join(servers)
        self._arn = arn
        self._frame = _FRAME + len(topic)

    def position(self, raw: Raw) -> Position:
        """The offset."""
        return raw.offset, 0

    def identifier(self, partition: Partition, raw: Raw) -> object:
        """As `itemIdentifier` names it: an object with the partition and the offset (5.7-3)."""
        return ("offset", raw.offset), ("partition", str(partition))

    def key(self, raw: Raw) -> bytes | None:
        """The record's key. Without one it is free of order."""
        key: bytes | None = raw.key
        return key

    def arrived(self, raw: Raw) -> float:
        """The record's timestamp, seconds since the epoch. One without it, of before Kafka 0.10, never grows old."""
        return math.inf if raw.timestamp is None or raw.timestamp < 0 else float(raw.timestamp) / 1_000

    def size_bound(self, raw: Raw) -> int:
        """Bytes of the encoded record at most: exact for key and value, generous for headers."""
        size: int = self._frame + (len(raw.key or b"") + 2) // 3 * 4 + (len(raw.value or b"") + 2) // 3 * 4
        return size + _header_bytes(raw) if raw.headers else size

    def size_bounds(self, records: Sequence[Raw]) -> int:
        """Bytes of all of these, encoded, at most: what `size_bound` adds up to, or a little more, for less work."""
        # In C throughout: this is the only work per record of a page that is not filtered.
        nbytes = sum(map(len, filter(None, map(_VALUE, records)))) + sum(map(len, filter(None, map(_KEY, records))))
        size = len(records) * (self._frame + 8) + nbytes * 4 // 3
        return size + sum(map(_header_bytes, filter(_HEADERS, records)))

    def view(self, partition: Partition, raw: Raw) -> Mapping[str, Any]:
        """Metadata for filters. AWS: older guides filter on `key` and other metadata as well (6.2-4)."""
        topic, _, number = partition.rpartition("-")
        view = {
            "topic": topic,
            "partition": int(number),
            "offset": raw.offset,
            "timestamp": _milliseconds(raw),
            "timestampType": _TYPES.get(raw.timestamp_type, _NO_TYPE),
            "eventSource": "aws:kafka" if self._arn else "SelfManagedKafka",
        }
        if raw.key is not None:
            view["key"] = raw.key.decode("utf-8", "replace")
        return view

    def data(self, raw: Raw) -> bytes:
        """The record's value; that of a tombstone is empty."""
        return raw.value or b""

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        """Lambda's event, by partition (2.4-3). Kafka has no tumbling windows."""
        event: dict[str, Any] = {"eventSource": "aws:kafka" if self._arn else "SelfManagedKafka"}
        if self._arn:
            event["eventSourceArn"] = self._arn
        event["bootstrapServers"] = self._servers
        event["records"] = {name: self._records(name, records) for name, records in parts}
        return event

    def _records(self, name: Partition, records: Sequence[Raw]) -> list[dict[str, Any]]:
        topic, _, number = name.rpartition("-")
        partition = int(number)
        return [_record(topic, partition, raw) for raw in records]

    def failure(self, parts: Parts) -> dict[str, Any]:
        """`KafkaBatchInfo`, with what each partition has in it."""
        info: dict[str, Any] = {"batchSize": sum(len(records) for _, records in parts)}
        if self._arn:
            info["eventSourceArn"] = self._arn
        info["bootstrapServers"] = self._servers
        info["payloadSize"] = sum(len(raw.key or b"") + len(raw.value or b"") for _, some in parts for raw in some)
        info["recordsInfo"] = {name: _range(records[0], records[-1]) for name, records in parts}
        return {"KafkaBatchInfo": info}


def _header_bytes(raw: Raw) -> int:
    # A name may be escaped as \uXXXX throughout; a byte of the value is a number such as -128, and a comma.
    return sum(6 * len(name) + 5 * len(value or b"") + 8 for name, value in raw.headers)


def _record(topic: str, partition: int, raw: Raw) -> dict[str, Any]:
    """One record of an event. A null key or value is left out (12-6); that is how a tombstone arrives."""
    record = {
        "topic": topic,
        "partition": partition,
        "offset": raw.offset,
        "timestamp": _milliseconds(raw),
        "timestampType": _TYPES.get(raw.timestamp_type, _NO_TYPE),
    }
    if raw.key is not None:
        record["key"] = b2a_base64(raw.key, newline=False).decode("ascii")
    if raw.value is not None:
        record["value"] = b2a_base64(raw.value, newline=False).decode("ascii")
    record["headers"] = [{name: _signed(value)} for name, value in raw.headers]
    return record


def _signed(value: bytes | None) -> list[int]:
    """A header's bytes as Java has them, -128 to 127 (2.4-7). Kafka allows a null, which becomes no bytes."""
    return [] if value is None else memoryview(value).cast("b").tolist()


def _range(first: Raw, last: Raw) -> dict[str, Any]:
    return {
        "firstRecordOffset": str(first.offset),
        "lastRecordOffset": str(last.offset),
        "firstRecordTimestamp": printed(_milliseconds(first)),
        "lastRecordTimestamp": printed(_milliseconds(last)),
    }


def _milliseconds(raw: Raw) -> int:
    return -1 if raw.timestamp is None else int(raw.timestamp)  # Kafka: -1 is no timestamp
