"""Reading members of a request: their JSON type, presence and range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pollers.testing.sqs.errors import invalid_parameter, missing_parameter, serialization

__all__ = ["integer", "optional_text", "required_text", "texts"]


def optional_text(request: Mapping[str, Any], name: str) -> str | None:
    """The member's text; None where it is absent."""
    value = request.get(name)
    if value is None or isinstance(value, str):
        return value
    raise serialization(f"{name} must be a string")


def required_text(request: Mapping[str, Any], name: str) -> str:
    """The member's text; absent or empty is MissingParameter."""
    value = optional_text(request, name)
    if not value:
        raise missing_parameter(name)
    return value


def integer(request: Mapping[str, Any], name: str, low: int, high: int, reason: str) -> int | None:
    """The member's number, from `low` to `high`; None where it is absent."""
    value = request.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise serialization(f"{name} must be an integer")
    if not low <= value <= high:
        raise invalid_parameter(f"Value {value} for parameter {name} is invalid. Reason: {reason}")
    return value


def texts(request: Mapping[str, Any], name: str) -> list[str]:
    """The member's list of texts; empty where it is absent."""
    values = request.get(name)
    if values is None:
        return []
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return values
    raise serialization(f"{name} must be a list of strings")
