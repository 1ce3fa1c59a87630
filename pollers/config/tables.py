"""Tables of fields: the one description from which files are read and the JSON Schema is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pollers.config.place import Place
from pollers.config.scalars import INVALID
from pollers.config.spelling import TERRAFORM, nearest, snake
from pollers.config.values import Value

__all__ = ["Field", "Given", "Table"]

UNKNOWN: Final = 20  # unknown names of one table that are reported, each with a search for what was meant


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, what it may hold, what it is for."""

    name: str  # AWS's: "BatchSize"; one of ours is snake_case and has no other spelling
    value: Value
    about: str  # one sentence, for the schema
    default: Any = None  # None: none, or one that depends on the source, as `about` then says
    sources: frozenset[str] | None = None  # kinds that take it (semantics 1.1); None: all
    idle: str | None = None  # why it does nothing here, for a field that is accepted and not used
    read_only: bool = False  # AWS reports it and takes it from nobody

    @property
    def ours(self) -> bool:
        return self.name.islower()

    @property
    def spellings(self) -> tuple[str, ...]:
        """snake_case first, then AWS's own, then Terraform's exceptions."""
        own = (snake(self.name),) if self.ours else (snake(self.name), self.name)
        return own + tuple(other for other, name in TERRAFORM.items() if name == self.name)


class Given:
    """What a file holds in one table, under snake_case names, with the defaults of that table."""

    __slots__ = ("_places", "_values", "place", "table")

    def __init__(self, table: Table, place: Place) -> None:
        self.table = table
        self.place = place
        self._values: dict[str, Any] = {}
        self._places: dict[str, Place] = {}

    def put(self, name: str, value: object, place: Place) -> None:
        self._places[name] = place
        if value is not INVALID:
            self._values[name] = value

    def get(self, name: str) -> Any:
        """The value; its default where there is none, or one whose fault has been reported."""
        return self._values[name] if name in self._values else self.table.field(name).default

    def has(self, name: str) -> bool:
        """Whether it is written at all, faulty or not."""
        return name in self._places

    def valid(self, name: str) -> bool:
        """Whether it is written and has no fault of its own."""
        return name in self._values

    def blank(self, name: str) -> bool:
        """Whether it is written and holds nothing, as AWS prints what was never set: {}, [], {"OnFailure": {}}."""
        return name in self._values and _blank(self._values[name])

    def at(self, name: str) -> Place:
        """Where it is written, or would be."""
        return self._places.get(name) or self.place.key(name)

    def inner(self, name: str) -> Given:
        """The table under `name`; an empty one, with its defaults, where there is none."""
        value = self._values.get(name)
        if isinstance(value, Given):
            return value
        table = self.table.field(name).value
        assert isinstance(table, Table)
        return Given(table, self.at(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)


def _blank(value: object) -> bool:
    if isinstance(value, Given):
        return all(value.blank(name) for name in value)
    return value in ((), {}, "", [])


class Table:
    """A table whose fields are known. Read as `Given`."""

    def __init__(self, name: str, *fields: Field, ours: bool = False) -> None:
        self.name = name  # of its definition in the schema
        self.ours = ours  # AWS has no such table: its messages do not name its members
        self.fields = fields
        self._by_name = {snake(field.name): field for field in fields}
        self._by_spelling = {spelling: field for field in fields for spelling in field.spellings}

    def field(self, name: str) -> Field:
        """The field of this snake_case name."""
        return self._by_name[name]

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, dict):
            place.wrong_type(raw, "a table", "Write names and their values.")
            return INVALID
        given = Given(self, place)
        unknown = 0
        for written, value in raw.items():
            field = self._by_spelling.get(written) if isinstance(written, str) else None
            if field is not None:
                self._member(field, written, value, given)
                continue
            unknown += 1
            if unknown <= UNKNOWN:
                self._unknown(written, place)
        if unknown > UNKNOWN:
            place.fault(f"holds {unknown - UNKNOWN} more names that are not known.", "Is it meant for another program?")
        return given

    def _member(self, field: Field, written: str, value: Any, given: Given) -> None:
        at = given.place.key(written, "" if self.ours or field.ours else field.name)
        name = snake(field.name)
        if given.has(name):
            at.fault(f"is the same field as {given.at(name).path}.", "Keep one of the two spellings.")
            return
        if value is None:
            at.fault("has no value.", "Give it one, or leave it out.")
        given.put(name, INVALID if value is None else field.value.read(value, at), at)

    def _unknown(self, written: object, place: Place) -> None:
        at = place.key(written)
        if not isinstance(written, str):
            at.fault("is not a name.", "Put it in quotes.")
            return
        camel = written[:1].isupper()
        names = [spellings[camel and len(spellings) > 1] for spellings in (field.spellings for field in self.fields)]
        meant = nearest(written, names)
        known = ", ".join(names if len(names) <= 12 else [*names[:12], "…"])
        at.fault("is not a known name.", f"Did you mean {meant}?" if meant else f"Known here: {known}.")

    def schema(self) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.name}"}
