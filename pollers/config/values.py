"""The kinds of values that a configuration holds. Each reads itself, says its fault, and describes itself as a schema.

Texts of constraints are AWS's (semantics 1.3).
"""

from __future__ import annotations

import datetime
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from pollers.config.place import Place

__all__ = [
    "INVALID",
    "Choice",
    "Flag",
    "Moment",
    "Named",
    "Number",
    "Open",
    "Scalar",
    "Several",
    "Text",
    "Value",
    "Whole",
]


class _Invalid:
    def __repr__(self) -> str:
        return "INVALID"


INVALID: Final = _Invalid()  # what reading returns after it has reported a fault


class Value(Protocol):
    """What may stand at one place of a file."""

    def read(self, raw: Any, place: Place) -> Any:
        """The value, or INVALID once the fault has been reported to `place`."""

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""


class Scalar(ABC):
    """A value without parts."""

    __slots__ = ()

    wanted: ClassVar[str]  # "a whole number"
    secret = False  # never repeated in a message

    @abstractmethod
    def accepts(self, raw: Any) -> bool:
        """Whether the type is right."""

    @abstractmethod
    def broken(self, raw: Any) -> str | None:
        """The constraint that a value of the right type does not satisfy, in AWS's words."""

    @abstractmethod
    def remedy(self) -> str: ...

    @abstractmethod
    def schema(self) -> dict[str, Any]: ...

    def read(self, raw: Any, place: Place) -> Any:
        if not self.accepts(raw):
            place.wrong_type(raw, self.wanted, self.remedy(), secret=self.secret)
            return INVALID
        constraint = self.broken(raw)
        if constraint is not None:
            place.constraint(raw, constraint, self.remedy(), secret=self.secret)
            return INVALID
        return raw


def _beyond(raw: float, low: float, high: float | None, measure: str) -> str | None:
    if raw < low:
        return f"Member must have {measure} greater than or equal to {low}"
    if high is not None and raw > high:
        return f"Member must have {measure} less than or equal to {high}"
    return None


@dataclass(frozen=True, slots=True)
class Whole(Scalar):
    """A whole number from `low` to `high`, both included; `high` None: without an end."""

    low: int
    high: int | None = None
    wanted: ClassVar[str] = "a whole number"

    def accepts(self, raw: Any) -> bool:
        return isinstance(raw, int) and not isinstance(raw, bool)

    def broken(self, raw: Any) -> str | None:
        return _beyond(raw, self.low, self.high, "value")

    def remedy(self) -> str:
        end = "on" if self.high is None else f"to {self.high}"
        return f"Give a whole number from {self.low} {end}, without quotes."

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low} | ({} if self.high is None else {"maximum": self.high})


@dataclass(frozen=True, slots=True)
class Number(Scalar):
    """A number from `low` to `high`, both included."""

    low: float
    high: float
    wanted: ClassVar[str] = "a number"

    def accepts(self, raw: Any) -> bool:
        return isinstance(raw, int | float) and not isinstance(raw, bool) and raw == raw  # not NaN

    def broken(self, raw: Any) -> str | None:
        return _beyond(raw, self.low, self.high, "value")

    def remedy(self) -> str:
        return f"Give a number from {self.low:g} to {self.high:g}, without quotes."

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Text(Scalar):
    """Text of `low` to `high` characters. `form` says for people what `pattern` says for machines."""

    low: int = 0
    high: int | None = None
    pattern: str | None = None  # of the whole text
    form: str = "text"  # "the queue's ARN, arn:aws:sqs:region:account:name"
    secret: bool = False
    wanted: ClassVar[str] = "text"

    def accepts(self, raw: Any) -> bool:
        return isinstance(raw, str)

    def broken(self, raw: Any) -> str | None:
        constraint = _beyond(len(raw), self.low, self.high, "length")
        if constraint is None and self.pattern is not None and not re.fullmatch(self.pattern, raw):
            return f"Member must satisfy regular expression pattern: {self.pattern}"
        return constraint

    def remedy(self) -> str:
        return f"Write {self.form}, in quotes."

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string"}
        if self.low:
            schema["minLength"] = self.low
        if self.high is not None:
            schema["maxLength"] = self.high
        if self.pattern is not None:
            schema["pattern"] = f"^(?:{self.pattern})$"
        return schema


@dataclass(frozen=True, slots=True)
class Choice(Scalar):
    """One of some words. They are listed in the order in which AWS lists them."""

    words: tuple[str, ...]
    wanted: ClassVar[str] = "text"

    def accepts(self, raw: Any) -> bool:
        return isinstance(raw, str)

    def broken(self, raw: Any) -> str | None:
        return None if raw in self.words else f"Member must satisfy enum value set: [{', '.join(self.words)}]"

    def remedy(self) -> str:
        return (
            f"Write one of {', '.join(map(repr, self.words))}." if len(self.words) > 1 else f"Write '{self.words[0]}'."
        )

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Flag(Scalar):
    """Yes or no."""

    wanted: ClassVar[str] = "true or false"

    def accepts(self, raw: Any) -> bool:
        return isinstance(raw, bool)

    def broken(self, raw: Any) -> str | None:
        return None

    def remedy(self) -> str:
        return "Write true or false, without quotes."

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Moment(Scalar):
    """A moment: a date of TOML or YAML, ISO 8601 text as the AWS CLI prints it, or seconds since the epoch."""

    wanted: ClassVar[str] = "a date"

    def accepts(self, raw: Any) -> bool:
        return isinstance(raw, str | int | float | datetime.date) and not isinstance(raw, bool)

    def broken(self, raw: Any) -> str | None:
        if isinstance(raw, str):
            try:
                datetime.datetime.fromisoformat(raw)
            except ValueError:
                return "Member must be a timestamp"
        return None

    def remedy(self) -> str:
        return "Write a date such as 2026-01-31T12:00:00Z, or seconds since 1970."

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number"]}


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
        too_many = _beyond(len(raw), self.low, self.high, "length")
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
