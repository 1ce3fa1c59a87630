"""The faults of DynamoDB and of its streams, in AWS's names and words."""

from __future__ import annotations

from pollers.testing.service import Fault

__all__ = ["NAMESPACE", "fault", "invalid", "no_such", "not_modeled", "out_of_range", "serialization"]

NAMESPACE = "com.amazonaws.dynamodb.v20120810"


def fault(kind: str, message: str) -> Fault:
    """A fault that the service's own model lists."""
    return Fault(kind, message, namespace=NAMESPACE)


def invalid(message: str) -> Fault:
    return fault("ValidationException", message)


def no_such(what: str) -> Fault:
    """`what`: "Table: orders not found"."""
    return fault("ResourceNotFoundException", f"Requested resource not found: {what}")


def out_of_range(member: str, value: object, constraint: str) -> Fault:
    """`constraint`: "have value less than or equal to 100"."""
    name = member[:1].lower() + member[1:]
    return invalid(
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
        f"Member must {constraint}"
    )


def not_modeled(what: str) -> Fault:
    """The embedded service refuses what it would otherwise have to ignore."""
    return invalid(f"{what} is not part of the embedded DynamoDB.")


def serialization(message: str) -> Fault:
    """The request is JSON but not of the action's shape."""
    return Fault("SerializationException", message, namespace="com.amazon.coral.service")
