"""Filters on records: AWS's published cases, the data rules of each source, and the patterns that are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pollers.flow.filters import FILTER_LIMIT, FILTER_QUOTA, PATTERN_LIMIT, InvalidPattern, compile_filters
from pollers.flow.records import DataRule, Partition, Parts, Position

PARTITION = Partition("one")
SQS = DataRule("body", "drop", plain=True)
KINESIS = DataRule("data", "drop", plain=False)
DYNAMODB = DataRule("dynamodb", "drop", plain=False)
KAFKA = DataRule("value", "ignore", plain=True)
MQ = DataRule("data", "ignore", plain=True)


@dataclass
class Record:
    payload: str | bytes = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


class RecordShape:
    """The two looks that filters take at a record; the others are not theirs."""

    def __init__(self, data_rule: DataRule) -> None:
        self.data_rule = data_rule
        self.payloads_read = 0

    def view(self, partition: Partition, raw: Record) -> Mapping[str, Any]:
        return raw.metadata

    def data(self, raw: Record) -> str | bytes:
        self.payloads_read += 1
        return raw.payload

    def position(self, raw: Record) -> Position | None:
        raise NotImplementedError

    def identifier(self, partition: Partition, raw: Record) -> object:
        raise NotImplementedError

    def key(self, raw: Record) -> bytes | None:
        raise NotImplementedError

    def arrived(self, raw: Record) -> float:
        raise NotImplementedError

    def size_bound(self, raw: Record) -> int:
        raise NotImplementedError

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        raise NotImplementedError

    def failure(self, parts: Parts) -> dict[str, Any]:
        raise NotImplementedError


def passes(rule: DataRule, pattern: object, payload: str | bytes = "", **metadata: Any) -> bool:
    compiled = compile_filters([json.dumps(pattern)], rule)
    return compiled.bind(RecordShape(rule)).passes(PARTITION, Record(payload, metadata))


def refusal(pattern: str | None, rule: DataRule = SQS) -> InvalidPattern:
    with pytest.raises(InvalidPattern) as refused:
        compile_filters([pattern], rule)
    return refused.value


SQS_PUBLISHED = [
    pytest.param(
        {"my-key": ["my-value"]},
        {"my-key": "my-value"},
        {"my-key": "other-value"},
        id="single",
        marks=pytest.mark.rule("6.2-8"),
    ),
    pytest.param(
        {"my-key": ["my-value-one", "my-value-two"]},
        {"my-key": "my-value-two"},
        {"my-key": "other-value"},
        id="or",
        marks=pytest.mark.rule("6.2-9"),
    ),
    pytest.param(
        {"my-key-one": ["other-filter", "my-value-one"], "my-key-two": ["my-value-two"]},
        {"my-key-one": "my-value-one", "my-key-two": "my-value-two"},
        {"my-key-one": "other-value-", "my-key-two": "my-value-two"},
        id="and",
        marks=pytest.mark.rule("6.2-10"),
    ),
    pytest.param(
        {"my-key": [{"exists": True}]},
        {"my-key": "any-value-one"},
        {"other-key": "any-value-two"},
        id="exists",
        marks=pytest.mark.rule("6.2-11"),
    ),
    pytest.param(
        {"my-key": [{"numeric": [">", 100]}]},
        {"my-key": 101},
        {"my-key": 100},
        id="numeric-bigger",
        marks=pytest.mark.rule("6.2-12"),
    ),
    pytest.param(
        {"my-key": [{"numeric": ["<", 100]}]},
        {"my-key": 99},
        {"my-key": 100},
        id="numeric-smaller",
        marks=pytest.mark.rule("6.2-13"),
    ),
    pytest.param(
        {"my-key": [{"numeric": [">=", 100, "<", 200]}]},
        {"my-key": 100},
        {"my-key": 200},
        id="numeric-range",
        marks=pytest.mark.rule("6.2-14"),
    ),
    pytest.param(
        {"my-key": [{"prefix": "yes"}]},
        {"my-key": "yes-value"},
        {"my-key": "no-value"},
        id="prefix",
        marks=pytest.mark.rule("6.2-15"),
    ),
    pytest.param(
        {"my-key": ["my-value"]},
        {"my-key": "my-value"},
        "plain-string",
        id="valid-json-filter",
        marks=pytest.mark.rule("6.2-16"),
    ),
]


@pytest.mark.rule("6.2-1", "6.2-7")
@pytest.mark.parametrize(("pattern", "passing", "dropped"), SQS_PUBLISHED)
def test_sqs_bodies_pass_as_aws_recorded_them(pattern: object, passing: object, dropped: object) -> None:
    assert passes(SQS, {"body": pattern}, json.dumps(passing))
    assert not passes(SQS, {"body": pattern}, dropped if isinstance(dropped, str) else json.dumps(dropped))


@pytest.mark.rule("12-11")
@pytest.mark.parametrize(
    ("alternatives", "body", "expected"),
    [
        (["hello"], "hello", True),
        (["hello"], "Hello", False),
        (["other", "hello"], "hello", True),
        ([{"prefix": "he"}], "hello", True),
        ([{"suffix": "lo"}], "hell", False),
        ([{"equals-ignore-case": "HELLO"}], "hello", True),
        ([{"anything-but": ["hello"]}], "hello", False),
        ([{"anything-but": ["hello"]}], "world", True),
        ([{"exists": True}], "hello", True),
        ([""], "", True),
        (["123"], "123", True),
        (['"quoted"'], '"quoted"', True),
        (["{broken"], "{broken", True),
    ],
)
def test_plain_string_pattern_looks_at_the_text_of_the_body(alternatives: list[Any], body: str, expected: bool) -> None:
    assert passes(SQS, {"body": alternatives}, body) is expected


@pytest.mark.rule("6.2-1")
@pytest.mark.parametrize("body", ['{"a": 1}', "[1]", ' \n{"a": 1}', '{"a": {}}'])
def test_json_body_is_dropped_by_a_plain_string_pattern(body: str) -> None:
    assert not passes(SQS, {"body": [{"anything-but": "x"}]}, body)


@pytest.mark.rule("6.2-1")
@pytest.mark.parametrize("body", ["plain", "", "123", '"text"', "null", "{broken", b"\xff\xfe", '{"a": NaN}'])
def test_body_that_is_no_json_object_is_dropped_by_a_json_pattern(body: str | bytes) -> None:
    assert not passes(SQS, {"body": {"a": [{"exists": False}]}}, body)


@pytest.mark.rule("6.2-1")
@pytest.mark.parametrize("body", ["plain", '{"a": 1}', b"\xff"])
def test_without_the_data_key_the_body_is_not_even_read(body: str | bytes) -> None:
    shape = RecordShape(SQS)
    bound = compile_filters(['{"eventSource": ["aws:sqs"]}'], SQS).bind(shape)
    assert bound.passes(PARTITION, Record(body, {"eventSource": "aws:sqs"}))
    assert not bound.passes(PARTITION, Record(body, {"eventSource": "aws:kinesis"}))
    assert shape.payloads_read == 0


def test_payload_is_read_once_whatever_the_number_of_filters() -> None:
    shape = RecordShape(SQS)
    bound = compile_filters([json.dumps({"body": {"n": [value]}}) for value in range(10)], SQS).bind(shape)
    assert bound.passes(PARTITION, Record('{"n": 9}'))
    assert not bound.passes(PARTITION, Record('{"n": 10}'))
    assert shape.payloads_read == 2


@pytest.mark.rule("6.2-2", "6.2-18")
def test_each_function_on_a_kinesis_stream_receives_only_its_own_record() -> None:
    first, second = ({"data": {"event_type": [f"function_{number}"]}} for number in (1, 2))
    of_first, of_second = (json.dumps({"event_type": f"function_{number}"}).encode() for number in (1, 2))
    assert passes(KINESIS, first, of_first)
    assert not passes(KINESIS, first, of_second)
    assert passes(KINESIS, second, of_second)
    assert not passes(KINESIS, second, of_first)


@pytest.mark.rule("6.2-2")
def test_kinesis_metadata_join_the_data_pattern() -> None:
    pattern = {"partitionKey": [{"prefix": "eu-"}], "data": {"n": [1]}}
    assert passes(KINESIS, pattern, b'{"n": 1}', partitionKey="eu-1")
    assert not passes(KINESIS, pattern, b'{"n": 1}', partitionKey="us-1")
    assert not passes(KINESIS, pattern, b'{"n": 2}', partitionKey="eu-1")


@pytest.mark.rule("6.2-2")
@pytest.mark.parametrize("data", [b"plain", b"\xff\x00", b""])
def test_kinesis_data_that_is_no_json_is_dropped_by_a_data_pattern(data: bytes) -> None:
    assert not passes(KINESIS, {"data": {"n": [{"exists": False}]}}, data)
    assert passes(KINESIS, {"partitionKey": ["a"]}, data, partitionKey="a")


@pytest.mark.rule("6.2-2")
def test_kinesis_refuses_a_data_pattern_that_is_no_json_object() -> None:
    assert refusal('{"data": ["text"]}', KINESIS).reason == "data: must be an object"


STREAM_IMAGE = {
    "ApproximateCreationDateTime": 1693997155.0,
    "Keys": {"id": {"S": "id_value"}},
    "NewImage": {"id": {"S": "id_value"}, "presentKey": {"S": "presentValue"}, "count": {"N": "42"}},
    "SizeBytes": 46,
    "StreamViewType": "NEW_AND_OLD_IMAGES",
}


def dynamodb(pattern: object, **attributes: Any) -> bool:
    image = STREAM_IMAGE | {"NewImage": STREAM_IMAGE["NewImage"] | attributes}  # type: ignore[operator]
    return passes(DYNAMODB, pattern, dynamodb=image, eventName="INSERT", eventSource="aws:dynamodb")


@pytest.mark.rule("6.2-3", "6.1-10")
def test_dynamodb_is_filtered_by_metadata() -> None:
    assert dynamodb({"eventSource": ["aws:dynamodb"], "eventName": ["INSERT"]})
    assert not dynamodb({"eventSource": ["aws:dynamodb"], "eventName": ["REMOVE"]})


@pytest.mark.rule("6.2-3", "6.2-17")
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param({"NewImage": {"id": {"S": ["id_value"]}}}, True, id="content_filter_type"),
        pytest.param({"NewImage": {"id": ["id_value"]}}, False, id="content_filter_without_the_type"),
        pytest.param({"NewImage": {"id": {"S": [{"prefix": "id_"}]}}}, True, id="prefix_filter"),
        pytest.param({"NewImage": {"id": {"S": [{"prefix": "other"}]}}}, False, id="prefix_filter_other"),
        pytest.param({"ApproximateCreationDateTime": [{"numeric": [">", 0]}]}, True, id="date_time_conversion"),
        pytest.param({"ApproximateCreationDateTime": [1693997155]}, False, id="text_form_of_a_float"),
        pytest.param({"SizeBytes": [46]}, True, id="integer"),
        pytest.param({"SizeBytes": ["46"]}, False, id="integer_is_no_string"),
    ],
)
def test_dynamodb_images_pass_as_aws_recorded_them(pattern: object, expected: bool) -> None:
    assert dynamodb({"dynamodb": pattern}) is expected


@pytest.mark.rule("6.2-17")
def test_dynamodb_number_attributes_are_strings_to_numeric() -> None:
    pattern = {"dynamodb": {"NewImage": {"count": {"N": [{"numeric": [">", 100]}, {"anything-but": "101"}]}}}}
    assert dynamodb(pattern, count={"N": "42"})
    assert not dynamodb(pattern, count={"N": "101"})


@pytest.mark.rule("6.1-7", "6.1-10")
def test_exists_on_an_intermediate_node_is_never_true() -> None:
    absent = {"dynamodb": {"NewImage": {"presentKey": [{"exists": False}]}}}
    present = {"dynamodb": {"NewImage": {"presentKey": [{"exists": True}]}}}
    typed = {"dynamodb": {"NewImage": {"presentKey": {"S": [{"exists": True}]}}}}
    assert dynamodb(absent)
    assert passes(DYNAMODB, absent, dynamodb={"NewImage": {}})
    assert not dynamodb(present)
    assert dynamodb(typed)
    assert not passes(DYNAMODB, typed, dynamodb={"NewImage": {}})


@pytest.mark.rule("6.2-3")
def test_dynamodb_view_may_also_leave_the_payload_to_data() -> None:
    pattern = {"dynamodb": {"SizeBytes": [46]}}
    assert passes(DYNAMODB, pattern, json.dumps(STREAM_IMAGE))


def test_payload_in_the_view_is_not_read_again() -> None:
    shape = RecordShape(DYNAMODB)
    bound = compile_filters(['{"dynamodb": {"SizeBytes": [46]}}'], DYNAMODB).bind(shape)
    assert bound.passes(PARTITION, Record(metadata={"dynamodb": STREAM_IMAGE}))
    assert shape.payloads_read == 0


@pytest.mark.parametrize("in_view", ['{"n": 1}', b'{"n": 1}'])
def test_payload_in_the_view_may_be_unparsed(in_view: str | bytes) -> None:
    assert passes(SQS, {"body": {"n": [1]}}, "another", body=in_view)


def test_null_in_the_place_of_the_payload_is_no_payload() -> None:
    assert passes(SQS, {"body": {"n": [1]}}, '{"n": 1}', body=None)


def test_payload_that_is_an_array_matches_by_any_of_its_objects() -> None:
    assert passes(SQS, {"body": {"n": [1]}}, '[{"n": 2}, {"n": 1}]')
    assert not passes(KAFKA, {"value": {"n": [1]}}, '[{"n": 2}]')


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_metadata_that_are_no_number_compare_with_nothing(number: float) -> None:
    assert not passes(SQS, {"timestamp": [{"numeric": [">", 0]}, {"numeric": ["<=", 0]}]}, timestamp=number)


@pytest.mark.rule("6.2-4", "6.2-5", "6.2-6")
@pytest.mark.parametrize("rule", [KAFKA, MQ], ids=["kafka", "mq"])
@pytest.mark.parametrize("payload", [b"\xff\xfe", b"plain", b"", b"123"])
def test_mismatching_payload_leaves_the_decision_to_the_metadata(rule: DataRule, payload: bytes) -> None:
    pattern = {"topic": ["orders"], rule.key: {"n": [1]}}
    assert passes(rule, pattern, payload, topic="orders")
    assert not passes(rule, pattern, payload, topic="other")


@pytest.mark.rule("6.2-4", "6.2-5")
@pytest.mark.parametrize("rule", [KAFKA, MQ], ids=["kafka", "mq"])
def test_matching_format_is_decided_by_the_payload(rule: DataRule) -> None:
    assert passes(rule, {rule.key: {"n": [1]}}, b'{"n": 1}')
    assert not passes(rule, {rule.key: {"n": [1]}}, b'{"n": 2}')
    assert passes(rule, {rule.key: ["text"]}, b"text")
    assert not passes(rule, {rule.key: ["text"]}, b"other")


@pytest.mark.rule("6.2-4", "6.2-5")
@pytest.mark.parametrize("rule", [KAFKA, MQ], ids=["kafka", "mq"])
@pytest.mark.parametrize("payload", [b'{"n": 2}', b"\xff"])
def test_plain_pattern_ignores_what_is_no_text(rule: DataRule, payload: bytes) -> None:
    assert passes(rule, {rule.key: ["text"]}, payload)


@pytest.mark.rule("6.1-1")
def test_record_passes_when_any_filter_matches() -> None:
    bound = compile_filters(['{"body": {"a": [1]}}', '{"body": {"b": [1]}}'], SQS).bind(RecordShape(SQS))
    assert bound.passes(PARTITION, Record('{"a": 1}'))
    assert bound.passes(PARTITION, Record('{"b": 1}'))
    assert not bound.passes(PARTITION, Record('{"a": 2, "b": 2}'))


def test_no_filters_let_everything_pass() -> None:
    assert compile_filters([], SQS).bind(RecordShape(SQS)).passes(PARTITION, Record("anything"))


@pytest.mark.rule("6.1-9")
def test_or_at_the_top_joins_payload_and_metadata() -> None:
    pattern = {"$or": [{"body": {"a": [1]}}, {"source": ["x"]}], "region": ["eu"]}
    assert passes(SQS, pattern, '{"a": 1}', source="y", region="eu")
    assert passes(SQS, pattern, '{"a": 2}', source="x", region="eu")
    assert not passes(SQS, pattern, '{"a": 2}', source="y", region="eu")
    assert not passes(SQS, pattern, '{"a": 1}', source="x", region="us")


def test_data_key_below_the_top_is_an_ordinary_name() -> None:
    assert passes(SQS, {"attributes": {"body": ["x"]}}, "{}", attributes={"body": "x"})
    assert passes(SQS, {"body": {"body": ["x"]}}, '{"body": "x"}')


HOSTILE = [
    pytest.param("[" * 100_000, id="open arrays"),
    pytest.param('{"a":' * 100_000 + "1" + "}" * 100_000, id="deep objects"),
    pytest.param("[" * 100_000 + "]" * 100_000, id="deep arrays"),
    pytest.param('{"a": NaN}', id="NaN"),
    pytest.param('{"a": -Infinity}', id="infinity"),
    pytest.param(b'{"a": "\xed\xa0\x80"}', id="encoded surrogate"),
    pytest.param(b"\xff\xfe{\x00}\x00", id="UTF-16"),
    pytest.param("\x00", id="NUL"),
    pytest.param('{"a": "\ud800"}', id="surrogate in the text"),
    pytest.param('{"a": "\\ud800"}', id="lone surrogate, escaped"),
    pytest.param('{"a": ' + "9" * 20_000 + "}", id="20,000 digits"),
    pytest.param('{"a": 1e999999999999999999999}', id="exponent beyond Decimal"),
]


@pytest.mark.parametrize("payload", HOSTILE)
@pytest.mark.parametrize("rule", [SQS, KAFKA], ids=["drop", "ignore"])
def test_hostile_payload_is_classified_and_never_raises(payload: str | bytes, rule: DataRule) -> None:
    patterns: list[object] = [
        {rule.key: {"a": [{"numeric": ["=", 1]}]}},
        {rule.key: {"a": {"a": ["x", {"prefix": "x"}]}}},
        {rule.key: ["x", {"equals-ignore-case": "x"}]},
    ]
    compiled = compile_filters([json.dumps(pattern) for pattern in patterns], rule)
    expected = rule.mismatch == "ignore"  # each of them is either no JSON or no text, so one of the patterns mismatches
    assert compiled.bind(RecordShape(rule)).passes(PARTITION, Record(payload)) is expected


@pytest.mark.parametrize("payload", ["[" * 100_000, '{"a": NaN}', b"\xff"], ids=["deep", "NaN", "bytes"])
def test_what_cannot_be_read_as_json_is_a_mismatch(payload: str | bytes) -> None:
    assert passes(KAFKA, {"value": {"a": [1]}}, payload)
    assert not passes(SQS, {"body": {"a": [1]}}, payload)


@pytest.mark.parametrize("payload", ['{"a": ' + "9" * 20_000 + "}", '{"a": 9e999999999999999}'])
def test_huge_numbers_are_compared_all_the_same(payload: str) -> None:
    assert passes(SQS, {"body": {"a": [{"numeric": [">", 5]}]}}, payload)
    assert not passes(SQS, {"body": {"a": [{"numeric": ["<", 5]}]}}, payload)
    assert not passes(SQS, {"body": {"a": [{"numeric": ["=", 5]}]}}, payload)


def test_integer_too_long_for_python_to_write_fails_its_own_filter_only() -> None:
    patterns = ['{"offset": [1]}', '{"topic": ["t"]}']
    bound = compile_filters(patterns, KAFKA).bind(RecordShape(KAFKA))
    assert bound.passes(PARTITION, Record(metadata={"offset": 10**5_000, "topic": "t"}))
    assert not bound.passes(PARTITION, Record(metadata={"offset": 10**5_000, "topic": "u"}))


def test_payload_that_the_shape_cannot_decode_is_a_mismatch() -> None:
    class Undecodable(RecordShape):
        def data(self, raw: Record) -> str | bytes:
            raise ValueError("not base64")

    patterns = ['{"data": {"a": [1]}}']
    assert not compile_filters(patterns, KINESIS).bind(Undecodable(KINESIS)).passes(PARTITION, Record())
    assert compile_filters(patterns, MQ).bind(Undecodable(MQ)).passes(PARTITION, Record())


@pytest.mark.rule("6.1-1", "12-13")
@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        pytest.param(None, "is null", id="null"),
        pytest.param("null", "must be an object that is not empty", id="null in JSON"),
        pytest.param("simple string", "is not JSON: Expecting value: line 1 column 1 (char 0)", id="bare word"),
        pytest.param(
            '{"eventSource": "aws:sqs"}', "eventSource: must be an array of alternatives or an object", id="value"
        ),
        pytest.param('{"eventSource": []}', "eventSource: must not be an empty array", id="empty array"),
        pytest.param('{"eventSource": ["aws:sqs"]', "is not JSON: Expecting ',' delimiter", id="broken JSON"),
        pytest.param('["x"]', "must be an object that is not empty", id="array"),
        pytest.param("{}", "must be an object that is not empty", id="empty object"),
        pytest.param('{"body": {}}', "body: must be an object that is not empty", id="empty body"),
        pytest.param('{"body": {"a": NaN}}', "is not JSON: NaN is not JSON", id="NaN"),
        pytest.param('{"body": 5}', "body: must be an object or an array of strings", id="payload"),
        pytest.param('{"body": [5]}', "body: plain text is matched by strings only", id="number in text"),
        pytest.param('{"body": [{"numeric": ["=", 5]}]}', "body: plain text is matched", id="numeric in text"),
        pytest.param(
            '{"body": {"a": {"b": [["x"]]}}}', "body.a.b: an alternative must not be an array", id="nested array"
        ),
        pytest.param(
            '{"a": [{"wildcard": "x*"}]}', "a: wildcard is not one of the operators anything-but, equals", id="wildcard"
        ),
        pytest.param('{"a": [{"cidr": "10.0.0.0/24"}]}', "a: cidr is not one of the operators", id="cidr"),
        pytest.param('{"a": [{}]}', "a: an operator stands alone", id="no operator"),
        pytest.param('{"a": [{"prefix": "x", "suffix": "y"}]}', "a: an operator stands alone", id="two operators"),
        pytest.param('{"a": [{"prefix": 1}]}', "a.prefix: must be a string", id="prefix"),
        pytest.param('{"a": [{"suffix": ["x"]}]}', "a.suffix: must be a string", id="suffix"),
        pytest.param(
            '{"a": [{"equals-ignore-case": null}]}', "a.equals-ignore-case: must be a string", id="ignoring case"
        ),
        pytest.param('{"a": [{"exists": "true"}]}', "a.exists: must be true or false", id="exists"),
        pytest.param('{"a": [{"exists": 0}]}', "a.exists: must be true or false", id="exists 0"),
        pytest.param('{"a": [{"anything-but": []}]}', "a.anything-but: must be a string, a number", id="but nothing"),
        pytest.param(
            '{"a": [{"anything-but": ["x", 1]}]}', "a.anything-but: must be a string, a number", id="but mixed"
        ),
        pytest.param('{"a": [{"anything-but": null}]}', "a.anything-but: must be a string, a number", id="but null"),
        pytest.param('{"a": [{"anything-but": {"prefix": "x"}}]}', "a.anything-but: must be a string", id="but prefix"),
        pytest.param('{"a": [{"numeric": 5}]}', "a.numeric: must be like", id="numeric"),
        pytest.param('{"a": [{"numeric": ["="]}]}', "a.numeric: must be like", id="numeric alone"),
        pytest.param('{"a": [{"numeric": ["!=", 5]}]}', "a.numeric: needs pairs", id="numeric sign"),
        pytest.param('{"a": [{"numeric": [5, "="]}]}', "a.numeric: needs pairs", id="numeric order"),
        pytest.param('{"a": [{"numeric": ["=", "5"]}]}', "a.numeric: needs pairs", id="numeric string"),
        pytest.param('{"a": [{"numeric": ["<", 20, ">", 10]}]}', "a.numeric: a range has", id="upper bound first"),
        pytest.param('{"a": [{"numeric": [">", 10, "<", 10]}]}', "a.numeric: a range has", id="empty range"),
        pytest.param('{"a": [{"numeric": ["=", 10, "<", 20]}]}', "a.numeric: a range has", id="no range"),
        pytest.param('{"$or": {"a": ["x"]}}', "$or: must be an array of two objects or more", id="or object"),
        pytest.param('{"$or": [{"a": ["x"]}]}', "$or: must be an array of two objects or more", id="or of one"),
        pytest.param('{"$or": ["x", "y"]}', "$or[0]: must be an object that is not empty", id="or of strings"),
        pytest.param('{"a": ' * 150 + "[1]" + "}" * 150, "nested deeper than 100 levels", id="deep"),
        pytest.param('{"$or": [{"x": [1]}, ' * 150 + "1" + "]}" * 150, "nested deeper than 100 levels", id="deep or"),
        pytest.param('{"a": ' * 50_000, "is nested too deeply", id="very deep"),
    ],
)
def test_pattern_that_means_nothing_is_refused_in_the_words_of_aws(pattern: str | None, reason: str) -> None:
    refused = refusal(pattern)
    assert str(refused) == "Invalid filter pattern definition."
    assert refused.reason.startswith(reason)
    assert refused.pattern == pattern
    assert refused.index == 0


def test_refusal_says_which_of_the_filters_it_means() -> None:
    with pytest.raises(InvalidPattern) as refused:
        compile_filters(['{"a": ["x"]}', '{"a": ["x"]}', '{"a": []}'], SQS)
    assert refused.value.index == 2


def test_pattern_of_a_hundred_levels_is_compiled_and_matched() -> None:
    pattern: object = ["x"]
    value: object = "x"
    for _ in range(99):
        pattern, value = {"a": pattern}, {"a": value}
    assert passes(SQS, {"body": pattern}, json.dumps(value))


@pytest.mark.rule("6.1-10")
def test_quotas_are_those_of_aws() -> None:
    assert (PATTERN_LIMIT, FILTER_QUOTA, FILTER_LIMIT) == (4_096, 5, 10)
