"""Reads a configuration file into plain dicts and lists. Each way in which it can be unreadable has its message."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from pollers.config.spelling import printable
from pollers.errors import ConfigurationError, Problem

__all__ = ["Unreadable", "read_document"]

LIMIT: Final = 1 << 20  # bytes of a file
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class Unreadable(Exception):
    """A text that is not of its format. Lines and columns count from one; None where they are not known."""

    def __init__(self, reason: str, remedy: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.line = line
        self.column = column


def read_document(path: Path) -> dict[str, Any]:
    """The table that a TOML, YAML or JSON file holds, by its suffix. Raises `ConfigurationError`."""
    try:
        parse = _parser(path)
        document = parse(_text(_content(path)))
        if not isinstance(document, dict):
            reason = "is empty" if document is None else "does not hold a table of names and values"
            raise Unreadable(f"{reason}.", "Begin with functions and event_source_mappings.")
    except Unreadable as error:
        where = printable(str(path))
        if error.line is not None:
            where += f", line {error.line}" + (f", column {error.column}" if error.column is not None else "")
        raise ConfigurationError([Problem(where, error.reason, error.remedy)]) from None
    return document


def _parser(path: Path) -> Callable[[str], Any]:
    match path.suffix.lower():
        case ".toml":
            return _toml
        case ".json":
            return _json
        case ".yaml" | ".yml":
            return _yaml
    raise Unreadable("its suffix does not tell its format.", "Name it .toml, .yaml, .yml or .json.")


def _content(path: Path) -> bytes:
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise Unreadable("is a folder, not a file.", "Name the file in it.")
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except FileNotFoundError:
        raise Unreadable("there is no such file.", "Check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unreadable(f"cannot be read: {reason}.", "Check the path and its permissions.") from None
    if len(content) > LIMIT:
        raise Unreadable(f"is larger than {LIMIT} bytes.", "Split it: several processes can share the mappings.")
    return content


def _text(content: bytes) -> str:
    """The text, without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise Unreadable("is not UTF-8.", "Save it as UTF-8.", line, column) from None


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text) or None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # TOMLDecodeError, and numbers that Python refuses
        message = str(error)
        found = _TOML_PLACE.search(message)
        line = int(found[1]) if found and found[1] else text.count("\n") + 1 if found else None
        column = int(found[2]) if found and found[2] else None
        reason = printable(_TOML_PLACE.sub("", message))
        raise Unreadable(f"is not TOML: {reason}.", "Correct it there.", line, column) from None


def _json(text: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"is not JSON: {error.msg}.", "Correct it there.", error.lineno, error.colno) from None
    except ValueError as error:  # a number with thousands of digits
        raise Unreadable(f"is not JSON that can be used: {printable(str(error))}.", "Correct it.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise Unreadable(f"the key {printable(twice)!r} is there twice in one object.", "Keep one of them.")
    return table


def _constant(name: str) -> NoReturn:
    raise Unreadable(f"{name} is not JSON.", "Give a number.")


def _yaml(text: str) -> Any:
    try:
        from pollers.config.yaml_text import parse_yaml  # an import that other formats need not pay
    except ModuleNotFoundError:
        raise Unreadable(
            "YAML needs PyYAML, which is not installed.", "Install pollers[service], or write TOML."
        ) from None
    return parse_yaml(text)


def _too_deep() -> Unreadable:
    return Unreadable("is nested too deeply.", "No field is deeper than eight levels.")
