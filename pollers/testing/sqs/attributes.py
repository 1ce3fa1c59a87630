"""Queue attributes: from the texts of a request to the numbers the queue works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pollers.testing.sqs.errors import fault, invalid_attribute_value, invalid_parameter
from pollers.testing.sqs.limits import LARGEST_MESSAGE, LONGEST_VISIBILITY

__all__ = ["COUNTS", "Redrive", "RedriveAllow", "Settings", "complete", "differing", "known", "refused"]

COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_FACTS = ("CreatedTimestamp", "LastModifiedTimestamp", "QueueArn")  # read-only, besides the counts

_RANGES = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1_024, LARGEST_MESSAGE),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, LONGEST_VISIBILITY),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
_CHOICES = {
    "FifoQueue": ("true",),
    "ContentBasedDeduplication": ("true", "false"),
    "SqsManagedSseEnabled": ("true", "false"),
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
_DOCUMENTS = ("RedrivePolicy", "RedriveAllowPolicy", "Policy")  # JSON; the empty text removes them
_TEXTS = ("KmsMasterKeyId",)
_FIFO_ONLY = ("ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")

_DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": str(LARGEST_MESSAGE),
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "VisibilityTimeout": "30",
    "SqsManagedSseEnabled": "true",
}
_FIFO_DEFAULTS = {
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}


@dataclass(frozen=True, slots=True)
class Redrive:
    """RedrivePolicy: where a message goes that was received too often."""

    target: str  # ARN
    receives: int  # maxReceiveCount


@dataclass(frozen=True, slots=True)
class RedriveAllow:
    """RedriveAllowPolicy of a dead-letter queue: who may use it."""

    permission: str  # allowAll, denyAll or byQueue
    sources: tuple[str, ...]  # ARNs, for byQueue

    def admits(self, arn: str) -> bool:
        return self.permission == "allowAll" or (self.permission == "byQueue" and arn in self.sources)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the attributes mean. Seconds and bytes."""

    fifo: bool
    visibility: int
    delay: int
    retention: int
    wait: int
    largest: int
    content_based: bool
    scope_is_group: bool  # DeduplicationScope=messageGroup
    redrive: Redrive | None
    allow: RedriveAllow | None

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> Settings:
        """From complete attributes; raises for what SQS refuses."""
        per_group = texts.get("DeduplicationScope") == "messageGroup"
        if texts.get("FifoThroughputLimit") == "perMessageGroupId" and not per_group:
            raise invalid_attribute_value("FifoThroughputLimit")
        return cls(
            fifo="FifoQueue" in texts,
            visibility=int(texts["VisibilityTimeout"]),
            delay=int(texts["DelaySeconds"]),
            retention=int(texts["MessageRetentionPeriod"]),
            wait=int(texts["ReceiveMessageWaitTimeSeconds"]),
            largest=int(texts["MaximumMessageSize"]),
            content_based=texts.get("ContentBasedDeduplication") == "true",
            scope_is_group=per_group,
            redrive=_policy(texts, "RedrivePolicy", _redrive),
            allow=_policy(texts, "RedriveAllowPolicy", _redrive_allow),
        )


def complete(given: Mapping[str, str], before: Mapping[str, str] | None) -> dict[str, str]:
    """All attributes of a queue: those given over those it had, or over the defaults where it is new (None)."""
    fifo = "FifoQueue" in (given if before is None else before)
    for name, text in given.items():
        _check(name, text, fifo=fifo)
    base = dict(before) if before is not None else {**_DEFAULTS, **(_FIFO_DEFAULTS if fifo else {})}
    if before is not None and "FifoQueue" in given and not fifo:
        raise fault("InvalidAttributeName", "Unknown Attribute FifoQueue.")
    base.update(given)
    for name in _DOCUMENTS:
        if base.get(name) == "":
            del base[name]
    return base


def known(name: str) -> bool:
    """SQS has a queue attribute of this name."""
    return any(name in names for names in (COUNTS, _FACTS, _RANGES, _CHOICES, _DOCUMENTS, _TEXTS))


def differing(given: Mapping[str, str], existing: Mapping[str, str]) -> str | None:
    """The first attribute given whose value is not the existing queue's."""
    for name, text in given.items():
        have = existing.get(name, "")
        if text != have and not (
            name in _DOCUMENTS and text and have and _document(name, text) == _document(name, have)
        ):
            return name
    return None


def _check(name: str, text: str, *, fifo: bool) -> None:
    if name in _FIFO_ONLY and not fifo:
        raise fault("InvalidAttributeName", f"You can specify the {name} only when FifoQueue is set to true.")
    if name in _RANGES:
        low, high = _RANGES[name]
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise invalid_attribute_value(name)
    elif name in _CHOICES:
        if text not in _CHOICES[name]:
            raise invalid_attribute_value(name)
    elif name in _DOCUMENTS:
        if text:
            _document(name, text)
    elif name not in _TEXTS:  # COUNTS and _FACTS too: nobody sets them
        raise fault("InvalidAttributeName", f"Unknown Attribute {name}.")


def _document(name: str, text: str) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        raise refused(name, text, f"{name} is not a valid JSON map.") from None
    return document


_P = Callable[[str, dict[str, Any]], Any]


def _policy(texts: Mapping[str, str], name: str, read: _P) -> Any:
    text = texts.get(name)
    return read(text, _document(name, text)) if text else None


def _redrive(text: str, document: dict[str, Any]) -> Redrive:
    for key in ("deadLetterTargetArn", "maxReceiveCount"):
        if key not in document:
            raise refused("RedrivePolicy", text, f"Redrive policy does not contain mandatory attribute: {key}.")
    try:
        receives = int(document["maxReceiveCount"])
    except (TypeError, ValueError):
        receives = 0
    if not 1 <= receives <= 1_000:
        raise refused("RedrivePolicy", text, "Invalid value for maxReceiveCount: valid values are from 1 to 1000.")
    return Redrive(str(document["deadLetterTargetArn"]), receives)


def _redrive_allow(text: str, document: dict[str, Any]) -> RedriveAllow:
    permission = document.get("redrivePermission")
    if permission not in ("allowAll", "denyAll", "byQueue"):
        raise refused("RedriveAllowPolicy", text, "redrivePermission must be allowAll, denyAll or byQueue.")
    sources = document.get("sourceQueueArns", [])
    by_queue = permission == "byQueue"
    if not isinstance(sources, list) or len(sources) > 10 or bool(sources) is not by_queue:
        raise refused(
            "RedriveAllowPolicy", text, "sourceQueueArns must hold 1 to 10 ARNs for byQueue, and none otherwise."
        )
    return RedriveAllow(permission, tuple(map(str, sources)))


def refused(name: str, text: str, reason: str) -> Exception:
    """The fault for an attribute that is read and makes no sense."""
    return invalid_parameter(f"Value {text} for parameter {name} is invalid. Reason: {reason}")
