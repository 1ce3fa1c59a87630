"""The pattern language on one JSON value: every operator, arrays, absence and $or."""

from __future__ import annotations

import pytest

from pollers.flow.patterns import conditions, member, parse


def matches(pattern: str, value: str) -> bool:
    return conditions(parse(pattern), (), member)(parse(value))


def field_matches(alternatives: str, value: str) -> bool:
    return matches(f'{{"a": {alternatives}}}', f'{{"a": {value}}}')


@pytest.mark.rule("6.1-2")
@pytest.mark.parametrize(
    ("alternatives", "value", "expected"),
    [
        ('["v"]', '"v"', True),
        ('["v"]', '"V"', False),
        ("[100]", "100", True),
        ('["100"]', "100", False),
        ("[100]", '"100"', False),
        ("[true]", "true", True),
        ("[true]", "1", False),
        ("[false]", "0", False),
        ("[1]", "true", False),
        ("[false]", "false", True),
        ('["v", 100, null]', "100", True),
        ('["\\u00e9"]', '"é"', True),
        ('["é"]', '"e\\u0301"', False),
    ],
)
def test_equals_is_exact_in_value_and_type(alternatives: str, value: str, expected: bool) -> None:
    assert field_matches(alternatives, value) is expected


@pytest.mark.rule("6.1-1")
@pytest.mark.parametrize(
    ("written", "other"),
    [("300", "300.0"), ("300", "3.0e2"), ("300.0", "3.0e2"), ("300", '"300"'), ("1e2", "1E2"), ("0", "-0")],
)
def test_equality_compares_the_text_of_numbers(written: str, other: str) -> None:
    assert field_matches(f"[{written}]", written)
    assert field_matches(f"[{other}]", other)
    assert not field_matches(f"[{written}]", other)
    assert not field_matches(f"[{other}]", written)


@pytest.mark.rule("6.1-3")
@pytest.mark.parametrize(
    ("alternatives", "value", "expected"),
    [
        ("[null]", "null", True),
        ("[null]", '""', False),
        ("[null]", '"null"', False),
        ("[null]", "false", False),
        ('[""]', '""', True),
        ('[""]', "null", False),
        ('[""]', '" "', False),
    ],
)
def test_null_and_the_empty_string_are_values_of_their_own(alternatives: str, value: str, expected: bool) -> None:
    assert field_matches(alternatives, value) is expected


@pytest.mark.rule("6.1-10")
@pytest.mark.parametrize("alternatives", ["[null]", '[""]', '["v"]', '[{"prefix": ""}]', '[{"anything-but": "v"}]'])
def test_absent_field_matches_nothing_but_its_absence(alternatives: str) -> None:
    assert not matches(f'{{"a": {alternatives}}}', '{"b": 1}')
    assert not matches(f'{{"a": {{"b": {alternatives}}}}}', '{"a": 1}')
    assert matches('{"a": [{"exists": false}]}', '{"b": 1}')


@pytest.mark.rule("6.1-4")
@pytest.mark.parametrize(
    ("value", "expected"),
    [('"v"', True), ('"V"', True), ('"vv"', False), ("null", False), ("1", False), ("true", False)],
)
def test_equals_ignoring_case_looks_at_strings(value: str, expected: bool) -> None:
    assert field_matches('[{"equals-ignore-case": "V"}]', value) is expected


@pytest.mark.rule("6.1-4")
def test_case_is_ignored_in_every_script() -> None:
    assert field_matches('[{"equals-ignore-case": "σασ"}]', '"ΣΑΣ"')


@pytest.mark.rule("6.1-4")
def test_equals_ignoring_case_does_not_take_a_number_for_its_text() -> None:
    assert field_matches('[{"equals-ignore-case": "1E2"}]', '"1e2"')
    assert not field_matches('[{"equals-ignore-case": "1E2"}]', "1e2")


