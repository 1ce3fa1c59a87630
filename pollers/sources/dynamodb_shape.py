"""How changes of DynamoDB's items look: from GetRecords to Lambda's event, byte for byte. It knows no I/O.

Raw records are the wire's own: numbers as text, binary as base64, times as epoch seconds. The event has them as they
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from pollers.flow.records import DataRule, Partition, Parts, Position, Raw

__all__ = ["DynamoDbShape"]

_canonical = msgspec.json.Encoder(order="deterministic").encode
_FRAME: Final = 64  # bytes of names that the event has and the wire does not


class DynamoDbShape:
    """The `Shape` of one table's stream. AWS: semantics 2.3, 5.9-2."""

    data_rule = DataRule("dynamodb", mismatch="drop", plain=False)

    def __init__(self, arn: str, region: str) -> None:
        self._arn = arn  # of the stream
        self._region = region
        self.frame = _FRAME + len(arn)  # of a record beyond the wire's

    def position(self, raw: Raw) -> Position:
        """The sequence number."""
        return int(raw["dynamodb"]["SequenceNumber"]), 0

    def identifier(self, partition: Partition, raw: Raw) -> str:
        """The sequence number as text. AWS: what `itemIdentifier` holds (5.4-1)."""
        return str(raw["dynamodb"]["SequenceNumber"])

    def key(self, raw: Raw) -> bytes:
        """The item's keys as canonical JSON: names sorted, values as on the wire."""
        return _canonical(raw["dynamodb"]["Keys"])

    def arrived(self, raw: Raw) -> float:
        """When the change was made, seconds since the epoch; whole seconds at the source."""
        return float(raw["dynamodb"]["ApproximateCreationDateTime"])

    def size_bound(self, raw: Raw) -> int:
        """Bytes of the encoded record, exact: nothing on the record bounds how much JSON adds to its values."""
        return len(msgspec.json.encode(raw)) + self.frame

    def view(self, partition: Partition, raw: Raw) -> Mapping[str, Any]:
        """The whole record: a table's changes have no other payload than `dynamodb` (6.2-3)."""
        return self._record(raw, raw["dynamodb"])

    def data(self, raw: Raw) -> bytes:
        """The change itself, as JSON."""
        return msgspec.json.encode(raw["dynamodb"])

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        """Lambda's event; `window` holds the members of a tumbling window's event that only its keeper knows (7-1)."""
        event: dict[str, Any] = {
            "Records": [self._record(raw, _copy(raw["dynamodb"])) for _, records in parts for raw in records]
        }
        if window is not None:
            event["window"] = window["window"]
            event["state"] = window["state"]
            event["shardId"] = parts[0][0]
            event["eventSourceARN"] = self._arn
            event["isFinalInvokeForWindow"] = window["isFinalInvokeForWindow"]
            event["isWindowTerminatedEarly"] = window["isWindowTerminatedEarly"]
        return event

    def _record(self, raw: Raw, change: Any) -> dict[str, Any]:
        record: dict[str, Any] = {
            "eventID": raw["eventID"],
            "eventName": raw["eventName"],
            "eventVersion": raw["eventVersion"],
            "eventSource": raw["eventSource"],
            "awsRegion": raw["awsRegion"],
            "dynamodb": change,
            "eventSourceARN": self._arn,
        }
        who = raw.get("userIdentity")
        if who:
            # The event spells the members in lower case. AWS: 2.3-6.
            record["userIdentity"] = {"type": who["Type"], "principalId": who["PrincipalId"]}
        return record

    def failure(self, parts: Parts) -> dict[str, Any]:
        """`DDBStreamBatchInfo`; a final window call that had no records names only shard and stream (5.9-6)."""
        shard, records = parts[0]  # a batch holds one shard's records (3.2-2)
        info: dict[str, Any] = {"shardId": shard}
        if records:
            first, last = records[0], records[-1]
            info["startSequenceNumber"] = first["dynamodb"]["SequenceNumber"]
            info["endSequenceNumber"] = last["dynamodb"]["SequenceNumber"]
            info["approximateArrivalOfFirstRecord"] = _timestamp(self.arrived(first))
            info["approximateArrivalOfLastRecord"] = _timestamp(self.arrived(last))
            info["batchSize"] = len(records)
        info["streamArn"] = self._arn
        return {"DDBStreamBatchInfo": info}


def _copy(change: Any) -> Any:
    """The event is the function's own: what it changes in there must not be seen by the next attempt."""
    return msgspec.json.decode(msgspec.json.encode(change))


def _timestamp(seconds: float) -> str:
    """As failure documents of DynamoDB print it: whole seconds, UTC, "Z". AWS: 5.9-2."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
