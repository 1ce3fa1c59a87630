"""FilterCriteria: which records reach the function. AWS: semantics 6.

Patterns are compiled once per mapping and bound to the shape of its source. Per record the metadata are read as they
are, and the payload is parsed at most once, only when a pattern looks into it. What a payload holds is its sender's
choice: whatever is no JSON object or array is plain text, whatever is no UTF-8 is neither, and nothing raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from pollers.flow.operators import Malformed, Path, Test, is_text
from pollers.flow.patterns import conditions, fields, leaf, member, parse
from pollers.flow.records import DataRule, Partition, Raw, Shape

__all__ = ["FILTER_LIMIT", "FILTER_QUOTA", "PATTERN_LIMIT", "Compiled", "InvalidPattern", "compile_filters"]

PATTERN_LIMIT: Final = 4_096  # characters of one pattern
FILTER_QUOTA: Final = 5  # filters of a mapping. AWS: the default quota ...
FILTER_LIMIT: Final = 10  # ... and what it can be raised to

Payload: TypeAlias = dict[str, Any] | list[Any] | str | None  # JSON, plain text, or neither


class InvalidPattern(ValueError):
    """A filter pattern that AWS refuses. `str()` is AWS's text; the attributes say which pattern and why."""

    def __init__(self, index: int, pattern: str | None, reason: str) -> None:
        super().__init__("Invalid filter pattern definition.")
        self.index = index  # in the list of filters
        self.pattern = pattern
        self.reason = reason  # "body.color: must not be an empty array"


def compile_filters(patterns: Sequence[str | None], rule: DataRule) -> Compiled:
    """The filters of one mapping, joined by OR; no filter at all lets every record pass. Raises `InvalidPattern`."""
    return Compiled(tuple(_compile(index, pattern, rule) for index, pattern in enumerate(patterns)), rule)


@dataclass(frozen=True, slots=True)
class Compiled:
    """Filters that still have to be told how records look."""

    tests: tuple[Test, ...]  # of a `_Candidate`
    rule: DataRule

    def bind(self, shape: Shape) -> BoundFilters:
        """The filters for records of this shape."""
        return BoundFilters(self, shape)


class BoundFilters:
    """A `RecordFilter`: compiled filters for the records of one source."""

    __slots__ = ("_key", "_shape", "_tests")

    def __init__(self, compiled: Compiled, shape: Shape) -> None:
        self._tests = compiled.tests
        self._key = compiled.rule.key
        self._shape = shape

    def passes(self, partition: Partition, raw: Raw) -> bool:
        """Whether any of the filters matches. Never raises, whatever the record holds."""
        candidate = _Candidate(self._shape, partition, raw, self._key)
        for test in self._tests:
            try:
                if test(candidate):
                    return True
            except (RecursionError, ValueError):
                continue  # no room on the stack, or a number that Python refuses to write: not what was asked for
        return not self._tests


class _Candidate:
    """One record while it is looked at."""

    __slots__ = ("_key", "_payload", "_raw", "_read", "_shape", "get", "view")

    def __init__(self, shape: Shape, partition: Partition, raw: Raw, key: str) -> None:
        self._shape = shape
        self._raw = raw
        self._key = key
        self._read = False
        self._payload: Payload = None
        self.view: Mapping[str, Any] = shape.view(partition, raw)
        self.get = self.view.get  # conditions look at a record's metadata as at any JSON object

    @property
    def payload(self) -> Payload:
        """What the record carries, read when it is first asked for."""
        if not self._read:
            self._read = True
            self._payload = self._classified()
        return self._payload

    def _classified(self) -> Payload:
        # A view may hold the payload itself, parsed as the client returned it (DynamoDB): nothing is left to read.
        found = self.view.get(self._key)
        if isinstance(found, dict | list):
            return found
        try:
            data = self._shape.data(self._raw) if found is None else found
            text = data.decode() if isinstance(data, bytes) else data
        except ValueError:  # neither UTF-8 nor, where the wire has base64, base64
            return None
        return _json_or_text(text) if isinstance(text, str) else None


def _json_or_text(text: str) -> Payload:
    """A number, a quoted string, true, false and null stand for themselves: as payloads they are plain text."""
    if not text.lstrip(" \t\n\r").startswith(("{", "[")):
        return text
    try:
        parsed: dict[str, Any] | list[Any] = parse(text)
    except (RecursionError, ValueError):
        return text
    return parsed


def _compile(index: int, pattern: str | None, rule: DataRule) -> Test:
    if pattern is None:
        raise InvalidPattern(index, pattern, "is null")
    try:
        return conditions(parse(pattern), (), partial(_member, rule))
    except Malformed as problem:
        raise InvalidPattern(index, pattern, str(problem)) from None
    except RecursionError:
        raise InvalidPattern(index, pattern, "is nested too deeply") from None
    except ValueError as problem:
        raise InvalidPattern(index, pattern, f"is not JSON: {problem}") from None


def _member(rule: DataRule, name: str, asked: Any, path: Path) -> Test:
    """Metadata are fields like any other; the payload follows its own rule. AWS: the table in semantics 6.2."""
    if name != rule.key:
        return member(name, asked, path)
    if isinstance(asked, dict):
        return _payload(fields(asked, path), (dict, list), rule)
    if isinstance(asked, list) and rule.plain:
        return _payload(leaf(_texts(asked, path), path), str, rule)
    raise Malformed(path, "must be an object" + (" or an array of strings" if rule.plain else ""))


def _texts(alternatives: list[Any], path: Path) -> list[Any]:
    """Alternatives for plain text, accepted as documented (12-11); what no text can match is refused."""
    for alternative in alternatives:
        if not is_text(alternative) and (not isinstance(alternative, dict) or "numeric" in alternative):
            raise Malformed(path, "plain text is matched by strings only")
    return alternatives


def _payload(test: Test, kind: type | tuple[type, ...], rule: DataRule) -> Test:
    """A test of payloads of one kind. Others fail it, or where the source ignores a mismatch, do without it."""
    ignored = rule.mismatch == "ignore"

    def condition(candidate: _Candidate) -> bool:
        payload = candidate.payload
        return test(payload) if isinstance(payload, kind) else ignored

    return condition