@pytest.mark.rule("6.1-5")
@pytest.mark.parametrize(
    ("excluded", "value", "expected"),
    [
        ('["a", "b"]', '"a"', False),
        ('["a", "b"]', '"b"', False),
        ('["a", "b"]', '"c"', True),
        ('["a", "b"]', "null", True),
        ('["a", "b"]', "5", True),
        ('"a"', '"a"', False),
        ('"a"', '"b"', True),
        ("100", "100", False),
        ("100", "101", True),
        ("100", '"100"', True),
        ("100", "100.0", True),
        ('"100"', "100", True),
        ("[100, 200]", "200", False),
        ("[100, 200]", "300", True),
        ('"a"', '["a"]', False),
        ('"a"', '["a", "b"]', True),
        ('"a"', "[]", False),
        ('"a"', '{"x": "b"}', False),
    ],
)
def test_anything_but_needs_a_leaf_that_is_something_else(excluded: str, value: str, expected: bool) -> None:
    assert field_matches(f'[{{"anything-but": {excluded}}}]', value) is expected


@pytest.mark.rule("6.1-6")
@pytest.mark.parametrize(
    ("numeric", "value", "expected"),
    [
        ('["=", 100]', "100", True),
        ('["=", 100]', "100.0", True),
        ('["=", 3.0e2]', "300", True),
        ('["=", 100]', "100.0000000000000000000001", False),
        ('["=", 9007199254740993]', "9007199254740992", False),
        ('["=", 0]', "-0", True),
        ('[">", 10, "<=", 20]', "10", False),
        ('[">", 10, "<=", 20]', "10.5", True),
        ('[">", 10, "<=", 20]', "20", True),
        ('[">", 10, "<=", 20]', "20.1", False),
        ('["<", -1.5]', "-2", True),
        ('["<", -1.5]', "-1", False),
        ('[">=", 5]', "5", True),
        ('["<=", 5]', "5", True),
        ('["<=", 5]', "6", False),
        ('["=", 100]', '"100"', False),
        ('["=", 0]', "null", False),
        ('["=", 1]', "true", False),
        ('[">", 10]', "[1, 11]", True),
        ('[">", 1]', "1e99999999", True),
        ('["<", 1]', "1e-99999999", True),
    ],
)
def test_numeric_compares_the_values_of_numbers(numeric: str, value: str, expected: bool) -> None:
    assert field_matches(f'[{{"numeric": {numeric}}}]', value) is expected


@pytest.mark.rule("6.1-7")
@pytest.mark.parametrize(
    ("value", "exists"),
    [
        ('{"a": "x"}', True),
        ('{"a": null}', True),
        ('{"a": ""}', True),
        ('{"a": false}', True),
        ('{"a": [1]}', True),
        ('{"a": [[], [1]]}', True),
        ('{"a": []}', False),
        ('{"a": [[]]}', False),
        ('{"a": {}}', False),
        ('{"a": {"b": 1}}', False),
        ('{"a": [{"b": 1}]}', False),
        ('{"a": [{"b": 1}, 2]}', True),
        ("{}", False),
    ],
)
def test_exists_looks_at_leaves_only(value: str, exists: bool) -> None:
    assert matches('{"a": [{"exists": true}]}', value) is exists
    assert matches('{"a": [{"exists": false}]}', value) is not exists


@pytest.mark.rule("6.1-7")
def test_absence_or_a_value_may_be_asked_for_together() -> None:
    pattern = '{"a": [{"exists": false}, "x"]}'
    assert matches(pattern, "{}")
    assert matches(pattern, '{"a": "x"}')
    assert not matches(pattern, '{"a": "y"}')


@pytest.mark.rule("6.1-8")
@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ('{"prefix": "us-"}', '"us-east-1"', True),
        ('{"prefix": "us-"}', '"eu-us-1"', False),
        ('{"prefix": "us-"}', '"US-east-1"', False),
        ('{"suffix": ".png"}', '"a.png"', True),
        ('{"suffix": ".png"}', '"a.png.gz"', False),
        ('{"prefix": "1"}', "10", False),
        ('{"suffix": "0"}', "10", False),
        ('{"prefix": ""}', '"x"', True),
        ('{"prefix": ""}', "null", False),
        ('{"suffix": "e"}', "true", False),
    ],
)
def test_prefix_and_suffix_look_at_strings(operator: str, value: str, expected: bool) -> None:
    assert field_matches(f"[{operator}]", value) is expected


