"""One message: what it is made of, how it is read from a request and how a receiver sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from pollers.testing.sqs.checksums import attributes_md5

__all__ = ["Attributes", "Message", "Selection", "State", "view"]

Attributes: TypeAlias = dict[str, dict[str, str]]  # name to DataType and StringValue or BinaryValue (base64)

SENDER = "AIDAIENQZJOLO23YVJ4VO"  # SenderId: credentials are not verified, everybody is one user


class State(IntEnum):
    """Where a message stands in its queue."""

    DELAYED = 0
    READY = 1
    IN_FLIGHT = 2
    GONE = 3


@dataclass(slots=True, eq=False)
class Message:
    """A message in one queue. Wall times in seconds."""

    id: str
    body: str
    md5: str
    attributes: Attributes
    system: dict[str, str]  # system attributes that do not change: SenderId, MessageGroupId, AWSTraceHeader ...
    sent: float
    group: str = ""  # FIFO: the message group
    order: int = 0  # FIFO: the sequence number
    state: State = State.GONE
    visible_at: float = 0.0  # when DELAYED or IN_FLIGHT end
    receives: int = 0  # in this queue; the number of its newest receipt handle
    received: float = 0.0  # the last time
    first_received: float = 0.0
    earlier: int = 0  # receives in the queues that it was redriven from


@dataclass(frozen=True, slots=True)
class Selection:
    """Which attributes a receiver wants to see."""

    all_system: bool = False
    system: frozenset[str] = frozenset()
    all_attributes: bool = False
    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, system: list[str], attributes: list[str]) -> Selection:
        """From MessageSystemAttributeNames and MessageAttributeNames ("All", ".*", "prefix.*", names)."""
        prefixes = tuple(name[:-2] for name in attributes if name.endswith(".*"))
        return cls("All" in system, frozenset(system), "All" in attributes, frozenset(attributes), prefixes)

    def chosen(self, attributes: Attributes) -> Attributes:
        """The message attributes to show."""
        if self.all_attributes or not attributes:
            return attributes
        return {name: value for name, value in attributes.items() if self._wants(name)}

    def chosen_system(self, message: Message) -> Mapping[str, str]:
        """The system attributes to show."""
        if not (self.all_system or self.system):
            return {}
        attributes = {
            **message.system,
            "SentTimestamp": _milliseconds(message.sent),
            "ApproximateReceiveCount": str(message.earlier + message.receives),
            "ApproximateFirstReceiveTimestamp": _milliseconds(message.first_received),
        }
        if self.all_system:
            return attributes
        return {name: value for name, value in attributes.items() if name in self.system}

    def _wants(self, name: str) -> bool:
        return name in self.names or name.startswith(self.prefixes)


def view(message: Message, handle: str, selection: Selection) -> dict[str, Any]:
    """The message as ReceiveMessage gives it."""
    shown: dict[str, Any] = {
        "MessageId": message.id,
        "ReceiptHandle": handle,
        "MD5OfBody": message.md5,
        "Body": message.body,
    }
    system = selection.chosen_system(message)
    if system:
        shown["Attributes"] = system
    attributes = selection.chosen(message.attributes)
    if attributes and (selection.all_attributes or selection.names):
        # AWS: of the attributes given, so that clients can check them.
        shown["MD5OfMessageAttributes"] = attributes_md5(attributes)
        shown["MessageAttributes"] = attributes
    return shown


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
