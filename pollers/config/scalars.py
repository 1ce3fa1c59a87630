"""Values without parts: numbers, texts, flags, dates. Each reads itself, says its fault, and has a schema.

Texts of constraints are AWS's (semantics 1.3).
"""

from __future__ import annotations

import datetime
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pollers.config.place import Place

__all__ = ["INVALID", "Choice", "Flag", "Moment", "Number", "Scalar", "Text", "Whole", "beyond"]


class _Invalid:
    def __repr__(self) -> str:
        return "INVALID"


INVALID: Final = _Invalid()  # what reading returns after it has reported a fault


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


def beyond(raw: float, low: float, high: float | None, measure: str) -> str | None:
    """The constraint that a number, or a length, from `low` to `high` does not satisfy, in AWS's words."""
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
        return beyond(raw, self.low, self.high, "value")

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
        return beyond(raw, self.low, self.high, "value")

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
        constraint = beyond(len(raw), self.low, self.high, "length")
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
