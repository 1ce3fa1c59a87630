"""Attribute values in DynamoDB's JSON: read into a canonical form, in which equal values are equal dicts; and sized."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from typing import Any, TypeAlias

from pollers.testing.dynamodb.errors import invalid, serialization

__all__ = ["Item", "item_size", "read_item", "value_size"]

Item: TypeAlias = dict[str, Any]  # attribute name to {type: value}; never changed once it is read

_DEEPEST = 32  # AWS: levels of nesting in an item
_NUMBERS = Context(prec=38, traps=[Inexact, InvalidOperation, Overflow])


def read_item(value: object, depth: int = 0) -> Item:
    """A canonical copy. Numbers lose their idle zeros, sets are sorted; raises Fault where AWS would."""
    if not isinstance(value, dict):
        raise serialization("An item must be a map of attribute values")
    if depth > _DEEPEST:
        raise invalid("Nesting Levels have exceeded supported limits")
    return {name: _read(attribute, depth) for name, attribute in value.items()}


def item_size(item: Mapping[str, Any]) -> int:
    """Bytes: names and values. AWS counts so for SizeBytes of stream records."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(attribute: Mapping[str, Any]) -> int:
    """Bytes of one value without its name."""
    ((kind, value),) = attribute.items()
    return _SIZES[kind](value)


def _read(attribute: object, depth: int) -> dict[str, Any]:
    if not isinstance(attribute, dict):
        raise serialization("An attribute value must be a structure")
    if len(attribute) != 1:
        raise invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
    ((kind, value),) = attribute.items()
    if kind == "M":
        return {"M": read_item(value, depth + 1)}
    if kind == "L":
        if depth >= _DEEPEST:
            raise invalid("Nesting Levels have exceeded supported limits")
        return {"L": [_read(element, depth + 1) for element in _of(list, "L", value)]}
    reader = _READERS.get(kind)
    if reader is None:
        raise invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
    return {kind: reader(value)}


def _of(kind: type, name: str, value: object) -> Any:
    if not isinstance(value, kind):
        raise serialization(f"{name} must be a {kind.__name__}")
    return value


def _text(value: object) -> str:
    return str(_of(str, "S", value))


def _number(value: object) -> str:
    text = _of(str, "N", value)
    try:
        number = _NUMBERS.create_decimal(text).normalize(_NUMBERS)
    except DecimalException:
        raise invalid(f"The parameter cannot be converted to a numeric value: {text}") from None
    if not number.is_finite() or (number and not -130 <= number.adjusted() <= 125):
        raise invalid(f"The parameter cannot be converted to a numeric value: {text}")
    return f"{number:f}" if number else "0"  # and no minus zero


def _binary(value: object) -> str:
    text = _of(str, "B", value)
    try:
        return b64encode(b64decode(text, validate=True)).decode()
    except ValueError:
        raise serialization("B must be base64") from None


def _boolean(value: object) -> bool:
    return bool(_of(bool, "BOOL", value))


def _null(value: object) -> bool:
    if value is not True:
        raise invalid(
            "One or more parameter values were invalid: Null attribute value types must have the value of true"
        )
    return True


def _set_of(read: Callable[[object], str]) -> Callable[[object], list[str]]:
    def read_set(value: object) -> list[str]:
        members = [read(member) for member in _of(list, "A set", value)]
        if not members:
            raise invalid("One or more parameter values were invalid: A set may not be empty")
        if len(set(members)) != len(members):
            raise invalid("One or more parameter values were invalid: Input collection contains duplicates")
        return sorted(members)

    return read_set


def _text_size(text: str) -> int:
    return len(text.encode())


def _number_size(text: str) -> int:
    """AWS: about one byte for two significant digits, one more, and one for a minus."""
    digits = len(Decimal(text).normalize(_NUMBERS).as_tuple().digits) if text != "0" else 0
    return (digits + 1) // 2 + 1 + text.startswith("-")


def _binary_size(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")


def _flag_size(flag: bool) -> int:
    return 1


def _map_size(value: Item) -> int:
    return 3 + len(value) + item_size(value)  # AWS: 3 bytes, and one for each element


def _list_size(value: list[dict[str, Any]]) -> int:
    return 3 + len(value) + sum(map(value_size, value))


def _sum_of(size: Callable[[str], int]) -> Callable[[list[str]], int]:
    return lambda members: sum(map(size, members))


_READERS: Mapping[str, Callable[[object], Any]] = {
    "S": _text,
    "N": _number,
    "B": _binary,
    "BOOL": _boolean,
    "NULL": _null,
    "SS": _set_of(_text),
    "NS": _set_of(_number),
    "BS": _set_of(_binary),
}
_SIZES: Mapping[str, Callable[[Any], int]] = {
    "S": _text_size,
    "N": _number_size,
    "B": _binary_size,
    "BOOL": _flag_size,
    "NULL": _flag_size,
    "SS": _sum_of(_text_size),
    "NS": _sum_of(_number_size),
    "BS": _sum_of(_binary_size),
    "M": _map_size,
    "L": _list_size,
}
