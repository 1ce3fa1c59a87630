"""What holds for every pattern and every record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from hypothesis import assume, given
from hypothesis import strategies as st

from pollers.flow.filters import Compiled, InvalidPattern, compile_filters
from pollers.flow.patterns import conditions, member, parse
from pollers.flow.records import DataRule, Partition, Shape

names = st.sampled_from(["a", "b", "$or", "body", "exists", "é", ""])
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
strings = st.sampled_from(["", "x", "xy", "5", "\ud800", "é"]) | st.text(max_size=3)
leaves = st.none() | st.booleans() | numbers | strings
json_values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)
pairs = st.tuples(st.sampled_from(["=", "<", "<=", ">", ">="]), numbers).map(list)
operators = st.one_of(
    st.fixed_dictionaries({"prefix": strings}),
    st.fixed_dictionaries({"suffix": strings}),
    st.fixed_dictionaries({"equals-ignore-case": strings}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"anything-but": st.lists(strings, min_size=1, max_size=2) | strings | numbers}),
    st.fixed_dictionaries({"numeric": pairs}),
)
alternatives = st.lists(leaves | operators, min_size=1, max_size=3)
plain_names = names.filter(lambda name: name != "$or")
patterns = st.recursive(
    st.dictionaries(plain_names, alternatives, min_size=1, max_size=2),
    lambda inner: (
        st.dictionaries(plain_names, inner | alternatives, min_size=1, max_size=2)
        | st.fixed_dictionaries({"a": inner | alternatives, "$or": st.lists(inner, min_size=2, max_size=3)})
    ),
    max_leaves=6,
)
rules = st.builds(
    DataRule,
    key=st.sampled_from(["body", "a"]),
    mismatch=st.sampled_from(["drop", "ignore"]),
    plain=st.booleans(),
)
payloads = json_values.map(json.dumps) | st.text(max_size=8) | st.binary(max_size=8)


class ViewAndData:
    """A shape whose records are pairs of metadata and payload."""

    def view(self, partition: Partition, raw: tuple[Mapping[str, Any], Any]) -> Mapping[str, Any]:
        return raw[0]

    def data(self, raw: tuple[Mapping[str, Any], Any]) -> str | bytes:
        return cast("str | bytes", raw[1])


PARTITION = Partition("one")
SHAPE = cast("Shape", ViewAndData())  # the rest of a shape is not asked by filters
metadata = st.dictionaries(names, json_values, max_size=3)


def compiled_or_none(pattern: str, rule: DataRule) -> Compiled | None:
    try:
        return compile_filters([pattern], rule)
    except InvalidPattern:
        return None


@given(json_values.map(json.dumps) | st.text(max_size=12), rules, metadata, payloads)
def test_anything_given_as_a_pattern_is_compiled_or_refused(
    pattern: str, rule: DataRule, view: dict[str, Any], payload: str | bytes
) -> None:
    compiled = compiled_or_none(pattern, rule)
    if compiled is not None:
        assert compiled.bind(SHAPE).passes(PARTITION, (view, payload)) in (True, False)


@given(patterns.map(json.dumps), json_values)
def test_matching_never_raises(pattern: str, value: object) -> None:
    assert conditions(parse(pattern), (), member)(parse(json.dumps({"a": value}))) in (True, False)


@given(st.lists(patterns.map(json.dumps), min_size=1, max_size=4), rules, metadata, payloads)
def test_filters_together_pass_what_any_of_them_passes(
    texts: list[str], rule: DataRule, view: dict[str, Any], payload: str | bytes
) -> None:
    singles = [compiled_or_none(text, rule) for text in texts]
    assume(None not in singles)
    together = compile_filters(texts, rule).bind(SHAPE)
    assert together.passes(PARTITION, (view, payload)) is any(
        one.bind(SHAPE).passes(PARTITION, (view, payload)) for one in singles if one
    )


@given(leaves)
def test_every_leaf_equals_itself_and_is_not_anything_but_itself(value: object) -> None:
    text = json.dumps(value)
    record = parse(f'{{"a": {text}}}')
    assert conditions(parse(f'{{"a": [{text}]}}'), (), member)(record)
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        assert not conditions(parse(f'{{"a": [{{"anything-but": {text}}}]}}'), (), member)(record)


@given(leaves, leaves)
def test_two_leaves_are_equal_when_their_texts_are(one: object, other: object) -> None:
    equal = conditions(parse(json.dumps({"a": [one]})), (), member)(parse(json.dumps({"a": other})))
    assert equal is (json.dumps(one) == json.dumps(other))


@given(json_values, names)
def test_a_field_exists_or_does_not(value: object, name: str) -> None:
    record = parse(json.dumps({"a": value}))
    exists, absent = (
        conditions(
            parse(json.dumps({"a": {name: [{"exists": flag}]}} if name != "$or" else {"a": [{"exists": flag}]})),
            (),
            member,
        )
        for flag in (True, False)
    )
    assert exists(record) is not absent(record)


@given(numbers, numbers)
def test_numeric_orders_numbers_as_numbers_are_ordered(value: float, limit: float) -> None:
    record = parse(json.dumps({"a": value}))

    def holds(sign: str) -> bool:
        return conditions(parse(json.dumps({"a": [{"numeric": [sign, limit]}]})), (), member)(record)

    assert [holds(sign) for sign in ("<", "=", ">")].count(True) == 1
    assert holds("<=") is (holds("<") or holds("="))
    assert holds(">=") is not holds("<")


@given(metadata, json_values)
def test_metadata_of_python_match_as_their_json_text_would(view: dict[str, Any], value: object) -> None:
    pattern = conditions(parse('{"a": [5, 5.0, true, null, "x", {"numeric": [">", 0]}]}'), (), member)
    record = {**view, "a": value}
    assert pattern(record) is pattern(parse(json.dumps(record)))
