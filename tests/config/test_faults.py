"""Faults of a readable file: a table of what is wrong, where it is said to be, in which words, with which remedy."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from pollers.config.model import QueueTerms
from pollers.config.parse import load, parse
from pollers.config.schema import json_schema
from pollers.errors import ConfigurationError, Problem

STANDARD = "arn:aws:sqs:eu-west-1:123456789012:orders"
FIFO = f"{STANDARD}.fifo"
FILTER = '{"body": {"kind": ["order"]}}'
AT = "event_source_mappings[0]"
AWS = "1 validation error detected: Value"

Faults = tuple[str, str, str]


def document(**mapping: Any) -> dict[str, Any]:
    return {
        "functions": {"orders": {"handler": "app.orders"}},
        "event_source_mappings": [{"function_name": "orders", "event_source_arn": STANDARD, **mapping}],
    }


def function(**fields: Any) -> dict[str, Any]:
    return document() | {"functions": {"orders": fields}}


def problems(raw: dict[str, Any]) -> list[Problem]:
    with pytest.raises(ConfigurationError) as caught:
        parse(raw)
    return list(caught.value.problems)


# What the schema knows, too: names, types, ranges. (document, path, message, beginning of the remedy)
STRUCTURE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "unknown key": (document(batchsize=5), f"{AT}.batchsize", "is not a known name.", "Did you mean batch_size?"),
    "unknown key in AWS's spelling": (
        document(Batchsize=5),
        f"{AT}.Batchsize",
        "is not a known name.",
        "Did you mean BatchSize?",
    ),
    "unknown key that is like no other": (
        document(pollers={"zzz": 1}),
        f"{AT}.pollers.zzz",
        "is not a known name.",
        "Known here: heartbeat, throttle_hold, weight",
    ),
    "unknown section": (document() | {"servce": {}}, "servce", "is not a known name.", "Did you mean service?"),
    "both spellings": (
        document(batch_size=5, BatchSize=5),
        f"{AT}.BatchSize",
        f"is the same field as {AT}.batch_size.",
        "Keep one",
    ),
    "both spellings of Terraform": (
        document(filter_criteria={"filters": [], "filter": []}),
        f"{AT}.filter_criteria.filter",
        f"is the same field as {AT}.filter_criteria.filters.",
        "Keep one",
    ),
    "text for a number": (
        document(batch_size="10"),
        f"{AT}.batch_size",
        "text ('10') where a whole number belongs.",
        "Give a whole number from 1 to 10000, without quotes.",
    ),
    "fraction for a whole number": (
        document(batch_size=1.5),
        f"{AT}.batch_size",
        "a number ('1.5') where a whole number belongs.",
        "Give a whole number from 1 to 10000",
    ),
    "flag for a number": (
        document(batch_size=True),
        f"{AT}.batch_size",
        "true or false ('true') where a whole number belongs.",
        "Give a whole number",
    ),
    "text for a flag": (
        document(enabled="no"),
        f"{AT}.enabled",
        "text ('no') where true or false belongs.",
        "Write true or false, without quotes.",
    ),
    "text for a list": (
        document(function_response_types="ReportBatchItemFailures"),
        f"{AT}.function_response_types",
        "text ('ReportBatchItemFailures') where a list belongs.",
        "Put it in brackets",
    ),
    "list for a table": (
        document(scaling_config=[5]),
        f"{AT}.scaling_config",
        "a list where a table belongs.",
        "Write names and their values.",
    ),
    "table for the list of mappings": (
        document() | {"event_source_mappings": {"function_name": "orders"}},
        "event_source_mappings",
        "a table where a list belongs.",
        "Put it in brackets",
    ),
    "nothing": (document(batch_size=None), f"{AT}.batch_size", "has no value.", "Give it one, or leave it out."),
    "filters that AWS did not show": (
        document(FilterCriteria=None),
        f"{AT}.FilterCriteria",
        "has no value.",
        "Give it one, or leave it out.",
    ),
    "window too long": (
        document(maximum_batching_window_in_seconds=301),
        f"{AT}.maximum_batching_window_in_seconds",
        f"{AWS} '301' at 'maximumBatchingWindowInSeconds' failed to satisfy constraint: "
        "Member must have value less than or equal to 300.",
        "Give a whole number from 0 to 300",
    ),
    "batch too small": (
        document(BatchSize=0),
        f"{AT}.BatchSize",
        f"{AWS} '0' at 'batchSize' failed to satisfy constraint: Member must have value greater than or equal to 1.",
        "Give a whole number from 1 to 10000",
    ),
    "batch too large": (
        document(batch_size=10_001, maximum_batching_window_in_seconds=1),
        f"{AT}.batch_size",
        f"{AWS} '10001' at 'batchSize' failed to satisfy constraint: "
        "Member must have value less than or equal to 10000.",
        "Give a whole number from 1 to 10000",
    ),
    "concurrency of one": (
        document(scaling_config={"maximum_concurrency": 1}),
        f"{AT}.scaling_config.maximum_concurrency",
        f"{AWS} '1' at 'scalingConfig.maximumConcurrency' failed to satisfy constraint: "
        "Member must have value greater than or equal to 2.",
        "Give a whole number from 2 to 1000",
    ),
    "response type that is none": (
        document(function_response_types=["Bad"]),
        f"{AT}.function_response_types",
        f"{AWS} '[Bad]' at 'functionResponseTypes' failed to satisfy constraint: Member must satisfy constraint: "
        "[Member must satisfy enum value set: [ReportBatchItemFailures], Member must not be null].",
        "Write 'ReportBatchItemFailures'.",
    ),
    "ARN that is a URL": (
        document(event_source_arn="https://sqs.eu-west-1.amazonaws.com/123456789012/orders"),
        f"{AT}.event_source_arn",
        f"{AWS} 'https://sqs.eu-west-1.amazonaws.com/123456789012/orders' at 'eventSourceArn' failed",
        "Write an ARN such as arn:aws:sqs:eu-west-1:123456789012:orders",
    ),
    "pattern too long": (
        document(filter_criteria={"filters": [{"pattern": " " * 4_097}]}),
        f"{AT}.filter_criteria.filters[0].pattern",
        "' at 'filterCriteria.filters.1.member.pattern' failed to satisfy constraint: "
        "Member must have length less than or equal to 4096.",
        "Write an event pattern",
    ),
    "too many filters": (
        document(filter_criteria={"filters": [{"pattern": FILTER}] * 11}),
        f"{AT}.filter_criteria.filters",
        "Member must have length less than or equal to 10.",
        "Give 0 to 10.",
    ),
    "option of ours out of its range": (
        document(pollers={"weight": 0}),
        f"{AT}.pollers.weight",
        "Value '0' failed to satisfy constraint: Member must have value greater than or equal to 0.001.",
        "Give a number from 0.001 to 1000",
    ),
    "timeout too long": (
        function(handler="app.orders", timeout=901),
        "functions.orders.timeout",
        f"{AWS} '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900.",
        "Give a whole number from 1 to 900",
    ),
    "handler without a module": (
        function(handler="orders"),
        "functions.orders.handler",
        f"{AWS} 'orders' at 'handler' failed to satisfy constraint: Member must satisfy regular expression pattern",
        "Write module.function, such as app.handle, in quotes.",
    ),
    "isolation that is none": (
        function(handler="app.orders", pollers={"isolation": "fork"}),
        "functions.orders.pollers.isolation",
        "Value 'fork' failed to satisfy constraint: Member must satisfy enum value set: [inline, thread, process].",
        "Write one of 'inline', 'thread', 'process'.",
    ),
    "name of a function": (
        document() | {"functions": {"orders": {"handler": "app.orders"}, "a b": {"handler": "app.orders"}}},
        'functions."a b"',
        "is not a valid name.",
        "Write up to 64 letters",
    ),
    "port": (
        document() | {"service": {"metrics_port": 70_000}},
        "service.metrics_port",
        "Value '70000' failed to satisfy constraint: Member must have value less than or equal to 65535.",
        "Give a whole number from 0 to 65535",
    ),
    "store": (
        document() | {"store": {"url": "redis://localhost"}},
        "store.url",
        "Value 'redis://localhost' failed to satisfy constraint: Member must satisfy regular expression pattern",
        "Write sqlite:///path",
    ),
    "no mapping": (
        {"functions": {"orders": {"handler": "app.orders"}}},
        "event_source_mappings",
        "there is no mapping to run.",
        "Add [[event_source_mappings]].",
    ),
}

# What only the parser knows: what spans fields, sources and mappings.
MEANING: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "missing function": (
        document(function_name="order"),
        f"{AT}.function_name",
        "Function does not exist.",
        "Did you mean orders?",
    ),
    "missing function that is like no other": (
        document(function_name="arn:aws:lambda:eu-west-1:123456789012:function:zzz"),
        f"{AT}.function_name",
        "Function does not exist.",
        "Add [functions.zzz]",
    ),
    "no function": (
        document() | {"event_source_mappings": [{"event_source_arn": STANDARD}]},
        AT,
        "Value null at 'functionName' failed to satisfy constraint: Member must not be null.",
        "Add function_name",
    ),
    "two functions": (
        document(FunctionArn="arn:aws:lambda:eu-west-1:123456789012:function:other"),
        f"{AT}.FunctionArn",
        "is another function than function_name.",
        "Keep one",
    ),
    "no source": (
        document() | {"event_source_mappings": [{"function_name": "orders"}]},
        f"{AT}.event_source_arn",
        "Unrecognized event source.",
        "Add event_source_arn",
    ),
    "source of another kind": (
        document(event_source_arn="arn:aws:s3:::bucket"),
        f"{AT}.event_source_arn",
        "Unrecognized event source.",
        "Add event_source_arn",
    ),
    "queue without an account": (
        document(event_source_arn="arn:aws:sqs:eu-west-1::orders"),
        f"{AT}.event_source_arn",
        "'arn:aws:sqs:eu-west-1::orders' is not the ARN of a queue.",
        "Write it as arn:aws:sqs:region:account:name.",
    ),
    "queue of a name that no queue has": (
        document(event_source_arn=f"{STANDARD}\x1b[2J"),
        f"{AT}.event_source_arn",
        f"'{STANDARD}\\x1b[2J' is not the ARN of a queue.",
        "Write it as arn:aws:sqs:region:account:name.",
    ),
    "large batch without a window": (
        document(batch_size=11),
        f"{AT}.batch_size",
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10.",
        "Set maximum_batching_window_in_seconds to 1 or more",
    ),
    "large batch of a FIFO queue": (
        document(event_source_arn=FIFO, batch_size=11),
        f"{AT}.batch_size",
        "11 is more than the 10 messages that a batch of a FIFO queue can hold.",
        "Give a whole number from 1 to 10.",
    ),
    "window of a FIFO queue": (
        document(event_source_arn=FIFO, maximum_batching_window_in_seconds=1),
        f"{AT}.maximum_batching_window_in_seconds",
        "Unsupported MaximumBatchingWindowInSeconds parameter for given event source mapping type.",
        "Leave it out",
    ),
    "concurrency twice": (
        document(scaling_config={"maximum_concurrency": 5}, provisioned_poller_config={"maximum_pollers": 5}),
        f"{AT}.provisioned_poller_config",
        "MaximumConcurrency and ProvisionedPollerConfig exclude each other.",
        "Keep one",
    ),
    "too many pollers": (
        document(provisioned_poller_config={"maximum_pollers": 2_001}),
        f"{AT}.provisioned_poller_config.maximum_pollers",
        "2001 is not between 2 and 2000, what a queue can have.",
        "Give 2 to 2000.",
    ),
    "filter that AWS refuses": (
        document(filter_criteria={"filters": [{"pattern": FILTER}, {"pattern": '{"body": {"kind": []}}'}]}),
        f"{AT}.filter_criteria.filters[1].pattern",
        "Invalid filter pattern definition. body.kind: must not be an empty array.",
        "Write JSON such as",
    ),
    "filter that is not JSON": (
        document(filter_criteria={"filters": [{"pattern": "{"}]}),
        f"{AT}.filter_criteria.filters[0].pattern",
        "Invalid filter pattern definition. The pattern is not JSON",
        "Write JSON such as",
    ),
    "filter without a pattern": (
        document(filter_criteria={"filters": [{}]}),
        f"{AT}.filter_criteria.filters[0]",
        "Invalid filter pattern definition.",
        "Give it a pattern",
    ),
    "filters that AWS could not show": (
        document(FilterCriteriaError={"ErrorCode": "KMSAccessDenied"}),
        f"{AT}.FilterCriteriaError",
        "AWS could not show the filters of this mapping, so that every record would pass.",
        "Write them in filter_criteria",
    ),
    "handler and url": (
        function(handler="app.orders", url="http://127.0.0.1/"),
        "functions.orders",
        "names handler and url, but is one function.",
        "Keep one of them.",
    ),
    "nothing to call": (
        function(timeout=5),
        "functions.orders",
        "does not say what to call.",
        'Add handler = "module.function"',
    ),
    "name that is not its own": (
        function(handler="app.orders", FunctionName="other"),
        "functions.orders.FunctionName",
        "'other' is not the name it stands under.",
        "Write 'orders'",
    ),
    "environment without a process": (
        function(handler="app.orders", environment={"variables": {"AB": "1"}}, pollers={"isolation": "thread"}),
        "functions.orders.environment",
        "needs a process of its own, and isolation is 'thread'.",
        "Set pollers.isolation to 'process'",
    ),
    "environment of a url": (
        function(url="http://127.0.0.1/", environment={"variables": {"AB": "1"}}),
        "functions.orders.environment",
        "is for handlers: this function runs elsewhere.",
        "Set it where the function runs.",
    ),
    "isolation of a url": (
        function(url="http://127.0.0.1/", pollers={"isolation": "inline"}),
        "functions.orders.pollers.isolation",
        "is for handlers: this function runs elsewhere.",
        "Leave it out.",
    ),
    "readiness of a handler": (
        function(handler="app.orders", pollers={"readiness": "http://127.0.0.1/"}),
        "functions.orders.pollers.readiness",
        "is for functions with a url.",
        "Leave it out.",
    ),
    "url of another scheme": (
        function(url="file:///etc/passwd"),
        "functions.orders.url",
        "is not a URL that can be called.",
        "Write it as http://host:port/path",
    ),
    "url of a socket without a path": (
        function(url="http+unix://app.sock/"),
        "functions.orders.url",
        "names no unix socket.",
        "Write it as http+unix://%2Frun%2Fapp.sock/path.",
    ),
    "readiness elsewhere": (
        function(url="http+unix://%2Frun%2Fapp.sock/", pollers={"readiness": "http://127.0.0.1/"}),
        "functions.orders.pollers.readiness",
        "is not asked for where the url is.",
        "Name the same unix socket",
    ),
    "url with a port of 0": (
        function(url="http://127.0.0.1:0/"),
        "functions.orders.url",
        "is not a URL that can be called.",
        "Write it as http://host:port/path",
    ),
    "url with a password": (
        function(url="http://me:secret@127.0.0.1/"),
        "functions.orders.url",
        "carries a user or a password.",
        "Keep secrets out of URLs",
    ),
}


@pytest.mark.parametrize("name", [*STRUCTURE, *MEANING])
def test_fault_is_named_with_its_path_its_cause_and_its_remedy(name: str) -> None:
    raw, path, message, remedy = (STRUCTURE | MEANING)[name]

    (problem,) = problems(raw)

    assert problem.path == path
    assert message in problem.message
    assert problem.remedy.startswith(remedy)


@pytest.mark.parametrize("name", STRUCTURE)
def test_schema_refuses_what_the_parser_refuses_for_its_structure(name: str) -> None:
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(STRUCTURE[name][0]))


@pytest.mark.parametrize("name", MEANING)
def test_schema_leaves_to_the_parser_what_spans_fields(name: str) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(MEANING[name][0])


def test_all_faults_are_reported_at_once_and_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mappings.toml"
    path.write_text(
        '[functions.orders]\nhandler = "app.orders"\ntimeout = 0\n'
        '[[event_source_mappings]]\nfunction_name = "other"\nbatch_sise = 1\n'
        '[[event_source_mappings]]\nfunction_name = "orders"\nevent_source_arn = 5\n'
    )

    with pytest.raises(ConfigurationError) as caught:
        load(path)

    assert [problem.path for problem in caught.value.problems] == [
        f"{path}: functions.orders.timeout",
        f"{path}: event_source_mappings[0].batch_sise",
        f"{path}: event_source_mappings[1].event_source_arn",
        f"{path}: event_source_mappings[0].function_name",
        f"{path}: event_source_mappings[0].event_source_arn",
    ]


OF_LOGS: dict[str, Any] = {
    "starting_position": "LATEST",
    "starting_position_timestamp": "2026-01-31T12:00:00Z",
    "parallelization_factor": 2,
    "maximum_record_age_in_seconds": 60,
    "maximum_retry_attempts": 3,
    "bisect_batch_on_function_error": True,
    "tumbling_window_in_seconds": 30,
    "destination_config": {"on_failure": {"destination": "file:///failures.jsonl"}},
    "source_access_configurations": [{"type": "BASIC_AUTH", "uri": "env:SECRET"}],
    "self_managed_event_source": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["127.0.0.1:9092"]}},
    "amazon_managed_kafka_event_source_config": {"consumer_group_id": "g"},
    "self_managed_kafka_event_source_config": {"consumer_group_id": "g"},
    "document_db_event_source_config": {"database_name": "d"},
}


@pytest.mark.parametrize("field", OF_LOGS)
def test_queue_refuses_the_parameters_of_logs(field: str) -> None:
    (problem,) = problems(document(**{field: OF_LOGS[field]}))

    assert problem.path == f"{AT}.{field}"
    assert problem.message.startswith("Unsupported ")
    assert problem.message.endswith(" parameter for given event source mapping type.")
    assert problem.remedy.startswith("Leave it out")


@pytest.mark.parametrize("field", ["topics", "queues"])
def test_queue_refuses_topics_and_queues(field: str) -> None:
    (problem,) = problems(document(**{field: ["orders"]}))

    assert problem.message == f"Unsupported '{field}' parameter for given event source mapping type."


@pytest.mark.parametrize(
    "option",
    [
        {"lanes": "key"},
        {"on_destination_failure": "drop"},
        {"backoff": 10},
        {"idle_poll": 5},
        {"out_of_range": "stop"},
        {"tls": False},
    ],
)
def test_queue_refuses_options_of_ours_that_it_would_not_use(option: dict[str, Any]) -> None:
    (problem,) = problems(document(pollers=option))

    assert problem.path == f"{AT}.pollers.{next(iter(option))}"
    assert problem.message == "is not used by SQS."


@pytest.mark.parametrize(
    ("arn", "kind"),
    [
        ("arn:aws:mq:eu-west-1:123456789012:broker:b:1", "Amazon MQ"),
    ],
)
def test_source_that_this_version_cannot_read_is_one_clear_fault(arn: str, kind: str) -> None:
    (problem,) = problems(document(event_source_arn=arn, batch_size=500, starting_position="LATEST"))

    assert problem.path == AT
    assert problem.message == f"{kind} cannot be read by this version of pollers yet."


def test_second_mapping_of_a_source_and_a_function_is_refused_in_the_words_of_aws() -> None:
    raw = document(name="first")
    raw["event_source_mappings"].append({"function_name": "orders", "event_source_arn": STANDARD})

    (problem,) = problems(raw)

    assert problem.path == "event_source_mappings[1]"
    assert problem.message == (
        f'An event source mapping with SQS arn (" {STANDARD} ") and function (" orders ") already exists. '
        "Please update or delete the existing mapping with UUID first."
    )


def test_same_source_with_another_function_or_qualifier_is_another_mapping() -> None:
    raw = document()
    raw["functions"]["audit"] = {"handler": "app.audit"}
    raw["event_source_mappings"] += [
        {"function_name": "audit", "event_source_arn": STANDARD},
        {"function_name": "orders:live", "event_source_arn": STANDARD},
    ]

    mappings = parse(raw).mappings

    assert [mapping.function for mapping in mappings] == ["orders", "audit", "orders"]
    assert len({mapping.identity for mapping in mappings}) == 3


def test_two_mappings_of_one_name_are_refused() -> None:
    raw = document(name="orders")
    raw["event_source_mappings"].append({"name": "orders", "function_name": "orders", "event_source_arn": FIFO})

    (problem,) = problems(raw)

    assert problem.message == "event_source_mappings[0] is called 'orders', too."


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "[fe80::1%25eth0]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "224.0.0.1",
        "0.0.0.0",
        "[::]",
    ],
)
def test_url_at_an_address_of_the_machine_itself_is_refused(host: str) -> None:
    (problem,) = problems(function(url=f"http://{host}/"))

    assert "is a link-local, multicast or unspecified address" in problem.message


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080/", "http://[::1]/x", "https://10.0.0.1/", "http://app/", "http+unix://%2Frun%2Fa.sock/x"],
)
def test_url_at_a_loopback_private_or_named_address_is_accepted(url: str) -> None:
    assert parse(function(url=url)).functions["orders"].url == url


def test_file_of_another_program_is_not_answered_with_a_flood() -> None:
    found = problems(document() | {f"key{number}": 1 for number in range(50_000)})

    assert len(found) == 21
    assert found[-1].message == "holds 49980 more names that are not known."


def test_values_of_the_environment_are_never_shown() -> None:
    secret = "hunter2hunter2"
    faulty = function(handler="app.orders", environment={"variables": {"PASSWORD": [secret], "AB": 5, "9": secret}})

    assert secret not in str(problems(faulty))
    configuration = parse(function(handler="app.orders", environment={"variables": {"PASSWORD": secret}}))
    assert secret not in repr(configuration)


def test_control_characters_of_a_file_do_not_reach_the_terminal() -> None:
    raw = document(batch_size="\x1b[2J", **{"\x1b[31mred": 1})

    assert all("\x1b" not in str(problem) for problem in problems(raw))


def test_control_characters_of_a_name_do_not_reach_the_terminal_by_a_remedy() -> None:
    (problem,) = problems(document(function_name="\x1b[2J"))

    assert problem.remedy == "Add [functions.\\x1b[2J] with a handler, a url or an arn."


def test_long_values_are_cut() -> None:
    (problem,) = problems(document(enabled="x" * 10_000))

    assert len(problem.message) < 200


# What is accepted


@pytest.mark.parametrize("field", ["FilterCriteria", "DestinationConfig", "Tags", "ProvisionedPollerConfig"])
def test_empty_container_counts_as_left_out(field: str) -> None:
    configuration = parse(document(**{field: {}}))

    assert configuration.mappings == parse(document()).mappings
    assert configuration.notices == ()


def test_window_makes_a_large_batch_of_a_standard_queue_valid() -> None:
    (mapping,) = parse(document(batch_size=10_000, maximum_batching_window_in_seconds=1)).mappings

    assert (mapping.batch_size, mapping.maximum_batching_window_in_seconds) == (10_000, 1)


def test_fifo_queue_may_say_that_it_has_no_window_as_aws_prints_it() -> None:
    (mapping,) = parse(document(event_source_arn=FIFO, maximum_batching_window_in_seconds=0)).mappings

    assert isinstance(mapping.terms, QueueTerms)
    assert mapping.terms.fifo


@pytest.mark.parametrize(("pollers", "concurrency"), [({"MaximumPollers": 5}, 50), ({"MinimumPollers": 2}, 2_000)])
@pytest.mark.rule("9-4", "12-12")
def test_provisioned_pollers_limit_a_queue_to_ten_invocations_each(pollers: dict[str, int], concurrency: int) -> None:
    (mapping,) = parse(document(ProvisionedPollerConfig=pollers)).mappings

    assert isinstance(mapping.terms, QueueTerms)
    assert mapping.terms.maximum_concurrency == concurrency


@pytest.mark.rule("12-11")
def test_plain_text_pattern_for_a_body_is_accepted() -> None:
    (mapping,) = parse(document(filter_criteria={"filters": [{"pattern": '{"body": ["hello"]}'}]})).mappings

    assert mapping.filters == ('{"body": ["hello"]}',)


def test_function_is_found_by_every_form_of_its_name() -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
    for reference in ("orders", arn, f"{arn}:live", "123456789012:function:orders", "orders:$LATEST"):
        assert parse(document(function_name=reference)).mappings[0].function == "orders"


def test_identity_is_the_name_else_the_uuid_else_stays_with_source_and_function() -> None:
    def identity(**fields: Any) -> str:
        return parse(document(**fields)).mappings[0].identity

    assert identity(name="mine", UUID="1-2") == "mine"
    assert identity(UUID="1-2") == "1-2"
    assert identity() == identity(batch_size=5)
    assert identity() != identity(event_source_arn=FIFO)


def test_what_has_no_effect_or_may_surprise_gets_one_line_each() -> None:
    raw = document(State="Disabled", ScalingConfig={"MaximumConcurrency": 30}, ProvisionedPollerConfig={}, name="m")
    raw["functions"] = {
        "orders": {"handler": "app.orders", "ReservedConcurrentExecutions": 20, "Runtime": "python3.13", "Role": "r"},
        "idle": {"handler": "app.idle"},
    }
    raw["store"] = {"url": "sqlite:////var/lib/pollers/state.db"}

    assert parse(raw).notices == (
        "functions.orders.Role: does nothing here: the handler has the credentials of the process.",
        "functions.orders.Runtime: does nothing here: the handler runs in this Python.",
        "Reported by AWS and not used here: State.",
        f"{AT}.State: is Disabled on AWS, and runs here. Add enabled = false if it should not.",
        "m: may have 30 invocations at once, and its function orders has only 20 reserved: 20 counts.",
        "functions.idle: no mapping uses it.",
        "store: not used: queues keep their own positions.",
    )


def test_state_of_aws_surprises_nobody_who_has_said_whether_it_is_enabled() -> None:
    assert parse(document(State="Disabled", Enabled=True)).notices == ("Reported by AWS and not used here: State.",)


def test_parsing_leaves_the_document_as_it_was() -> None:
    raw = document(filter_criteria={"filters": [{"pattern": FILTER}]}, pollers={"weight": 2})
    before = copy.deepcopy(raw)

    parse(raw)

    assert raw == before


@pytest.mark.parametrize("handler", ["app.handle", "app.orders.handle", "app/orders.handle", "app:handle", "a.b:C.f"])
def test_handler_may_have_every_form_that_can_be_loaded(handler: str) -> None:
    assert parse(function(handler=handler)).functions["orders"].handler == handler


@pytest.mark.parametrize(
    "handler", ["app", "app.", ".handle", "app handle.x", "app:", "../app.handle", "a.b.c-d", "1.f"]
)
def test_handler_that_names_no_function_is_refused(handler: str) -> None:
    (problem,) = problems(function(handler=handler))

    assert problem.path == "functions.orders.handler"
