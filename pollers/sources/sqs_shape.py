"""How SQS's messages look in an event, to a filter and to a failure document. AWS: semantics 2.1.

A raw record is a message as `ReceiveMessage` returned it, through botocore or as the wire has it: binary attributes
are bytes there and base64 here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from pollers.flow.records import DataRule, Partition, Parts, Position, Raw

__all__ = ["SqsShape"]

# AWS: the order in which they stand in recorded events; what has no place here follows.
_ATTRIBUTES: Final = (
    "ApproximateReceiveCount",
    "AWSTraceHeader",
    "SentTimestamp",
    "SequenceNumber",
    "MessageGroupId",
    "SenderId",
    "MessageDeduplicationId",
    "DeadLetterQueueSourceArn",
    "ApproximateFirstReceiveTimestamp",
)
_HIDDEN: Final = "SqsManagedSseEnabled"  # AWS: not delivered
_PER_ATTRIBUTE: Final = len('"stringValue":null,"stringListValues":[],"binaryListValues":[],')
_PER_RECORD: Final = len(
    '"attributes":{},"messageAttributes":{},"md5OfMessageAttributes":null,'
    '"eventSource":"aws:sqs","eventSourceARN":"","awsRegion":"",'
)

_encode = msgspec.json.Encoder().encode


class SqsShape:
    """The shape of one queue's messages."""

    data_rule = DataRule(key="body", mismatch="drop", plain=True)

    def __init__(self, arn: str, region: str, *, fifo: bool, window: float) -> None:
        """`window`: the mapping's batching window in seconds, which shows in the event."""
        self._arn = arn
        self._region = region
        self._fifo = fifo
        # AWS: without message attributes their checksum is absent with a window of 0, and null from 1 s on (2.1-4).
        self._shows_null = window >= 1
        self._extra = _PER_RECORD + len(_encode(arn)) + len(_encode(region))

    def position(self, raw: Raw) -> Position | None:
        return None

    def identifier(self, partition: Partition, raw: Raw) -> object:
        return raw["MessageId"]

    def key(self, raw: Raw) -> bytes | None:
        """The message group, in FIFO queues. Those of a standard queue (fair queues) keep no order."""
        return raw["Attributes"]["MessageGroupId"].encode() if self._fifo else None

    def arrived(self, raw: Raw) -> float:
        return int(raw["Attributes"]["SentTimestamp"]) / 1000

    def size_bound(self, raw: Raw) -> int:
        return self.size_of((raw,))

    def size_of(self, messages: Sequence[Raw]) -> int:
        """At least the bytes of the messages in an encoded event: their own, and what is added to them."""
        attributes = sum(len(raw["MessageAttributes"]) for raw in messages if "MessageAttributes" in raw)
        return _length(messages) + len(messages) * self._extra + attributes * _PER_ATTRIBUTE

    def view(self, partition: Partition, raw: Raw) -> Mapping[str, Any]:
        record = self._record(raw)
        del record["body"]
        return record

    def data(self, raw: Raw) -> str | bytes:
        body: str = raw["Body"]
        return body

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"Records": [self._record(raw) for _, records in parts for raw in records]}

    def failure(self, parts: Parts) -> dict[str, Any]:
        """Of our own making: on AWS a queue has a dead-letter queue and no failure documents."""
        identifiers = [raw["MessageId"] for _, records in parts for raw in records]
        return {"SqsBatchInfo": {"messageIds": identifiers, "batchSize": len(identifiers), "queueArn": self._arn}}

    def _record(self, raw: Raw) -> dict[str, Any]:
        record: dict[str, Any] = {
            "messageId": raw["MessageId"],
            "receiptHandle": raw["ReceiptHandle"],
            "body": raw["Body"],
            "attributes": _system_attributes(raw.get("Attributes") or {}),
            "messageAttributes": {
                name: _message_attribute(value) for name, value in (raw.get("MessageAttributes") or {}).items()
            },
        }
        checksum = raw.get("MD5OfMessageAttributes")
        if checksum is not None or self._shows_null:
            record["md5OfMessageAttributes"] = checksum
        record["md5OfBody"] = raw["MD5OfBody"]
        record["eventSource"] = "aws:sqs"
        record["eventSourceARN"] = self._arn
        record["awsRegion"] = self._region
        return record


def _system_attributes(given: Mapping[str, str]) -> dict[str, str]:
    attributes = {name: given[name] for name in _ATTRIBUTES if name in given}
    if len(attributes) < len(given):
        attributes.update((name, value) for name, value in given.items() if name not in attributes and name != _HIDDEN)
    return attributes


def _message_attribute(given: Mapping[str, Any]) -> dict[str, Any]:
    attribute: dict[str, Any] = {}
    if "BinaryValue" in given:
        value = given["BinaryValue"]
        attribute["binaryValue"] = value if isinstance(value, str) else b64encode(value).decode("ascii")
    else:
        attribute["stringValue"] = given.get("StringValue")
    attribute["stringListValues"] = []
    attribute["binaryListValues"] = []
    attribute["dataType"] = given["DataType"]
    return attribute


def _length(messages: Sequence[Raw]) -> int:
    try:
        return len(_encode(messages))
    except (UnicodeEncodeError, TypeError, ValueError):
        # Text that UTF-8 cannot carry, such as half a surrogate pair. No escape takes more than six bytes a character.
        return 6 * len(repr(messages))
