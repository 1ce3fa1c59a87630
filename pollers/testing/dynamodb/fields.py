"""Reading members of a request: which are modeled, their JSON type, presence and range."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pollers.testing.dynamodb.errors import invalid, not_modeled, out_of_range, serialization

__all__ = ["boolean", "check_members", "choice", "integer", "optional_text", "required_text", "structure", "structures"]


def check_members(request: Mapping[str, Any], modeled: Collection[str], fixed: Mapping[str, object]) -> None:
    """Refuse members that would change the result here if they were obeyed.

    `fixed` are members that are accepted with one value only, the one that asks for what the model does anyway.
    """
    for name, value in request.items():
        if name in modeled or value is None:
            continue
        if name not in fixed:
            raise not_modeled(name)
        if value != fixed[name]:
            raise not_modeled(f"{name} = {value}")


def optional_text(request: Mapping[str, Any], name: str) -> str | None:
    """The member's text; None where it is absent."""
    value = request.get(name)
    if value is None or isinstance(value, str):
        return value
    raise serialization(f"{name} must be a string")


def required_text(request: Mapping[str, Any], name: str) -> str:
    """The member's text; an absent or empty one is refused."""
    value = optional_text(request, name)
    if not value:
        raise out_of_range(name, value if value is not None else "null", "not be null")
    return value


def choice(request: Mapping[str, Any], name: str, choices: Collection[str]) -> str:
    """The member's text, one of `choices`."""
    value = required_text(request, name)
    if value not in choices:
        raise out_of_range(name, value, f"satisfy enum value set: [{', '.join(choices)}]")
    return value


def integer(request: Mapping[str, Any], name: str, most: int | None = None) -> int | None:
    """The member's number, from 1 to `most`; None where it is absent."""
    value = request.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise serialization(f"{name} must be an integer")
    if value < 1:
        raise out_of_range(name, value, "have value greater than or equal to 1")
    if most is not None and value > most:
        raise out_of_range(name, value, f"have value less than or equal to {most}")
    return value


def boolean(request: Mapping[str, Any], name: str) -> bool:
    """The member, which must be there."""
    value = request.get(name)
    if isinstance(value, bool):
        return value
    if value is None:
        raise out_of_range(name, "null", "not be null")
    raise serialization(f"{name} must be a boolean")


def structure(request: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The member's structure or map; None where it is absent."""
    value = request.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise serialization(f"{name} must be a structure")


def structures(request: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The member's structures, at least one."""
    values = request.get(name)
    if values is None:
        raise out_of_range(name, "null", "not be null")
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise serialization(f"{name} must be a list of structures")
    if not values:
        raise invalid(f"{name} must not be empty.")
    return values
