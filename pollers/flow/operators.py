"""What may be asked of one leaf: the literals and operators of event patterns. AWS: semantics 6.1-2 to 6.1-8, 12-13.

A leaf is a string, a number as it was written, true, false or null. Each alternative becomes a test of one leaf.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

__all__ = ["Malformed", "Number", "Path", "Test", "alternatives_of", "is_text"]

Test: TypeAlias = Callable[[Any], bool]
Path: TypeAlias = tuple[str, ...]  # the names that lead to a part of a pattern


class Number(str):
    """A number as it was written. AWS: equality compares the text, so 300, 300.0 and 3.0e2 differ (6.1-1)."""

    __slots__ = ()


class Malformed(ValueError):
    """A part of a pattern that means nothing. `str()` says where and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{'.'.join(path)}: {reason}" if path else reason)


def alternatives_of(alternatives: list[Any], path: Path) -> Iterator[Test]:
    """A test per alternative, all literals in one. Raises `Malformed`."""
    literals = [value for value in alternatives if not isinstance(value, dict | list)]
    if literals:
        yield _equals(literals)
    for alternative in alternatives:
        if isinstance(alternative, list):
            raise Malformed(path, "an alternative must not be an array")
        if isinstance(alternative, dict):
            yield _operation(alternative, path)


def _equals(literals: Iterable[Any]) -> Test:
    strings, numbers, others = set[str](), set[str](), []
    for literal in literals:
        if isinstance(literal, Number):
            numbers.add(literal)
        elif isinstance(literal, str):
            strings.add(literal)
        else:
            others.append(literal)

    def test(value: Any) -> bool:
        if isinstance(value, Number):
            return value in numbers
        if isinstance(value, str):
            return value in strings
        return value in others

    return test


def _operation(expression: dict[str, Any], path: Path) -> Test:
    if len(expression) != 1:
        raise Malformed(path, "an operator stands alone in its object")
    [(name, argument)] = expression.items()
    compile_operator = _OPERATORS.get(name)
    if compile_operator is None:
        raise Malformed(path, f"{name} is not one of the operators {', '.join(_OPERATORS)}")
    return compile_operator(argument, (*path, name))


def _exists(argument: Any, path: Path) -> Test:
    """Of a leaf that is there; what is absent never gets here (`leaf`)."""
    if not isinstance(argument, bool):
        raise Malformed(path, "must be true or false")
    return lambda value: argument


def _anything_but(argument: Any, path: Path) -> Test:
    """The negation of equals, by the text of a number as well: 100.0 is something but 100."""
    excluded = argument if isinstance(argument, list) else [argument]
    numbers = sum(isinstance(value, Number) for value in excluded)
    if not excluded or not all(isinstance(value, str) for value in excluded) or numbers not in (0, len(excluded)):
        raise Malformed(path, "must be a string, a number, or an array of either")
    equals = _equals(excluded)
    return lambda value: not equals(value)


def _of_text(check: Callable[[str, str], bool]) -> Callable[[Any, Path], Test]:
    def compile_operator(argument: Any, path: Path) -> Test:
        if not is_text(argument):
            raise Malformed(path, "must be a string")
        return lambda value: is_text(value) and check(value, argument)

    return compile_operator


def is_text(value: object) -> bool:
    """Whether a leaf is a string, and no number."""
    return isinstance(value, str) and not isinstance(value, Number)


def _equals_ignoring_case(value: str, argument: str) -> bool:
    return value.casefold() == argument.casefold()


def _numeric(argument: Any, path: Path) -> Test:
    """Compares values, exactly: 300 is 3.0e2. Strings that look like numbers are strings (6.2-17)."""
    if not isinstance(argument, list) or len(argument) not in (2, 4):
        raise Malformed(path, 'must be like ["=", 100] or [">", 10, "<=", 20]')
    bounds = [_bound(sign, limit, path) for sign, limit in zip(argument[::2], argument[1::2], strict=True)]
    if len(bounds) == 2 and not (argument[0][0] == ">" and argument[2][0] == "<" and bounds[0][1] < bounds[1][1]):
        raise Malformed(path, "a range has its lower bound first and its upper bound, which is greater, second")

    def test(value: Any) -> bool:
        if not isinstance(value, Number):
            return False
        number = _value(value)
        return number is not None and all(compare(number, limit) for compare, limit in bounds)

    return test


def _bound(sign: Any, limit: Any, path: Path) -> tuple[Callable[[Decimal, Decimal], bool], Decimal]:
    compare = _COMPARISONS.get(sign) if isinstance(sign, str) else None
    value = _value(limit) if isinstance(limit, Number) else None
    if compare is None or value is None:
        raise Malformed(path, f"needs pairs of a comparison ({', '.join(_COMPARISONS)}) and a number")
    return compare, value


def _value(number: Number) -> Decimal | None:
    """None for what no Decimal holds (an exponent of nineteen digits, NaN): no comparison is true of it.

    A Decimal keeps an exponent as it is, so a number as short as 1e999999999 is never written out.
    """
    try:
        value = Decimal(number)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


_COMPARISONS: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# Lambda's own table. What EventBridge has besides (wildcard, cidr, operators within anything-but) is refused (12-13).
_OPERATORS: Final[dict[str, Callable[[Any, Path], Test]]] = {
    "anything-but": _anything_but,
    "equals-ignore-case": _of_text(_equals_ignoring_case),
    "exists": _exists,
    "numeric": _numeric,
    "prefix": _of_text(str.startswith),
    "suffix": _of_text(str.endswith),
}