@pytest.mark.rule("6.1-9")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"s": 1, "a": "x"}', True),
        ('{"s": 1, "b": "y", "c": 1}', True),
        ('{"s": 1, "b": "y", "d": {"e": 2}}', True),
        ('{"s": 1, "b": "y"}', False),
        ('{"s": 1}', False),
        ('{"a": "x"}', False),
        ('{"s": 1, "$or": "x"}', False),
    ],
)
def test_or_nests_and_joins_its_siblings(value: str, expected: bool) -> None:
    pattern = '{"s": [1], "$or": [{"a": ["x"]}, {"b": ["y"], "$or": [{"c": [1]}, {"d": {"e": [2]}}]}]}'
    assert matches(pattern, value) is expected


@pytest.mark.rule("6.1-9")
def test_or_within_an_object_is_asked_of_that_object() -> None:
    pattern = '{"a": {"$or": [{"b": [1]}, {"c": [2]}]}}'
    assert matches(pattern, '{"a": {"c": 2}}')
    assert matches(pattern, '{"a": [{"x": 0}, {"b": 1}]}')
    assert not matches(pattern, '{"a": {"b": 2, "c": 1}}')
    assert not matches(pattern, '{"b": 1}')


@pytest.mark.rule("6.1-1")
def test_siblings_are_joined_by_and_and_alternatives_by_or() -> None:
    pattern = '{"a": ["x", "y"], "b": [1]}'
    assert matches(pattern, '{"a": "y", "b": 1, "more": true}')
    assert not matches(pattern, '{"a": "y", "b": 2}')
    assert not matches(pattern, '{"a": "z", "b": 1}')


@pytest.mark.rule("6.1-10")
@pytest.mark.parametrize(
    ("alternatives", "value", "expected"),
    [
        ('["x"]', '["y", "x"]', True),
        ('["x"]', '["y"]', False),
        ('["x"]', '["y", ["z", ["x"]]]', True),
        ('["x"]', '[{"x": "x"}]', False),
        ("[null]", '["x", null]', True),
        ('["x"]', "[]", False),
        ('["x", "y"]', '["z", "y"]', True),
    ],
)
def test_array_matches_by_any_of_its_elements(alternatives: str, value: str, expected: bool) -> None:
    assert field_matches(alternatives, value) is expected


@pytest.mark.rule("6.1-10")
def test_one_element_of_an_array_must_meet_the_whole_object_pattern() -> None:
    pattern = '{"people": {"first": ["Ada"], "last": ["Smith"]}}'
    assert matches(pattern, '{"people": [{"first": "Bo", "last": "Lee"}, {"first": "Ada", "last": "Smith"}]}')
    assert matches(pattern, '{"people": [7, [{"first": "Ada", "last": "Smith"}]]}')
    assert not matches(pattern, '{"people": [{"first": "Ada", "last": "Lee"}, {"first": "Bo", "last": "Smith"}]}')
    assert not matches(pattern, '{"people": []}')


@pytest.mark.rule("6.1-7", "6.1-10")
def test_field_is_absent_from_an_array_when_no_element_has_it() -> None:
    pattern = '{"items": {"discount": [{"exists": false}]}}'
    assert matches(pattern, '{"items": [{"n": 1}, {"n": 2}]}')
    assert matches(pattern, '{"items": []}')
    assert matches(pattern, "{}")
    assert not matches(pattern, '{"items": [{"n": 1}, {"discount": 2}]}')


@pytest.mark.rule("6.1-7", "6.1-10")
def test_absence_beside_other_conditions_is_asked_of_the_same_element() -> None:
    pattern = '{"items": {"n": [1], "void": [{"exists": false}]}}'
    assert matches(pattern, '{"items": [{"n": 1}, {"n": 2, "void": true}]}')
    assert not matches(pattern, '{"items": [{"n": 1, "void": true}, {"n": 2}]}')


@pytest.mark.rule("6.1-10")
def test_last_of_repeated_keys_counts() -> None:
    assert matches('{"a": ["x"], "a": ["y"]}', '{"a": "y"}')
    assert not matches('{"a": ["x"], "a": ["y"]}', '{"a": "x"}')
    assert matches('{"a": ["y"]}', '{"a": "x", "a": "y"}')


def test_names_with_dots_are_names() -> None:
    assert matches('{"a.b": [1]}', '{"a.b": 1}')
    assert not matches('{"a.b": [1]}', '{"a": {"b": 1}}')
