"""A message of a queue in memory: what was put, how often it was received, and how SQS would print it."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Message", "Recent", "message_attributes"]


@dataclass(slots=True, eq=False)
class Message:
    """One message, wherever it stands."""

    id: str
    number: int  # grows with each message of the queue
    body: str
    sent: float  # wall time, seconds
    group: str | None
    system: dict[str, str]  # system attributes that never change
    attributes: dict[str, dict[str, str]]  # message attributes as the wire has them
    earlier: int = 0  # receives in queues that gave it up
    receives: int = 0
    first_received: float = 0.0  # wall time, seconds
    received: float = 0.0  # loop time, seconds: the latest receive
    visible_at: float | None = None  # loop time, seconds; None: it waits, or is gone
    out: bool = False  # received, and neither deleted nor visible again
    gone: bool = False  # deleted, or moved to another queue

    @property
    def receipt(self) -> str:
        """The handle that its latest receive gave."""
        return f"{self.id}#{self.receives}"

    def wire(self) -> dict[str, Any]:
        """As ReceiveMessage returns it now. AWS: every attribute is text (2.1-2)."""
        wire: dict[str, Any] = {
            "MessageId": self.id,
            "ReceiptHandle": self.receipt,
            "MD5OfBody": hashlib.md5(self.body.encode(), usedforsecurity=False).hexdigest(),
            "Body": self.body,
            "Attributes": {
                "SenderId": "AIDAPOLLERSINMEMORY00",
                "ApproximateFirstReceiveTimestamp": _milliseconds(self.first_received),
                "ApproximateReceiveCount": str(self.earlier + self.receives),
                "SentTimestamp": _milliseconds(self.sent),
                **self.system,
            },
        }
        if self.attributes:
            wire["MD5OfMessageAttributes"] = _checksum(self.attributes)
            wire["MessageAttributes"] = self.attributes
        return wire


@dataclass(slots=True)
class Recent:
    """Deduplication ids of the last minutes. AWS: a FIFO queue knows them for five."""

    span: float = 300.0  # seconds
    _known: dict[str, tuple[float, str]] = field(default_factory=dict)  # oldest first

    def find(self, deduplication_id: str, now: float) -> str | None:
        """The message that was put under this id."""
        while self._known and next(iter(self._known.values()))[0] <= now - self.span:
            del self._known[next(iter(self._known))]
        known = self._known.get(deduplication_id)
        return None if known is None else known[1]

    def keep(self, deduplication_id: str, message_id: str, now: float) -> None:
        """Remember it from now on."""
        self._known[deduplication_id] = (now, message_id)


def message_attributes(given: Mapping[str, str | bytes | int | float]) -> dict[str, dict[str, str]]:
    """Message attributes as the wire has them: text is a String, a number a Number, bytes are Binary."""
    return {name: _attribute(value) for name, value in given.items()}


def _attribute(value: str | bytes | int | float) -> dict[str, str]:
    if isinstance(value, str):
        return {"StringValue": value, "DataType": "String"}
    if isinstance(value, bytes):
        return {"BinaryValue": b64encode(value).decode("ascii"), "DataType": "Binary"}
    return {"StringValue": str(value), "DataType": "Number"}


def _checksum(attributes: Mapping[str, Mapping[str, str]]) -> str:
    """AWS, "Calculating the MD5 message digest for message attributes": by name; parts behind their lengths."""
    digest = hashlib.md5(usedforsecurity=False)
    for name, attribute in sorted(attributes.items()):
        binary = "BinaryValue" in attribute
        value = b64decode(attribute["BinaryValue"]) if binary else attribute["StringValue"].encode()
        digest.update(_measured(name.encode()) + _measured(attribute["DataType"].encode()))
        digest.update((b"\x02" if binary else b"\x01") + _measured(value))
    return digest.hexdigest()


def _measured(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
