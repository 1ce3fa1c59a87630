"""How records of Kinesis look: from GetRecords to Lambda's event, byte for byte. It knows no stream and no I/O.

`Data` is either bytes, as botocore's clients return it, or base64 text, as the wire carries it. The event wants base64,
so text is passed on untouched.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pollers.flow.records import DataRule, Partition, Parts, Position, Raw

__all__ = ["KinesisShape", "PushedShape"]

# An encoded record without its strings: names, punctuation, both timestamps' digits, and a shard id of 64 bytes.
_FRAME: Final = 480


class KinesisShape:
    """The `Shape` of one stream. AWS: semantics 2.2, 5.9-1."""

    data_rule = DataRule("data", mismatch="drop", plain=False)

    def __init__(self, arn: str, region: str, role: str) -> None:
        self._arn = arn  # of the stream, or of the consumer under enhanced fan-out
        self._region = region
        self._role = role  # the event's invokeIdentityArn
        self._frame = _FRAME + len(arn) + len(region) + len(role)
        self.frame = self._frame + 64  # of a record beyond the wire's, which has the sequence number only once

    def position(self, raw: Raw) -> Position:
        """The sequence number. Aggregated records stay whole, so there is nothing below it."""
        return int(raw["SequenceNumber"]), 0

    def identifier(self, partition: Partition, raw: Raw) -> str:
        """The sequence number as text. AWS: what `itemIdentifier` holds (5.4-1)."""
        return str(raw["SequenceNumber"])

    def key(self, raw: Raw) -> bytes:
        """The partition key, in UTF-8."""
        return str(raw["PartitionKey"]).encode()

    def arrived(self, raw: Raw) -> float:
        """The approximate arrival timestamp, seconds since the epoch."""
        return float(raw["ApproximateArrivalTimestamp"])

    def size_bound(self, raw: Raw) -> int:
        """Bytes of the encoded record: exact for the data, generous for what JSON may have to escape in the key."""
        data, key = raw["Data"], raw["PartitionKey"]
        nbytes = len(data) if type(data) is str else 4 * ((len(data) + 2) // 3)
        escaped = 2 if key.isascii() and key.isprintable() else 12  # \" or a pair of \uXXXX
        return self._frame + nbytes + escaped * len(key) + 2 * len(raw["SequenceNumber"])

    def view(self, partition: Partition, raw: Raw) -> Mapping[str, Any]:
        """Metadata for filters: the members of `kinesis` also at the top. AWS: "keys such as partitionKey" (6.2-2).

        `eventID` is left out: it names the shard, which a record does not know.
        """
        kinesis = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": raw["PartitionKey"],
            "sequenceNumber": raw["SequenceNumber"],
            "approximateArrivalTimestamp": raw["ApproximateArrivalTimestamp"],
        }
        return {
            **kinesis,
            "kinesis": kinesis,
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": self._role,
            "awsRegion": self._region,
            "eventSourceARN": self._arn,
        }

    def data(self, raw: Raw) -> bytes:
        """The record's own bytes."""
        data = raw["Data"]
        return b64decode(data) if type(data) is str else bytes(data)

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        """Lambda's event; `window` holds the members of a tumbling window's event that only its keeper knows (7-1)."""
        event: dict[str, Any] = {"Records": [self._record(shard, raw) for shard, records in parts for raw in records]}
        if window is not None:
            event["window"] = window["window"]
            event["state"] = window["state"]
            event["shardId"] = parts[0][0]
            event["eventSourceARN"] = self._arn
            event["isFinalInvokeForWindow"] = window["isFinalInvokeForWindow"]
            event["isWindowTerminatedEarly"] = window["isWindowTerminatedEarly"]
        return event

    def _record(self, shard: Partition, raw: Raw) -> dict[str, Any]:
        data, sequence = raw["Data"], raw["SequenceNumber"]
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": raw["PartitionKey"],
                "sequenceNumber": sequence,
                "data": data if type(data) is str else b64encode(data).decode("ascii"),
                "approximateArrivalTimestamp": raw["ApproximateArrivalTimestamp"],
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard}:{sequence}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": self._role,
            "awsRegion": self._region,
            "eventSourceARN": self._arn,
        }

    def failure(self, parts: Parts) -> dict[str, Any]:
        """`KinesisBatchInfo`; a final window call that had no records names only shard and stream (5.9-6)."""
        shard, records = parts[0]  # a batch holds one shard's records (3.2-2)
        info: dict[str, Any] = {"shardId": shard}
        if records:
            first, last = records[0], records[-1]
            info["startSequenceNumber"] = first["SequenceNumber"]
            info["endSequenceNumber"] = last["SequenceNumber"]
            info["approximateArrivalOfFirstRecord"] = _timestamp(self.arrived(first))
            info["approximateArrivalOfLastRecord"] = _timestamp(self.arrived(last))
            info["batchSize"] = len(records)
        info["streamArn"] = self._arn
        return {"KinesisBatchInfo": info}


class PushedShape(KinesisShape):
    """Records that were aggregated have one sequence number, and a place within the aggregate."""

    def position(self, raw: Raw) -> Position:
        """The sequence number, and the place within the aggregate, from 0."""
        return int(raw["SequenceNumber"]), raw.get("SubSequenceNumber", 0)


def _timestamp(seconds: float) -> str:
    """As failure documents of Kinesis print it: milliseconds, UTC, "Z"."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
