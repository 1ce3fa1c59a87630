"""The JSON Schema of a configuration file, written from the tables that it is read by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pollers.config.sections import FILE
from pollers.config.tables import Field, Table
from pollers.config.values import Named, Several, Value

__all__ = ["json_schema"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema, for editors and checks. It knows names, types and ranges; what spans fields only the parser knows."""
    tables = {table.name: _table(table) for table in _tables(FILE)}
    file = tables.pop(FILE.name)
    return {
        "$schema": DIALECT,
        "title": "pollers",
        "description": "Functions, and the event source mappings that feed them.",
        **file,
        "anyOf": [{"required": [name]} for name in FILE.field("event_source_mappings").spellings],
        "$defs": tables,
    }


def _tables(value: Value) -> Iterator[Table]:
    """Every table in and below a value, itself first."""
    if isinstance(value, Several | Named):
        yield from _tables(value.item)
    elif isinstance(value, Table):
        yield value
        for field in value.fields:
            yield from _tables(field.value)


def _table(table: Table) -> dict[str, Any]:
    root = "#" if table is FILE else f"#/$defs/{table.name}"
    properties: dict[str, Any] = {}
    twice: list[dict[str, Any]] = []
    for field in table.fields:
        first, *others = field.spellings
        properties[first] = _field(field)
        for other in others:
            properties.setdefault(other, {"$ref": f"{root}/properties/{first}"})
            twice.append({"not": {"required": [first, other]}})
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | {"allOf": twice} if twice else schema


def _field(field: Field) -> dict[str, Any]:
    """AWS: every field may be left out as far as a schema can say; which are needed depends on the source."""
    about = field.about
    if field.sources:
        about += f" For {', '.join(sorted(field.sources))}."
    schema = field.value.schema() | {"description": about}
    return schema if field.default is None else schema | {"default": field.default}
