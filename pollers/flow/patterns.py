"""The event-pattern language, compiled once: a pattern becomes a test of one JSON value. AWS: semantics 6.1.

Knows no records and no sources. Fields are leaves (strings, numbers, true, false, null, and arrays of those) or
intermediate nodes (objects, and arrays of objects). Where AWS's guide is silent, EventBridge's own matcher decides:

- A leaf array matches by any of its elements, however nested. An empty array or object holds no leaf.
- An object pattern meets an array of objects when one element meets all of it. Only a pattern that asks for nothing
  but absence is asked of every element: the field is absent when no element has it.
- `exists` looks at leaves: an object where a leaf is asked for counts as absent.
- `anything-but` needs a leaf to look at: an absent field fails it; null, true and values of another type pass it.
- `$or` takes two objects or more; it joins its siblings by AND.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from json import JSONDecoder
from typing import Any, Final, NoReturn, TypeAlias

from pollers.flow.operators import Malformed, Number, Path, Test, alternatives_of

__all__ = ["ABSENT", "conditions", "fields", "leaf", "member", "parse"]

Node: TypeAlias = Mapping[str, Any]  # one JSON object
Member: TypeAlias = Callable[[str, Any, Path], Test]  # compiles a name and what is asked of it

OR: Final = "$or"
DEPTH: Final = 100  # levels of a pattern; beyond what DynamoDB can nest, far from the interpreter's stack


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()  # stands for a field that is not there; null is a value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)


def parse(text: str) -> Any:
    """The JSON value of `text`, its numbers as they are written; of repeated keys the last one counts.

    Raises ValueError for what is no JSON and RecursionError for what is nested too deeply. Numbers stay text, so one
    of 20,000 digits costs no more than its length. This is the one parser of filters.
    """
    return _DECODER.decode(text)


def conditions(pattern: Any, path: Path, compile_member: Member) -> Test:
    """Whether one object meets every condition of an object pattern. Raises `Malformed`."""
    if not isinstance(pattern, dict) or not pattern:
        raise Malformed(path, "must be an object that is not empty")
    if len(path) > DEPTH:
        raise Malformed((), f"nested deeper than {DEPTH} levels")
    tests = [
        _either(asked, (*path, OR), compile_member) if name == OR else compile_member(name, asked, (*path, name))
        for name, asked in pattern.items()
    ]
    return _every(tests)


def _either(branches: Any, path: Path, compile_member: Member) -> Test:
    if not isinstance(branches, list) or len(branches) < 2:
        raise Malformed(path, "must be an array of two objects or more")
    return _any(
        conditions(branch, (*path[:-1], f"{OR}[{index}]"), compile_member) for index, branch in enumerate(branches)
    )


def member(name: str, asked: Any, path: Path) -> Test:
    """Whether the field `name` of an object is as asked: by an array of alternatives or by an object pattern."""
    if isinstance(asked, list):
        test = leaf(asked, path)
    elif isinstance(asked, dict):
        test = fields(asked, path)
    else:
        raise Malformed(path, "must be an array of alternatives or an object")
    return lambda node: test(node.get(name, ABSENT))


def fields(pattern: dict[str, Any], path: Path) -> Test:
    """Whether a value is an object, or an array that holds an object, which meets the pattern."""
    meets = conditions(pattern, path, member)
    meets_nothing = meets({})
    quantifier = all if _asks_absence_only(pattern) else any

    def test(value: Any) -> bool:
        if isinstance(value, dict):
            return meets(value)
        if isinstance(value, list):
            nodes = [element for element in _elements(value) if isinstance(element, dict)]
            return quantifier(map(meets, nodes)) if nodes else meets_nothing
        return meets_nothing

    return test


def _asks_absence_only(asked: Any) -> bool:
    if isinstance(asked, dict):
        return all(map(_asks_absence_only, asked.values()))
    return all(alternative == {"exists": False} for alternative in asked)


def leaf(alternatives: list[Any], path: Path) -> Test:
    """Whether a value holds a leaf that one of the alternatives matches. Raises `Malformed`."""
    if not alternatives:
        raise Malformed(path, "must not be an empty array")
    matches = _any(alternatives_of(alternatives, path))
    absent = {"exists": False} in alternatives

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return matches(value)
        if value is ABSENT or isinstance(value, dict):
            return absent
        if isinstance(value, list):
            leaves = [_written(element) for element in _elements(value) if not isinstance(element, dict)]
            return any(map(matches, leaves)) if leaves else absent
        return matches(_written(value))

    return test


def _written(value: Any) -> Any:
    """A leaf as its JSON text has it: metadata may come with numbers of Python."""
    return Number(repr(value)) if type(value) in (int, float) else value


def _elements(array: list[Any]) -> Iterator[Any]:
    """What an array holds, arrays within it opened up. Without recursion: the depth is the sender's choice."""
    waiting = [iter(array)]
    while waiting:
        for element in waiting[-1]:
            if isinstance(element, list):
                waiting.append(iter(element))
                break
            yield element
        else:
            waiting.pop()


def _every(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def test(value: Any) -> bool:
        # A loop costs half of a generator, and this is asked of every record.
        for each in tests:  # noqa: SIM110
            if not each(value):
                return False
        return True

    return test


def _any(tests: Iterable[Test]) -> Test:
    alternatives = list(tests)
    if len(alternatives) == 1:
        return alternatives[0]

    def test(value: Any) -> bool:
        for each in alternatives:  # noqa: SIM110
            if each(value):
                return True
        return False

    return test
