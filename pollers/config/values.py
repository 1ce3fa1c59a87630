"""What may stand at one place of a file, and the kinds that have parts: lists, tables of free names.

Each value reads itself, says its fault, and describes itself as a schema. Texts of constraints are AWS's (1.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pollers.config.place import Place
from pollers.config.scalars import INVALID, Scalar, beyond

__all__ = ["Named", "Open", "Several", "Value"]


class Value(Protocol):
    """What may stand at one place of a file."""

    def read(self, raw: Any, place: Place) -> Any:
        """The value, or INVALID once the fault has been reported to `place`."""

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""


@dataclass(frozen=True, slots=True)
class Open:
    """Anything: of a field that is accepted and not used, so that nothing in it is worth an error."""

    def read(self, raw: Any, place: Place) -> Any:
        return raw

    def schema(self) -> dict[str, Any]:
        return {}


def _of_items(raw: Sequence[Any], kind: Scalar) -> str | None:
    """The fault of a plain member. AWS reports it on the list that holds it."""
    broken = (kind.broken(item) for item in raw if kind.accepts(item))
    constraint = next((one for one in broken if one is not None), None)
    return constraint and f"Member must satisfy constraint: [{constraint}, Member must not be null]"


@dataclass(frozen=True, slots=True)
class Several:
    """A list of `low` to `high` values. Read as a tuple."""

    item: Value
    low: int = 0
    high: int | None = None

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, list):
            place.wrong_type(raw, "a list", "Put it in brackets: [ … ].")
            return INVALID
        too_many = beyond(len(raw), self.low, self.high, "length")
        if too_many is not None:
            place.constraint(raw, too_many, self._remedy())
            return INVALID
        if isinstance(self.item, Scalar) and (constraint := _of_items(raw, self.item)) is not None:
            place.constraint(raw, constraint, self.item.remedy())
            return INVALID
        read = [self.item.read(item, place.item(index)) for index, item in enumerate(raw)]
        valid = tuple(one for one in read if one is not INVALID)
        return valid if valid or not raw else INVALID

    def _remedy(self) -> str:
        if self.low == self.high:
            return f"Give exactly {self.low}."
        return f"Give at least {self.low}." if self.high is None else f"Give {self.low} to {self.high}."

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array", "items": self.item.schema()}
        if self.low:
            schema["minItems"] = self.low
        return schema if self.high is None else schema | {"maxItems": self.high}


@dataclass(frozen=True, slots=True)
class Named:
    """A table whose names are free within `pattern`, all values of one kind. Read as a dict."""

    item: Value
    pattern: str  # of a whole name
    form: str  # what a name looks like, for people
    low: int = 0

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, dict):
            place.wrong_type(raw, "a table", "Write names and their values.")
            return INVALID
        if len(raw) < self.low:
            place.fault("is empty.", f"Name at least {self.low}.")
            return INVALID
        read = {name: self._member(name, value, place) for name, value in raw.items()}
        return {name: value for name, value in read.items() if value is not INVALID}

    def _member(self, name: object, value: Any, place: Place) -> Any:
        at = place.key(name, str(name) if place.member else "")
        if not isinstance(name, str) or not re.fullmatch(self.pattern, name):
            at.fault("is not a valid name.", f"Write {self.form}.")
            return INVALID
        return self.item.read(value, at)

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{self.pattern})$"},
            "additionalProperties": self.item.schema(),
        }
        return schema | {"minProperties": self.low} if self.low else schema
