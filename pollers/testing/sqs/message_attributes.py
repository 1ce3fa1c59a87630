"""What SQS takes as message attributes and message system attributes."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from pollers.testing.sqs.errors import invalid_parameter, serialization
from pollers.testing.sqs.messages import Attributes

__all__ = ["read_attributes", "read_system_attributes", "size"]

_NAME = re.compile(r"(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_RESERVED = ("aws.", "amazon.")
_TYPES = ("Binary", "Number", "String")


def read_attributes(request: Mapping[str, Any]) -> Attributes:
    """MessageAttributes of a request, checked; the values stay as they came."""
    attributes = _members(request, "MessageAttributes")
    if len(attributes) > 10:
        raise invalid_parameter(
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [10].",
        )
    for name, value in attributes.items():
        if not _NAME.fullmatch(name) or name.lower().startswith(_RESERVED):
            raise invalid_parameter(
                f"The message attribute name '{name}' is invalid. It can contain letters, digits, hyphens, underscores "
                "and periods, neither first nor last nor two in a row, and must not start with AWS. or Amazon."
            )
        _check_value(f"message attribute '{name}'", value)
    return attributes


def read_system_attributes(request: Mapping[str, Any]) -> Attributes:
    """MessageSystemAttributes of a request. AWS: only AWSTraceHeader, a String."""
    attributes = _members(request, "MessageSystemAttributes")
    for name, value in attributes.items():
        if name != "AWSTraceHeader":
            raise invalid_parameter(f"Message system attribute name '{name}' is invalid.")
        if value.get("DataType") != "String":
            raise invalid_parameter(f"The message system attribute '{name}' must be a String.")
        _check_value(f"message system attribute '{name}'", value)
    return attributes


def size(attributes: Attributes) -> int:
    """Bytes that count towards the size of the message: name, data type and value."""
    total = 0
    for name, value in attributes.items():
        binary = value.get("BinaryValue")
        data = len(b64decode(binary)) if binary is not None else len(value["StringValue"].encode())
        total += len(name.encode()) + len(value["DataType"].encode()) + data
    return total


def _members(request: Mapping[str, Any], member: str) -> Attributes:
    attributes = request.get(member)
    if attributes is None:
        return {}
    if not isinstance(attributes, dict) or not all(isinstance(value, dict) for value in attributes.values()):
        raise serialization(f"{member} must be a map of attributes")
    return attributes


def _check_value(what: str, value: Mapping[str, Any]) -> None:
    data_type = value.get("DataType")
    if not isinstance(data_type, str) or not data_type:
        raise invalid_parameter(f"The {what} must contain a non-empty message attribute type.")
    kind = data_type.partition(".")[0]
    if kind not in _TYPES or len(data_type) > 256:
        raise invalid_parameter(
            f"The {what} has an invalid message attribute type, the set of supported type prefixes is Binary, Number, "
            "and String."
        )
    member = "BinaryValue" if kind == "Binary" else "StringValue"
    text = value.get(member)
    if not isinstance(text, str) or not text:
        raise invalid_parameter(
            f"The {what} must contain a non-empty message attribute value for message attribute type '{data_type}'."
        )
    if set(value) - {"DataType", member, "StringListValues", "BinaryListValues"}:
        raise invalid_parameter(f"The {what} must hold one value.")
    if value.get("StringListValues") or value.get("BinaryListValues"):
        raise invalid_parameter(f"The {what} holds a list, and lists are not implemented by SQS.")
    _check_text(what, kind, text)


def _check_text(what: str, kind: str, text: str) -> None:
    if kind == "Binary":
        try:
            b64decode(text, validate=True)
        except ValueError:
            raise serialization(f"The {what} is not base64") from None
    elif kind == "Number":
        try:
            float(text)
        except ValueError:
            raise invalid_parameter(f"Can't cast the value of {what} to a number.") from None
